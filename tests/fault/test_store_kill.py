"""A store killed at any moment holds what it said it holds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Semaphore, Thread

import pytest
from support_servers import lasting_port
from support_store import T0, points, victoria_metrics, victoria_opener

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.victoria import VictoriaMetricsStore
from tweeling.domain.points import Points
from tweeling.errors import UnavailableError

_ROWS = 500
_WRITE = f"""
import sys
from pathlib import Path
import numpy as np
from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.victoria import VictoriaMetricsStore
from tweeling.errors import UnavailableError
from tweeling.domain.points import Points
store = DuckDBStore(Path(sys.argv[1]), hold_s=0.05)
through = store.applied("journal")
while True:
    through += 1
    times = {T0} + through * {_ROWS} + np.arange({_ROWS})
    zeros = np.zeros({_ROWS})
    points = Points(("H1/H1-A/fillingLevel",), zeros.astype("i4"), times, zeros + through, zeros.astype("u1"))
    store.apply(points, source="journal", through=through)
    if through % 3 == 0:
        print(store.applied("journal"), flush=True)
"""


@pytest.mark.parametrize("rounds", [(3, 40, 17)])
def test_a_killed_duckdb_has_lost_nothing_it_called_applied(tmp_path: Path, rounds: tuple[int, ...]) -> None:
    path = tmp_path / "points.duckdb"
    for batches in rounds:
        with subprocess.Popen([sys.executable, "-c", _WRITE, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(batches)]
            os.kill(writer.pid, signal.SIGKILL)
            said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
        store = DuckDBStore(path)
        through = store.applied("journal")
        assert said[-1] <= through
        assert store.count() == through * _ROWS
        assert store.latest()[0].value == through
        store.close()


def test_a_killed_server_has_lost_nothing_behind_its_number(tmp_path: Path) -> None:
    batches = {n: points(*((f"H1/c{c}/fillingLevel", T0 + n * 1000, n / 100) for c in range(50))) for n in range(1, 31)}
    with victoria_metrics(tmp_path) as url, victoria_opener(url)() as store:
        for number in range(1, 21):
            store.apply(batches[number], source="journal", through=number)
    with victoria_metrics(tmp_path) as url, victoria_opener(url)() as store:  # the first was killed with -9
        through = store.applied("journal")
        assert through <= 20
        assert store.count() >= 50 * through
        for number in range(through + 1, 31):
            store.apply(batches[number], source="journal", through=number)
        assert store.count() == 50 * 30
        assert {(row.time_ms, row.value) for row in store.latest()} == {(T0 + 30_000, 0.3)}


def _batch(number: int) -> Points:
    return points(*((f"H1/c{c}/fillingLevel", T0 + number * 1000, number / 100) for c in range(50)))


def test_a_server_that_was_killed_between_two_batches_is_noticed_though_both_were_accepted(tmp_path: Path) -> None:
    port = lasting_port()
    with victoria_metrics(tmp_path, port) as url:
        store = VictoriaMetricsStore(url)
        store.apply(_batch(1), source="journal", through=1)
        assert store.applied("journal") == 1
        store.apply(_batch(2), source="journal", through=2)
    with closing(store), victoria_metrics(tmp_path, port):
        store.apply(_batch(3), source="journal", through=3)
        assert store.applied("journal") <= 1, "what the first server took in after its last snapshot may be lost"
        for number in (1, 2, 3):
            store.apply(_batch(number), source="journal", through=number)
        assert store.applied("journal") == 3
        assert store.count() == 150


def test_a_server_that_is_restarted_while_nothing_waits_loses_nothing(tmp_path: Path) -> None:
    port = lasting_port()
    with victoria_metrics(tmp_path, port) as url:
        store = VictoriaMetricsStore(url)
        store.apply(_batch(1), source="journal", through=1)
        assert store.applied("journal") == 1
        store.applied("journal")
    with closing(store), victoria_metrics(tmp_path, port):
        through = store.applied("journal")  # the number itself may have been in memory
        for number in range(through + 1, 4):
            store.apply(_batch(number), source="journal", through=number)
        assert store.applied("journal") == 3
        assert store.count() == 150


class _Follower(Thread):
    """Applies batches as a projector does: asks how far now and then, and goes back to what is durable."""

    def __init__(self, store: VictoriaMetricsStore, last: int) -> None:
        super().__init__()
        self._store, self._last = store, last
        self.up = Event()
        self.accepted = Semaphore(0)
        self.wrong: list[str] = []

    def run(self) -> None:
        through = 0
        while through < self._last:
            self.up.wait()
            with suppress(UnavailableError):  # killed: ask again when it is up
                through = self._proven()
                while through < self._last:
                    through += 1
                    self._store.apply(_batch(through), source="journal", through=through)
                    self.accepted.release()
                    if through % 7 == 0 or through == self._last:
                        through = min(through, self._proven())

    def _proven(self) -> int:
        through = self._store.applied("journal")
        if (count := self._store.count()) < 50 * through:
            self.wrong.append(f"{count} points, and said to hold {through} batches of 50")
        return through


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_server_killed_at_seeded_moments_never_says_more_than_it_holds(tmp_path: Path, seed: int) -> None:
    rng, port, last = random.Random(seed), lasting_port(), 300
    with closing(VictoriaMetricsStore(f"http://127.0.0.1:{port}")) as store:
        follower = _Follower(store, last)
        follower.start()
        for _ in range(8):
            with victoria_metrics(tmp_path, port):
                follower.up.set()
                for _ in range(rng.randint(1, 30)):
                    assert follower.accepted.acquire(timeout=60)
                if rng.random() < 0.5:  # else it is back before anybody has noticed
                    follower.up.clear()
        with victoria_metrics(tmp_path, port):
            follower.up.set()
            follower.join()
            assert follower.wrong == []
            assert store.count() == 50 * last
            assert {(row.time_ms, row.value) for row in store.latest()} == {(T0 + last * 1000, last / 100)}
            assert store.applied("journal") == last


def test_a_server_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with victoria_metrics(tmp_path) as url:
        store = VictoriaMetricsStore(url)
        store.apply(points(("H1/H1-A/fillingLevel", T0, 0.1)), source="journal", through=1)
    for ask in (store.count, lambda: store.apply(points(("x/y/z", T0, 1.0)), source="journal", through=2)):
        with pytest.raises(UnavailableError, match="does not answer"):
            ask()
    store.close()
