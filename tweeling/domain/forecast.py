"""A forecast as a value: never without its interval, its baseline and its backtest."""

from __future__ import annotations

from typing import NamedTuple


class Score(NamedTuple):
    """How one model did on past cutoffs: mean pinball loss (CRPS-like, in the series' unit), coverage of P10..P90."""

    model: str
    crps: float
    coverage80: float
    cutoffs: int


class Forecast(NamedTuple):
    """Quantiles of one series on a regular grid.

    times_ms[i] is the end of step i behind `cutoff_ms`; quantiles[level][i] is the value not exceeded with
    probability `level`. p_full: P(reaches `full` within the horizon). hours_to_full: P10, P50, P90 of the first
    passage in hours, None where it lies beyond the horizon. served: the model shown; it is the baseline when the
    model did not beat it.
    """

    series: str
    cutoff_ms: int
    step_ms: int
    times_ms: tuple[int, ...]
    quantiles: dict[float, tuple[float, ...]]
    full: float
    p_full: float
    hours_to_full: tuple[float | None, float | None, float | None]
    served: str
    scores: tuple[Score, ...]
