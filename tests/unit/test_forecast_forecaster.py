from collections.abc import Callable
from threading import Event, Thread, current_thread

import numpy as np
import pytest
from support_forecast import HOUR, MONDAY, WEEK, Floats, points, sawtooth, wandering

from tweeling.adapters.memory import MemoryStore
from tweeling.domain.now import ThingNow
from tweeling.domain.points import Points
from tweeling.errors import UnavailableError
from tweeling.ports.timeseries import Aggregate, Windows
from tweeling.services.forecasting import Forecaster, History, forecast

KEY = "H1/H1-A/fillingLevel"


class HandClock:
    def __init__(self, now_ms: int) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms


class CountingStore(MemoryStore):
    """A store that notes how far back it is read, and that can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked_h: list[int] = []
        self.was_asked = Event()
        self.hold_up: Callable[[], bool] = lambda: True

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        self.asked_h.append((end_ms - start_ms) // HOUR)
        self.was_asked.set()
        if not self.hold_up() or self.down:
            raise UnavailableError("the store is down")
        return super().window(series, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, aggregate=aggregate)


class Bench:
    """A store with one series, a clock, and a forecaster over both."""

    def __init__(self, values: Floats, *, end_ms: int = MONDAY, every_ms: int = HOUR) -> None:
        self.store, self.clock, self.rounds = CountingStore(), HandClock(end_ms), 0
        self.number = 0
        self.latest_ms: int | None = None
        self.hear(points(KEY, values, end_ms=end_ms))
        self.forecaster = Forecaster(self.store, self.clock, self.things, every_ms=every_ms, on_made=self.made)

    def hear(self, news: Points) -> None:
        self.number += 1
        self.store.apply(news, source="test", through=self.number)
        self.latest_ms = max([self.latest_ms or 0, *news.times.tolist()]) if len(news) else self.latest_ms

    def things(self) -> list[ThingNow]:
        return [
            ThingNow("H1", "H1-A", "Puinbult", 0.5, self.latest_ms, 0, {}, 100.0),
            ThingNow("H1", "H1-B", "Grondvak", None, None, 0, {}, 100.0),
        ]

    def made(self) -> None:
        self.rounds += 1


def test_a_forecast_is_made_when_first_asked_for_and_kept() -> None:
    bench = Bench(sawtooth(20))
    first = bench.forecaster.newest(KEY)
    assert first is not None
    assert first.cutoff_ms == MONDAY
    assert bench.forecaster.newest(KEY) is first
    assert bench.forecaster.made == 1


def test_it_is_what_the_pure_function_says_of_the_stored_history() -> None:
    values = sawtooth(20).astype(np.float32).astype(np.float64)
    bench = Bench(values)
    assert bench.forecaster.newest(KEY) == forecast(History(KEY, MONDAY, values), horizon=336)


def test_a_thing_without_readings_or_unknown_has_no_forecast() -> None:
    bench = Bench(sawtooth(20))
    assert bench.forecaster.newest("H1/H1-B/fillingLevel") is None
    assert bench.forecaster.newest("H9/none/fillingLevel") is None


def test_forecasts_are_renewed_when_their_time_has_come_and_the_past_is_read_once_a_day() -> None:
    bench = Bench(sawtooth(20))
    assert bench.forecaster.refresh() == 1
    assert bench.forecaster.refresh() == 0
    cutoffs = []
    for hour in range(1, 25):
        bench.hear(points(KEY, np.array([0.4]), end_ms=MONDAY + hour * HOUR))
        bench.clock.time_ms = MONDAY + hour * HOUR + 1
        assert bench.forecaster.refresh() == 1
        newest = bench.forecaster.newest(KEY)
        assert newest is not None
        cutoffs.append(newest.cutoff_ms)
    assert cutoffs == [MONDAY + hour * HOUR for hour in range(1, 25)]
    assert sorted(set(bench.store.asked_h)) == [25, 160 * WEEK]
    assert bench.store.asked_h.count(160 * WEEK) == 2
    assert bench.rounds == 25


def test_reading_only_what_is_new_gives_the_same_forecast_as_reading_all() -> None:
    values = sawtooth(20)
    bench = Bench(values[:-30], end_ms=MONDAY - 30 * HOUR)
    bench.forecaster.refresh()
    for back in range(29, -1, -1):
        bench.hear(points(KEY, values[: len(values) - back][-1:], end_ms=MONDAY - back * HOUR))
        bench.clock.time_ms = MONDAY - back * HOUR
        bench.forecaster.refresh()
    grown, whole = bench.forecaster.newest(KEY), Bench(values).forecaster.newest(KEY)
    assert grown is not None
    assert whole is not None
    assert grown.served == whole.served
    assert grown.quantiles == whole.quantiles


def test_a_late_reading_from_before_the_first_one_is_taken_in() -> None:
    bench = Bench(wandering(1)[:50])
    bench.forecaster.refresh()
    bench.hear(points(KEY, np.full(60, 0.5), end_ms=MONDAY))
    bench.clock.time_ms += HOUR
    assert bench.forecaster.refresh() == 1
    assert bench.forecaster.newest(KEY) is not None


def test_a_recording_is_forecast_from_its_own_end() -> None:
    bench = Bench(sawtooth(20))
    bench.clock.time_ms = MONDAY + 52 * WEEK * HOUR
    newest = bench.forecaster.newest(KEY)
    assert newest is not None
    assert newest.cutoff_ms == MONDAY
    bench.clock.time_ms += 5 * HOUR
    bench.forecaster.refresh()
    assert bench.forecaster.newest(KEY) is newest


def test_who_asks_for_a_series_does_not_wait_for_a_round_that_the_store_holds_up() -> None:
    bench, go_on = Bench(sawtooth(20)), Event()
    round_ = Thread(target=bench.forecaster.refresh)
    bench.store.hold_up = lambda: current_thread() is not round_ or go_on.wait(10)
    round_.start()
    assert bench.store.was_asked.wait(10)
    answer = bench.forecaster.newest(KEY)
    go_on.set()
    round_.join(10)
    assert answer is not None
    assert bench.forecaster.newest(KEY) == answer
    assert bench.forecaster.made == 2


def test_a_setting_makes_forecasts_rarer() -> None:
    bench = Bench(sawtooth(20), every_ms=6 * HOUR)
    bench.forecaster.refresh()
    bench.clock.time_ms += 5 * HOUR
    assert bench.forecaster.refresh() == 0
    bench.clock.time_ms += HOUR
    assert bench.forecaster.refresh() == 1


def test_a_store_that_is_down_is_told_asked_again_and_back(caplog: pytest.LogCaptureFixture) -> None:
    bench, stop, made = Bench(sawtooth(20)), Event(), Event()
    bench.store.down = True
    forecaster = Forecaster(bench.store, bench.clock, bench.things, on_made=made.set)
    with pytest.raises(UnavailableError):
        forecaster.newest(KEY)
    with caplog.at_level("INFO"):
        thread = Thread(target=forecaster.run, args=(stop,), kwargs={"poll_s": 0.01})
        thread.start()
        for _ in range(3):  # it asks again and again
            bench.store.was_asked.clear()
            assert bench.store.was_asked.wait(10)
        assert not forecaster.health().ok
        bench.store.down = False
        assert made.wait(10)
        stop.set()
        thread.join(10)
    assert forecaster.health().ok
    assert [row.message for row in caplog.records if row.name.startswith("tweeling")] == [
        "forecast.lost",
        "forecast.back",
    ]
