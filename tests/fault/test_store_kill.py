"""A store killed at any moment holds what it said it holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support_store import T0, points, victoria_metrics, victoria_opener

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.victoria import VictoriaMetricsStore
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


def test_a_server_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    with victoria_metrics(tmp_path) as url:
        store = VictoriaMetricsStore(url)
        store.apply(points(("H1/H1-A/fillingLevel", T0, 0.1)), source="journal", through=1)
    for ask in (store.count, lambda: store.apply(points(("x/y/z", T0, 1.0)), source="journal", through=2)):
        with pytest.raises(UnavailableError, match="does not answer"):
            ask()
    store.close()
