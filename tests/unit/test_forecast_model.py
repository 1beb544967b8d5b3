import math

import numpy as np
import pytest
from support_forecast import HOUR, MONDAY, WEEK, history, sawtooth, wandering, weekly

from tweeling.domain.forecast import Forecast, Score
from tweeling.ports.timeseries import Windows
from tweeling.services.forecasting import History, backtest, forecast
from tweeling.services.forecasting.history import SILENCE_MS, on_grid, present_ms
from tweeling.services.forecasting.model import first_passage
from tweeling.services.forecasting.past import Past
from tweeling.services.forecasting.paths import PATHS, analogs, climatology, persistence
from tweeling.services.forecasting.scoring import choose

DAY = 24


def made(series: History, *, horizon: int = 336, full: float = 1.0) -> Forecast:
    answer = forecast(series, horizon=horizon, full=full)
    assert answer is not None
    return answer


def test_a_forecast_carries_its_grid_its_interval_its_baselines_and_its_backtest() -> None:
    answer = made(history(sawtooth(30)))
    assert answer.cutoff_ms == MONDAY
    assert answer.times_ms == tuple(MONDAY + step * HOUR for step in range(1, 337))
    assert set(answer.quantiles) == {0.1, 0.5, 0.9}
    assert all(len(row) == 336 for row in answer.quantiles.values())
    assert [score.model for score in answer.scores] == ["analogs", "persistence", "climatology"]
    assert all(score.cutoffs == 8 for score in answer.scores)


def test_a_weekly_emptying_is_foreseen_at_its_hour() -> None:
    answer = made(history(sawtooth(30)))
    tuesday_noon = 36  # steps behind Monday 00:00
    assert answer.quantiles[0.1][tuesday_noon - 1] > 0.5
    assert answer.quantiles[0.9][tuesday_noon] < 0.1


def test_an_emptying_leaves_what_it_left_whatever_the_level_was() -> None:
    values = sawtooth(30)
    answer = made(history(np.append(values, np.full(12, 0.97)), end_ms=MONDAY + 12 * HOUR))
    assert answer.quantiles[0.9][36 - 12] < 0.1


def test_a_level_that_wanders_with_the_week_is_served_by_the_model() -> None:
    assert made(history(wandering(60) + weekly(60))).served == "analogs"


def test_a_level_that_is_all_weekly_pattern_is_served_by_climatology_and_the_answer_says_so() -> None:
    answer = made(history(sawtooth(30)))
    model, _, baseline = answer.scores
    assert answer.served == "climatology"
    assert baseline.crps < model.crps


def test_the_model_is_served_only_where_it_beat_every_baseline() -> None:
    model, baseline = Score("analogs", 0.10, 0.8, 8), Score("persistence", 0.11, 0.8, 8)
    assert choose([model, baseline]) == "analogs"
    assert choose([model, baseline._replace(crps=0.10)]) == "persistence"
    assert choose([model, baseline, Score("climatology", 0.09, 0.8, 8)]) == "climatology"
    assert choose([]) == "persistence"


def test_the_same_season_of_earlier_years_is_relived() -> None:
    weeks = 156
    rate = np.where(np.arange(weeks) % 52 < 4, -0.06, 4 * 0.06 / 48)  # four weeks down, the rest slowly up
    hourly = np.repeat(rate / WEEK, WEEK)
    noise = np.random.default_rng(3).normal(0, 0.002, weeks * WEEK)
    values = 0.5 + np.cumsum(hourly) + noise
    assert values.min() > 0
    assert values.max() < 1
    answer = made(history(values))  # the next two weeks go down, which no recent week did
    assert answer.quantiles[0.5][-1] < values[-1] - 0.05
    assert answer.quantiles[0.1][-1] < values[-1] - 0.1


@pytest.mark.parametrize("hours", [48, 60, 96, 10 * DAY, 5 * WEEK])
def test_a_short_history_gives_a_wide_forecast(hours: int) -> None:
    rising = 0.2 + 0.001 * np.arange(hours) % 0.5 + np.random.default_rng(2).normal(0, 0.002, hours)
    answer = made(history(rising))
    width = answer.quantiles[0.9][-1] - answer.quantiles[0.1][-1]
    assert width > 0.05
    assert all(math.isfinite(score.crps) for score in answer.scores)


def test_with_less_than_two_days_nothing_is_said() -> None:
    assert forecast(history(np.full(47, 0.5)), horizon=24) is None
    nothing = on_grid(Windows(np.empty(0, dtype=np.int64), np.empty(0)), end_ms=MONDAY)
    assert forecast(History.of("P/1/fillingLevel", nothing, end_ms=MONDAY), horizon=24) is None


def test_a_sensor_that_fell_silent_widens_the_forecast_and_after_two_weeks_ends_it() -> None:
    values = wandering(40)
    silent = made(history(np.append(values, np.full(5 * DAY, np.nan)), end_ms=MONDAY + 5 * DAY * HOUR))
    heard = made(history(values))
    assert silent.cutoff_ms == MONDAY + 5 * DAY * HOUR
    assert _width(silent, 0) > 2 * _width(heard, 0)
    assert forecast(history(np.append(values, np.full(15 * DAY, np.nan))), horizon=24) is None


def test_gaps_in_the_past_do_not_spoil_a_forecast() -> None:
    values = sawtooth(30)
    holed = values.copy()
    holed[WEEK * 10 : WEEK * 11 + 5] = np.nan
    holed[WEEK * 20 + 70] = np.nan
    whole, torn = made(history(values)), made(history(holed))
    assert np.abs(np.array(whole.quantiles[0.5]) - np.array(torn.quantiles[0.5])).max() < 0.1
    past = Past.of(history(holed), full=1.0)
    paths = analogs(past, np.array([len(holed) - 1]), 336, np.random.default_rng(0))
    assert paths is not None
    assert np.isfinite(paths).all()
    assert len(np.unique(paths[20, 0].round(3))) > 20  # drawn from many weeks, not from the newest alone


def test_a_full_zone_is_full_now() -> None:
    values = np.append(sawtooth(20), [0.97, 1.0])
    answer = made(history(values))
    assert answer.p_full == 1.0
    assert answer.hours_to_full == (0.0, 0.0, 0.0)


def test_a_lower_full_bounds_every_path_and_is_reached_earlier() -> None:
    values = sawtooth(30)
    low, high = made(history(values), full=0.6), made(history(values), full=1.0)
    assert max(low.quantiles[0.9]) <= 0.6
    assert low.p_full >= high.p_full
    assert low.hours_to_full[1] is not None


def test_first_passage_is_the_first_step_at_full_and_beyond_the_horizon_there_is_none() -> None:
    paths = np.zeros((5, 10))
    paths[2:, :6] = 1.0  # six of ten paths are full in the third step
    assert first_passage(paths, 1.0, now=0.5) == (0.6, (3.0, 3.0, None))


def test_persistence_keeps_the_level_in_the_middle() -> None:
    past = Past.of(history(wandering(40)), full=1.0)
    origin = np.array([len(past.level) - 1])
    paths = persistence(past, origin, 336, np.random.default_rng(0))
    assert paths is not None
    assert abs(np.median(paths[-1]) - past.anchor[-1]) < 0.02


def test_climatology_is_what_was_at_the_same_hour_of_the_week() -> None:
    past = Past.of(history(np.tile(np.arange(WEEK) / WEEK, 20)), full=1.0)
    paths = climatology(past, np.array([len(past.level) - 1]), 200, np.random.default_rng(0))
    assert paths is not None
    assert np.allclose(paths[:, 0, :], (np.arange(200) % WEEK / WEEK)[:, None])


def test_hours_of_a_path_depend_on_each_other_as_they_do_in_the_past() -> None:
    past = Past.of(history(wandering(60)), full=1.0)
    paths = analogs(past, np.array([len(past.level) - 1]), 48, np.random.default_rng(0))
    assert paths is not None
    assert paths.shape == (48, 1, PATHS)
    assert np.corrcoef(paths[23, 0], paths[24, 0])[0, 1] > 0.9


def test_what_a_backtest_says_of_a_cutoff_does_not_depend_on_what_came_later() -> None:
    values = sawtooth(40)
    past, shorter = Past.of(history(values), full=1.0), Past.of(history(values[:-WEEK]), full=1.0)
    origin = np.array([len(values) - WEEK - 1])
    for model in (analogs, persistence, climatology):
        known, blind = (model(each, origin, 336, np.random.default_rng(0)) for each in (past, shorter))
        assert known is not None
        assert blind is not None
        assert np.array_equal(known, blind)


def test_a_history_of_three_days_has_a_backtest_and_one_of_two_has_none() -> None:
    assert backtest(history(np.linspace(0.1, 0.5, 48)), horizon=336) == ()
    assert [score.cutoffs for score in backtest(history(np.linspace(0.1, 0.5, 72)), horizon=336)] == [1, 1]


def test_irregular_readings_are_carried_a_day_and_no_longer() -> None:
    windows = Windows(np.array([0, 3, 40]) * HOUR, np.array([0.1, 0.2, 0.3]))
    grid = History.of("P/1/fillingLevel", on_grid(windows, end_ms=43 * HOUR), end_ms=43 * HOUR).values
    assert grid.tolist()[:4] == [0.1, 0.1, 0.1, 0.2]
    assert grid[3 + 24] == 0.2
    assert np.isnan(grid[3 + 25 : 40]).all()
    assert grid.tolist()[40:] == [0.3, 0.3, 0.3]


def test_readings_after_the_cutoff_are_not_known() -> None:
    windows = Windows(np.array([0, 1, 2]) * HOUR, np.array([0.1, 0.2, 0.3]))
    assert on_grid(windows, end_ms=2 * HOUR).tolist() == [0.1, 0.2]


def test_a_recording_is_seen_from_its_own_end() -> None:
    now = 100 * HOUR + 5
    assert present_ms(now, now - HOUR) == 100 * HOUR
    assert present_ms(now, now - SILENCE_MS) == 100 * HOUR
    assert present_ms(now + SILENCE_MS, 7 * HOUR + 1) == 8 * HOUR


def _width(answer: Forecast, step: int) -> float:
    return answer.quantiles[0.9][step] - answer.quantiles[0.1][step]
