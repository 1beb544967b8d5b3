"""What every TimeSeriesStore promises: the same points in, the same answers out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_store import (
    DAY,
    HOUR,
    MINUTE,
    T0,
    Opener,
    duckdb_opener,
    influx_opener,
    influxdb,
    points,
    sealed_opener,
    victoria_metrics,
    victoria_opener,
)

from tweeling.adapters.memory import MemoryStore
from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import Aggregate, TimeSeriesStore

A, B, C = "H1/H1-A/fillingLevel", "H1/H1-B/fillingLevel", "H10/H10-A/fillingLevel"


@contextmanager
def _opener(kind: str, folder: Path) -> Iterator[Opener]:
    match kind:
        case "duckdb":
            yield duckdb_opener(folder)
        case "duckdb sealed":
            yield sealed_opener(folder)
        case "victoria":
            with victoria_metrics(folder) as url:
                yield victoria_opener(url)
        case _:
            with influxdb() as access:
                yield influx_opener(access)


@pytest.fixture(params=["duckdb", "duckdb sealed", "victoria", "influxdb"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """A store that lasts, opened as often as asked."""
    with _opener(request.param, tmp_path) as made:
        yield made


@pytest.fixture(params=["memory", "duckdb", "duckdb sealed", "victoria", "influxdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TimeSeriesStore]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        with _opener(request.param, tmp_path) as made, made() as opened:
            yield opened


def _window(store: TimeSeriesStore, aggregate: Aggregate, *, start: int = T0, end: int = T0 + DAY) -> dict[int, float]:
    found = store.window(A, start_ms=start, end_ms=end, step_ms=HOUR, aggregate=aggregate)
    assert found.times.dtype == np.int64
    assert found.values.dtype == np.float64
    return dict(zip(found.times.tolist(), found.values.tolist(), strict=True))


def test_an_empty_store_answers_with_nothing(store: TimeSeriesStore) -> None:
    assert store.applied("journal") == 0
    assert list(store.series()) == []
    assert list(store.latest()) == []
    assert store.count() == 0
    assert len(store.raw(A, start_ms=0, end_ms=T0)) == 0
    assert _window(store, Aggregate.MEAN) == {}


def test_points_come_back_by_time_with_value_and_quality(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0 + 2, 0.25, 1), (B, T0, 0.5), (A, T0, 0.125, 3)), source="journal", through=1)
    assert store.raw(A, start_ms=T0, end_ms=T0 + 3).rows() == [Point(A, T0, 0.125, 3), Point(A, T0 + 2, 0.25, 1)]


def test_a_range_includes_its_start_and_not_its_end(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0, 0.1), (A, T0 + 1, 0.2), (A, T0 + 2, 0.3)), source="journal", through=1)
    assert [row.value for row in store.raw(A, start_ms=T0, end_ms=T0 + 2).rows()] == [0.1, 0.2]
    assert store.raw(A, start_ms=T0 + 2, end_ms=T0 + 2).rows() == []
    assert store.raw("H1/none/fillingLevel", start_ms=0, end_ms=T0 + 9).rows() == []


def test_latest_is_by_time_and_not_by_arrival(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0 + HOUR, 0.5)), source="journal", through=1)
    store.apply(points((A, T0, 0.9), (B, T0, 0.2)), source="journal", through=2)
    assert list(store.latest()) == [Point(A, T0 + HOUR, 0.5), Point(B, T0, 0.2)]


@pytest.mark.parametrize("together", [True, False])
def test_the_last_one_applied_for_the_same_series_and_time_stands(store: TimeSeriesStore, *, together: bool) -> None:
    first, second = (A, T0, 0.1, 0), (A, T0, 0.2, 1)
    if together:
        store.apply(points(first, (B, T0, 0.5), second), source="journal", through=1)
    else:
        store.apply(points(first, (B, T0, 0.5)), source="journal", through=1)
        store.apply(points(second), source="journal", through=2)
    assert list(store.latest("H1/H1-A")) == [Point(A, T0, 0.2, 1)]
    assert store.raw(A, start_ms=T0, end_ms=T0 + 1).rows() == [Point(A, T0, 0.2, 1)]
    assert store.count() == 2


def test_a_late_point_takes_its_place_and_a_late_repeat_replaces(store: TimeSeriesStore) -> None:
    store.apply(points(*((A, T0 + n * MINUTE, n / 100) for n in range(0, 60, 2))), source="journal", through=1)
    store.apply(points((A, T0 + 3 * MINUTE, 0.33), (A, T0 + 4 * MINUTE, 0.44)), source="journal", through=2)
    rows = store.raw(A, start_ms=T0 + 2 * MINUTE, end_ms=T0 + 5 * MINUTE).rows()
    assert [row.value for row in rows] == [0.02, 0.33, 0.44]
    assert store.count() == 31
    assert store.latest()[0].value == 0.58


def test_a_number_applied_before_changes_nothing(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0, 0.1)), source="journal", through=5)
    for through in (1, 4, 5):
        store.apply(points((A, T0, 0.9), (B, T0, 0.9)), source="journal", through=through)
    assert list(store.latest()) == [Point(A, T0, 0.1)]
    assert store.applied("journal") == 5


def test_every_source_has_its_own_number(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0, 0.1)), source="journal", through=5)
    store.apply(points((B, T0, 0.2)), source="history", through=1)
    assert (store.applied("journal"), store.applied("history"), store.applied("other")) == (5, 1, 0)
    assert store.count() == 2


def test_a_batch_without_points_still_moves_the_number(store: TimeSeriesStore) -> None:
    store.apply(points(), source="journal", through=3)
    assert store.applied("journal") == 3
    assert list(store.series()) == []


def test_a_name_without_points_is_no_series(store: TimeSeriesStore) -> None:
    store.apply(Points.columns((A, B), [1], [T0], [0.5], [0]), source="journal", through=1)
    assert list(store.series()) == [B]
    assert list(store.latest()) == [Point(B, T0, 0.5)]


def test_a_prefix_is_text_and_not_a_pattern(store: TimeSeriesStore) -> None:
    odd = ["H1/H1_A/x", "H1/H1%A/x", "H1/H1.A/x", "h1/H1-A/x"]
    store.apply(
        points((A, T0, 0.1), (B, T0, 0.2), (C, T0, 0.3), *((key, T0, 0.4) for key in odd)), source="j", through=1
    )
    assert list(store.series("H1/")) == sorted([A, B, *odd[:3]])
    assert list(store.series("H1")) == sorted([A, B, C, *odd[:3]])
    for prefix, number in {"": 7, "H1/H1_": 1, "H1/H1%": 1, "H1/H1.": 1, "H10/": 1, "h1": 1, A: 1, "H2": 0}.items():
        assert store.count(prefix) == len(store.series(prefix)) == len(store.latest(prefix)) == number, prefix


def test_a_name_is_text_whatever_it_says(store: TimeSeriesStore) -> None:
    odd = ['a"b', "a$b${c}", "a\\", "a b,c=d", "a\nb", "é/ü", "a%2Fb", "a|b", "a')", "a/*", "{a}", "-- a"]
    store.apply(points(*((name, T0 + n, n / 4) for n, name in enumerate(odd))), source='s"x y', through=3)
    assert store.applied('s"x y') == 3
    assert list(store.series()) == sorted(odd)
    assert {row.series: row.value for row in store.latest()} == {name: n / 4 for n, name in enumerate(odd)}
    windows = store.windows(odd, start_ms=T0, end_ms=T0 + HOUR, step_ms=HOUR, aggregate=Aggregate.LAST)
    for n, name in enumerate(odd):
        assert [row.value for row in store.raw(name, start_ms=T0, end_ms=T0 + HOUR).rows()] == [n / 4]
        assert windows[name].values.tolist() == [n / 4]
        assert store.count(name) == sum(each.startswith(name) for each in odd)


def test_points_are_found_by_series_and_time_in_the_order_asked(store: TimeSeriesStore) -> None:
    kept = points((A, T0, 0.1, 3), (A, T0 + 2, 1 / 3), (B, T0, -1e9), (A, T0, 2 / 3, 1))
    store.apply(kept, source="journal", through=1)
    asked = points((B, T0, 9.0), (C, T0, 9.0), (A, T0 + 2, 9.0), (A, T0 + 1, 9.0), (A, T0, 9.0), (B, T0 + 1, 9.0))
    found = store.find(asked)
    assert found.there.tolist() == [True, False, True, False, True, False]
    np.testing.assert_allclose(found.values[found.there], [-1e9, 1 / 3, 2 / 3], rtol=store.precision)
    assert found.quality[found.there].tolist() == [0, 0, 1]
    assert store.find(points()).there.tolist() == []


@given(st.lists(st.floats(-1e12, 1e12, allow_subnormal=False), min_size=1, max_size=50))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_value_comes_back_within_the_stores_own_precision(store: TimeSeriesStore, values: list[float]) -> None:
    kept = points(*((A, T0 + at, value) for at, value in enumerate(values)))
    store.apply(kept, source="journal", through=store.applied("journal") + 1)
    found = store.find(kept)
    assert found.there.all()
    largest = float(np.abs(values).max())
    np.testing.assert_allclose(found.values, values, rtol=0, atol=store.precision * largest)


def test_windows_stand_on_multiples_of_their_step_and_empty_ones_are_left_out(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0 + HOUR - 1, 0.2), (A, T0 + HOUR, 0.4), (A, T0 + 5 * HOUR, 0.6)), source="j", through=1)
    assert _window(store, Aggregate.MEAN) == {T0: 0.2, T0 + HOUR: 0.4, T0 + 5 * HOUR: 0.6}
    cut = _window(store, Aggregate.COUNT, start=T0 + HOUR - 1, end=T0 + 5 * HOUR)
    assert cut == {T0: 1.0, T0 + HOUR: 1.0}, "points outside [start, end) do not count, the window still starts at T0"


def test_windows_may_reach_from_the_first_second_to_long_after_the_last_point(store: TimeSeriesStore) -> None:
    store.apply(points((A, T0 + HOUR - 1, 0.25), (A, T0 + 40 * DAY, 0.5)), source="j", through=1)
    found = store.window(A, start_ms=0, end_ms=2 * T0, step_ms=30 * DAY, aggregate=Aggregate.COUNT)
    assert found.times.tolist() == [T0 // (30 * DAY) * 30 * DAY, (T0 + 40 * DAY) // (30 * DAY) * 30 * DAY]
    assert found.values.tolist() == [1.0, 1.0]


def test_of_several_qualities_the_last_value_is_the_last_in_time(store: TimeSeriesStore) -> None:
    store.apply(
        points((A, T0 + 2, 0.25, 1), (A, T0 + 1, 0.5, 2), (A, T0, 0.75, 1), (A, T0 + 3, 0.5, 3)), source="j", through=1
    )
    assert _window(store, Aggregate.LAST, end=T0 + 3) == {T0: 0.25}
    assert _window(store, Aggregate.MEAN) == {T0: 0.5}


@pytest.mark.parametrize(
    ("aggregate", "value"),
    [
        (Aggregate.MEAN, 0.4375),
        (Aggregate.MIN, 0.125),
        (Aggregate.MAX, 0.75),
        (Aggregate.LAST, 0.5),
        (Aggregate.COUNT, 4.0),
    ],
)
def test_a_window_becomes_one_value(store: TimeSeriesStore, aggregate: Aggregate, value: float) -> None:
    store.apply(points((A, T0 + 3, 0.5), (A, T0 + 1, 0.75), (A, T0 + 2, 0.125)), source="j", through=1)
    store.apply(points((A, T0, 0.375), (B, T0, 0.99), (A, T0 + HOUR, 0.9)), source="j", through=2)
    assert _window(store, aggregate, end=T0 + HOUR) == {T0: value}


def test_many_series_are_windowed_at_one_look_as_each_is_alone(store: TimeSeriesStore) -> None:
    rows = [(name, T0 + n * 17 * MINUTE, n / 64) for name in (A, B, C) for n in range(40)]
    store.apply(points(*rows), source="j", through=1)
    asked, odd = [C, "H1/none/fillingLevel", A], {"start_ms": T0 + MINUTE, "end_ms": T0 + 9 * HOUR, "step_ms": HOUR}
    for aggregate in Aggregate:
        found = store.windows(asked, **odd, aggregate=aggregate)
        assert list(found) == asked
        for name in asked:
            alone = store.window(name, **odd, aggregate=aggregate)
            np.testing.assert_array_equal(found[name].times, alone.times)
            np.testing.assert_allclose(found[name].values, alone.values)
    assert not len(found["H1/none/fillingLevel"].times)
    assert store.windows([], **odd, aggregate=Aggregate.MEAN) == {}


@given(
    applies=st.lists(
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(-8, 8), st.integers(0, 3)), max_size=9),
        min_size=1,
        max_size=4,
    ),
    start=st.integers(-5, 40),
    length=st.integers(1, 60),
    step=st.sampled_from([1, 3, 7, 60]),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_applied_in_whatever_order_is_answered_as_by_a_dictionary(
    store: TimeSeriesStore, applies: list[list[tuple[int, int, int, int]]], start: int, length: int, step: int
) -> None:
    model, through = MemoryStore(), store.applied("journal")
    own = f"x{through}/"  # what other examples left has other names
    for rows in applies:
        through += 1
        batch = points(*((f"{own}{c}", T0 + n * MINUTE, value / 4, quality) for c, n, value, quality in rows))
        for each in (model, store):
            each.apply(batch, source="journal", through=through)
    names = [f"{own}{c}" for c in range(3)]
    asked = {"start_ms": T0 + start * MINUTE, "end_ms": T0 + (start + length) * MINUTE}
    assert list(store.latest(own)) == list(model.latest(own))
    assert store.count(own) == model.count(own)
    for name in names:
        assert store.raw(name, **asked).rows() == model.raw(name, **asked).rows()
    for aggregate in Aggregate:
        found = store.windows(names, **asked, step_ms=step * MINUTE, aggregate=aggregate)
        for name, windows in model.windows(names, **asked, step_ms=step * MINUTE, aggregate=aggregate).items():
            np.testing.assert_array_equal(found[name].times, windows.times)
            np.testing.assert_allclose(found[name].values, windows.values, rtol=1e-9)
    assert store.applied("journal") == through


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_a_day_on_which_clocks_turn_has_24_hours_utc(store: TimeSeriesStore, day: str) -> None:
    start = int(np.datetime64(day, "ms").astype(np.int64))
    store.apply(points(*((A, start + n * 15 * MINUTE, 0.5) for n in range(96))), source="j", through=1)
    counts = _window(store, Aggregate.COUNT, start=start, end=start + DAY)
    assert counts == {start + n * HOUR: 4.0 for n in range(24)}


def test_ten_thousand_series_stay_apart(store: TimeSeriesStore) -> None:
    names = tuple(f"H{n % 7}/c{n:05d}/fillingLevel" for n in range(10_000))
    codes = np.arange(10_000, dtype=np.int32)
    for through, value in ((1, 0.25), (2, 0.75)):
        times = np.full(10_000, T0 + through, dtype=np.int64)
        columns = Points(names, codes, times, np.round(codes / 20_000 + value / 4, 5), np.zeros(10_000, dtype=np.uint8))
        store.apply(columns, source="j", through=through)
    assert store.count() == 20_000
    latest = store.latest("H3/")
    assert len(latest) == 1429
    assert all(
        row.value == round(int(row.series[4:9]) / 20_000 + 0.1875, 5) and row.time_ms == T0 + 2 for row in latest
    )


def test_readers_see_whole_batches_while_one_writes(store: TimeSeriesStore) -> None:
    batch, batches = 50, 20

    def write() -> None:
        for through in range(1, batches + 1):
            rows = [(A, T0 + through * 1000 + n, 0.5) for n in range(batch)]
            store.apply(points(*rows), source="j", through=through)

    writer = Thread(target=write)
    writer.start()
    seen = [0]
    while seen[-1] < batch * batches and (writer.is_alive() or store.count() > seen[-1]):
        seen.append(store.count())
    writer.join()
    assert all(number % batch == 0 for number in seen)
    assert store.count() == batch * batches


def test_what_was_applied_is_there_after_reopening(opener: Opener) -> None:
    with opener() as store:
        store.apply(points((A, T0, 0.1), (A, T0 + HOUR, 0.3, 2)), source="journal", through=7)
    with opener() as store:
        assert store.applied("journal") == 7
        assert list(store.latest()) == [Point(A, T0 + HOUR, 0.3, 2)]
        store.apply(points((A, T0, 0.2), (B, T0, 0.5)), source="journal", through=8)
    with opener() as store:
        assert [row.value for row in store.raw(A, start_ms=T0, end_ms=T0 + DAY).rows()] == [0.2, 0.3]
        assert list(store.series()) == [A, B]
        assert store.count() == 3
