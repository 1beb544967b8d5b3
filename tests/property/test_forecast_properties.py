import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from support_forecast import MONDAY, WEEK, Floats, history

from tweeling.services.forecasting import forecast
from tweeling.services.forecasting.past import Past
from tweeling.services.forecasting.paths import analogs, climatology, persistence

WEEK_MS = WEEK * 3_600_000


@st.composite
def levels(draw: st.DrawFn) -> Floats:
    """Any level: noisy, drifting, emptied now and then, with gaps, and even out of its bounds."""
    hours = draw(st.integers(30, 3000))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = draw(st.floats(0, 1)) + np.cumsum(rng.normal(draw(st.floats(-0.01, 0.01)), draw(st.floats(0, 0.1)), hours))
    if draw(st.booleans()):
        values = np.mod(values, 1.0)
    values = np.clip(values, -0.2, 1.2)
    values[rng.random(hours) < draw(st.sampled_from([0.0, 0.001, 0.02, 0.5]))] = np.nan
    return values


@settings(max_examples=60)
@given(
    values=levels(),
    full=st.sampled_from([1.0, 0.7]),
    horizon=st.sampled_from([1, 24, 200, 336]),
    seed=st.integers(0, 9),
)
def test_every_forecast_is_bounded_ordered_repeatable_and_agrees_with_itself(
    values: Floats, full: float, horizon: int, seed: int
) -> None:
    answer = forecast(history(values), horizon=horizon, full=full, seed=seed)
    assert answer == forecast(history(values), horizon=horizon, full=full, seed=seed)
    if answer is None:
        return
    low, mid, high = (np.array(answer.quantiles[level]) for level in (0.1, 0.5, 0.9))
    assert (low >= 0).all()
    assert (low <= mid).all()
    assert (mid <= high).all()
    assert (high <= full).all()
    assert 0 <= answer.p_full <= 1
    for level, hours in zip((0.1, 0.5, 0.9), answer.hours_to_full, strict=True):
        assert (hours is not None) == (answer.p_full >= level)
        assert hours is None or 0 <= hours <= horizon
    reached = [hours for hours in answer.hours_to_full if hours is not None]
    assert reached == sorted(reached)


@settings(max_examples=30)
@given(values=levels(), horizon=st.sampled_from([1, 30, 336]))
def test_every_path_of_every_model_stays_within_its_bounds(values: Floats, horizon: int) -> None:
    past = Past.of(history(values), full=1.0)
    known = np.flatnonzero(np.isfinite(past.level))
    if not len(known):
        return
    for model in (analogs, persistence, climatology):
        paths = model(past, known[-1:], horizon, np.random.default_rng(0))
        assert paths is None or (np.isfinite(paths).all() and (paths >= 0).all() and (paths <= 1).all())


@settings(max_examples=20)
@given(values=levels(), weeks=st.integers(-100, 100))
def test_the_same_past_weeks_later_has_the_same_forecast_weeks_later(values: Floats, weeks: int) -> None:
    one = forecast(history(values), horizon=48)
    other = forecast(history(values, end_ms=MONDAY + weeks * WEEK_MS), horizon=48)
    if one is None or other is None:
        assert one is other
        return
    shifted = tuple(time_ms + weeks * WEEK_MS for time_ms in one.times_ms)
    assert other == one._replace(cutoff_ms=one.cutoff_ms + weeks * WEEK_MS, times_ms=shifted)
