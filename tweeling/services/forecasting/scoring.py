"""How each model would have done on this very series: the backtest, and the choice it leads to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from tweeling.domain.forecast import Score
from tweeling.services.forecasting.history import Floats, History
from tweeling.services.forecasting.past import Ints, Past
from tweeling.services.forecasting.paths import Model, analogs, climatology, persistence

MODEL = "analogs"
FALLBACK = "persistence"
MODELS: Mapping[str, Model] = MappingProxyType(
    {MODEL: analogs, FALLBACK: persistence, "climatology": climatology},
)
"""The model first, then its baselines."""

CUTOFFS = 8
_APART = 2 * 168 + 31  # steps: two weeks, and another hour of the week each time
_LEARN = 48  # steps before the first cutoff
_LEVELS = np.arange(1, 10) / 10


def backtest(history: History, *, horizon: int, full: float = 1.0, seed: int = 0) -> tuple[Score, ...]:
    """Score every model at past cutoffs, each told only what was known then.

    crps is twice the mean pinball loss over the deciles. Eight cutoffs over the last 17 weeks; a short history has
    fewer, with a shorter horizon; one of less than three days may have none.
    """
    past = Past.of(history, full=full)
    horizon = min(horizon, len(past.level) // 4)
    origins = _cutoffs(past, horizon)
    if not len(origins):
        return ()
    truth = past.level[origins + np.arange(1, horizon + 1)[:, None]]
    scores = []
    for name, model in MODELS.items():
        paths = model(past, origins, horizon, np.random.default_rng(seed))
        if paths is not None:
            scores.append(_score(name, quantiles(paths, _LEVELS), truth))
    return tuple(scores)


def choose(scores: Sequence[Score]) -> str:
    """The model to serve: ours only where it beat every baseline, without a backtest the plainest one."""
    return min(scores, key=lambda score: (score.crps, score.model == MODEL), default=_NONE).model


def quantiles(paths: Floats, levels: Floats) -> Floats:
    """Quantiles over paths: [level, step, …] from [step, …, path]."""
    ordered = np.sort(paths, axis=-1)
    place = levels * (ordered.shape[-1] - 1)
    lower = np.floor(place).astype(int)
    upper = np.minimum(lower + 1, ordered.shape[-1] - 1)
    mixed = ordered[..., lower] + (place - lower) * (ordered[..., upper] - ordered[..., lower])
    return np.moveaxis(mixed, -1, 0)


_NONE = Score(FALLBACK, 0.0, 0.0, 0)


def _cutoffs(past: Past, horizon: int) -> Ints:
    """The origins of a backtest, the newest first; half of the past lies before all of them."""
    newest = len(past.level) - 1 - horizon
    oldest = max(_LEARN, len(past.level) // 2, newest - (CUTOFFS - 1) * _APART)
    if horizon < 1 or newest < oldest:
        return np.empty(0, dtype=np.int64)
    count = min(CUTOFFS, 1 + (newest - oldest) // 24)
    origins: Ints = np.linspace(newest, oldest, count).astype(np.int64)
    followed = np.isfinite(past.level[origins + np.arange(1, horizon + 1)[:, None]]).any(axis=0)
    usable: Ints = origins[followed & np.isfinite(past.level[origins])]
    return usable


def _score(name: str, fan: Floats, truth: Floats) -> Score:
    error = truth - fan
    pinball = np.maximum(_LEVELS[:, None, None] * error, (_LEVELS[:, None, None] - 1) * error)
    inside = (truth >= fan[0]) & (truth <= fan[-1])
    return Score(
        name,
        crps=float(2 * np.nanmean(pinball)),
        coverage80=float(inside[np.isfinite(truth)].mean()),
        cutoffs=truth.shape[1],
    )
