"""The forecast of one series, as a pure function of its history."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tweeling.domain.forecast import Forecast, Score
from tweeling.services.forecasting.history import HOUR_MS, SILENCE_MS, Floats, History
from tweeling.services.forecasting.past import Past
from tweeling.services.forecasting.scoring import MODELS, backtest, choose, quantiles

LEVELS = (0.1, 0.5, 0.9)
LEAST = 48
"""Known values below which nothing honest can be said."""

_PASSAGE = (0.1, 0.5, 0.9)


def forecast(
    history: History,
    *,
    horizon: int,
    levels: Sequence[float] = LEVELS,
    full: float = 1.0,
    seed: int = 0,
    scores: Sequence[Score] | None = None,
) -> Forecast | None:
    """Forecast a level in [0, full] for `horizon` hours; None where the history is too short or ended long ago.

    The same input gives the same answer. scores: an earlier backtest of this series, to be used in place of a new one.
    """
    known = np.flatnonzero(np.isfinite(history.values))
    if len(known) < LEAST:
        return None
    silent = len(history.values) - 1 - int(known[-1])
    if silent * HOUR_MS > SILENCE_MS:
        return None
    values = history.values[known[0] : known[-1] + 1]
    spoken = History(history.series, history.end_ms - silent * HOUR_MS, values)
    if scores is None:
        scores = backtest(spoken, horizon=horizon, full=full, seed=seed)
    # Silent hours are forecast too and then passed over: what nobody saw widens what is shown.
    served, paths = _paths(Past.of(spoken, full=full), choose(scores), silent + horizon, seed)
    if paths is None:
        return None
    paths = paths[silent:]
    now = values[-1] if silent == 0 else -math.inf
    p_full, hours_to_full = first_passage(paths, full, now=now)
    times = range(history.end_ms + HOUR_MS, history.end_ms + (horizon + 1) * HOUR_MS, HOUR_MS)
    fan = quantiles(paths, np.asarray(levels, dtype=np.float64)).tolist()
    return Forecast(
        series=history.series,
        cutoff_ms=history.end_ms,
        step_ms=HOUR_MS,
        times_ms=tuple(times),
        quantiles={level: tuple(row) for level, row in zip(levels, fan, strict=True)},
        full=full,
        p_full=p_full,
        hours_to_full=hours_to_full,
        served=served,
        scores=tuple(scores),
    )


def first_passage(
    paths: Floats, full: float, *, now: float
) -> tuple[float, tuple[float | None, float | None, float | None]]:
    """Return P(a path reaches `full`), and P10, P50, P90 of the hours until it does; None beyond the horizon."""
    if now >= full:
        return 1.0, (0.0, 0.0, 0.0)
    there = paths >= full
    hours = np.sort(np.where(there.any(axis=0), there.argmax(axis=0) + 1.0, math.inf))
    p10, p50, p90 = (float(hours[math.ceil(level * len(hours)) - 1]) for level in _PASSAGE)
    return float(np.isfinite(hours).mean()), (_within(p10), _within(p50), _within(p90))


def _within(hours: float) -> float | None:
    return hours if math.isfinite(hours) else None


def _paths(past: Past, chosen: str, steps: int, seed: int) -> tuple[str, Floats | None]:
    """Paths [step, path] of the chosen model, or of the first other one that this past is long enough for."""
    origin = np.array([len(past.level) - 1])
    for name in (chosen, *MODELS):
        paths = MODELS[name](past, origin, steps, np.random.default_rng(seed))
        if paths is not None:
            return name, paths[:, 0, :]
    return chosen, None
