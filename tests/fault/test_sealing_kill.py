"""A store killed while it seals, makes hourly values, removes or tidies holds exactly what it held."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from threading import Timer

import numpy as np
import pytest
from support_store import DAY, HOUR, T0

from tweeling.adapters.duckdb import DuckDBStore, Keeping
from tweeling.ports.timeseries import Aggregate

_SERIES, _EVERY_MS, _HOURS = 20, 10 * 60_000, 24
_KEEPING = Keeping(seal_ms=HOUR, raw_ms=10 * DAY)
_PROGRAM = f"""
import sys
from pathlib import Path
import numpy as np
from tweeling.adapters.duckdb import DuckDBStore, Keeping
from tweeling.domain.points import Points
names = tuple(f"H1/H1-{{n:02}}/fillingLevel" for n in range({_SERIES}))
store = DuckDBStore(Path(sys.argv[1]), hold_s=0.01, keeping=Keeping(seal_ms={HOUR}, raw_ms={10 * DAY}))
through = store.applied("journal")
while True:
    through += 1
    start = {T0} + through * {_HOURS * HOUR}
    times = np.arange(start, start + {_HOURS * HOUR}, {_EVERY_MS})
    late = times[:3] - {3 * HOUR}  # points of the batch before, said again
    times = np.concatenate((times, late))
    series = np.repeat(np.arange({_SERIES}, dtype="i4"), len(times))
    times = np.tile(times, {_SERIES})
    values = np.round(times // {_EVERY_MS} % 1000 / 1000 + series, 3)
    store.apply(Points(names, series, times, values, np.zeros(len(times), "u1")), source="journal", through=through)
    print(through, flush=True)
    store.maintain(int(times.max()))
"""


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_store_killed_while_it_keeps_house_holds_every_point_once(tmp_path: Path, seed: int) -> None:
    rng, path = random.Random(seed), tmp_path / "points.duckdb"
    for _ in range(6):
        with subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(rng.randint(3, 25)):
                assert writer.stdout.readline()
            kill = Timer(rng.random() * 0.1, writer.send_signal, [signal.SIGKILL])  # anywhere in a round
            kill.start()
            writer.stdout.read()
            kill.join()
        with closing(DuckDBStore(path, keeping=_KEEPING)) as store:
            _check(store)
            removed = store.kept().removed
    assert removed > 0, "no month became hourly values: the test looks at too little"


def _check(store: DuckDBStore) -> None:
    through = store.applied("journal")
    first, end = T0 + _HOURS * HOUR, T0 + (through + 1) * _HOURS * HOUR
    before = 3  # said again before the first batch, three hours earlier
    each = through * _HOURS * HOUR // _EVERY_MS
    assert store.count() + store.kept().removed == (each + before) * _SERIES
    asked = {"start_ms": first, "end_ms": end, "step_ms": HOUR}
    times = np.arange(first, end, _EVERY_MS)
    for number, name in enumerate(store.series()):
        counts = store.window(name, **asked, aggregate=Aggregate.COUNT)
        assert counts.values.tolist() == [HOUR / _EVERY_MS] * (through * _HOURS)
        last = store.window(name, **asked, aggregate=Aggregate.LAST)
        expected = np.round(times // _EVERY_MS % 1000 / 1000 + number, 3)
        assert last.values.tolist() == expected[HOUR // _EVERY_MS - 1 :: HOUR // _EVERY_MS].tolist()
        kept_ms = max(store.kept().from_ms, first)
        raw = store.raw(name, start_ms=kept_ms, end_ms=end)
        assert raw.times.tolist() == times[times >= kept_ms].tolist()
        assert raw.values.tolist() == expected[times >= kept_ms].tolist()
    files = {path.name for path in store.folder.glob("*")}
    with store._live.cursor() as cursor:
        assert files == {row[0] for row in cursor.execute("SELECT name FROM sealed").fetchall()}
