"""Sealing, late points and retention against a dictionary that keeps all: hour by hour both answer the same."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support_store import DAY, HOUR, T0

from tweeling.adapters.duckdb import DuckDBStore, Keeping
from tweeling.adapters.duckdb.parquet import short
from tweeling.adapters.memory import MemoryStore
from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import Aggregate

_NAMES = ["H1/a/x", "H1/b/x", "H2/a/x"]
_KEEPING = Keeping(seal_ms=HOUR, raw_ms=40 * DAY)
_STEP = 5 * DAY
_ROWS = st.lists(
    st.tuples(
        st.sampled_from(_NAMES),
        st.integers(-4 * 24, 4),  # quarters of days before now: some belong to months that are sealed, some to hours
        st.integers(0, 3),
        st.one_of(st.integers(-500, 500).map(lambda n: n / 100), st.floats(-1e6, 1e6)),
        st.integers(0, 4),
    ),
    max_size=10,
)
_ROUNDS = st.lists(st.tuples(_ROWS, st.booleans(), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=15, deadline=None)
@given(rounds=_ROUNDS)
def test_what_is_sealed_late_or_hourly_answers_like_a_dictionary_of_all(
    rounds: list[tuple[list[tuple[str, int, int, float, int]], bool, bool]],
) -> None:
    model = MemoryStore()
    told: set[tuple[str, int]] = set()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "points.duckdb"
        store = DuckDBStore(path, keeping=_KEEPING)
        now_ms = T0
        for number, (rows, maintain, reopen) in enumerate(rounds, 1):
            now_ms += _STEP
            points = [
                Point(name, now_ms + quarter * 6 * HOUR + minute * 7 * 60_000, value, quality)
                for name, quarter, minute, value, quality in rows
            ]
            # A second word on a point that is an hourly value by now cannot be told from a second point.
            kept_ms = store.kept().from_ms
            points = [each for each in points if each.time_ms >= kept_ms or (each.series, each.time_ms) not in told]
            points = list({(each.series, each.time_ms): each for each in points}.values())
            told |= {(each.series, each.time_ms) for each in points}
            for each in (model, store):
                each.apply(Points.of(points), source="journal", through=number)
            if maintain:
                store.maintain(now_ms)
            if reopen:
                store.close()
                store = DuckDBStore(path, keeping=_KEEPING)
            _compare(store, model, now_ms)
        store.close()


def _compare(store: DuckDBStore, model: MemoryStore, now_ms: int) -> None:
    assert list(store.latest()) == list(model.latest())
    assert store.count() + store.kept().removed == model.count()
    asked = {"start_ms": T0 - 300 * DAY, "end_ms": now_ms + 2 * DAY}
    for step_ms in (HOUR, 24 * HOUR):
        for aggregate in Aggregate:
            ours = store.windows(_NAMES, **asked, step_ms=step_ms, aggregate=aggregate)
            theirs = model.windows(_NAMES, **asked, step_ms=step_ms, aggregate=aggregate)
            for name in _NAMES:
                assert ours[name].times.tolist() == theirs[name].times.tolist()
                np.testing.assert_allclose(ours[name].values, theirs[name].values, rtol=1e-9, atol=1e-9)
    kept = {"start_ms": store.kept().from_ms, "end_ms": asked["end_ms"]}
    raw = [row for name in _NAMES for row in model.raw(name, **kept).rows()]
    assert [row for name in _NAMES for row in store.raw(name, **kept).rows()] == raw
    assert store.find(Points.of(raw)).there.all()
    for prefix in ("H1/", "H2/a"):
        assert store.count(prefix) == sum(len(store.raw(name, **asked)) for name in _NAMES if name.startswith(prefix))


@given(
    st.lists(st.lists(st.one_of(st.floats(), st.integers(-9999, 9999).map(lambda n: n / 1000)), min_size=1), min_size=1)
)
def test_digits_over_their_scale_are_the_value_bit_by_bit(runs: list[list[float]]) -> None:
    values = np.array([value for run in runs for value in run])
    digits, scales, exact = short(values, np.array([len(run) for run in runs]))
    np.testing.assert_array_equal((digits / scales)[exact].view(np.int64), values[exact].view(np.int64))
    assert len(digits) == len(values)


def test_values_of_three_decimals_are_short() -> None:
    values = np.arange(-2000, 2000) / 1000
    _, scales, exact = short(values, np.array([len(values)]))
    assert exact.all()
    assert set(scales.tolist()) == {1000.0}
