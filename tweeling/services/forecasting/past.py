"""A history as models use it: levels, the increments between them, and the resets among those."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tweeling.services.forecasting.history import Floats, History

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MEMORY = 5
"""Hours over which a level is read, so that one noisy sample does not shift a whole path."""

_JUMP = 0.05  # of full: a sample farther from its recent median is news, not noise
_RESET = 0.2  # of full: a larger drop in one hour is an emptying


class Past(NamedTuple):
    """Columns of a history, one row an hour.

    level: the values, within [0, full]. anchor: the level with noise taken out. change: level less the level before.
    reset: an emptying, after which the level is what was left, whatever it was before. missing: NaNs before this row.
    """

    full: float
    level: Floats
    anchor: Floats
    change: Floats
    reset: Bools
    missing: Ints

    @classmethod
    def of(cls, history: History, *, full: float) -> Past:
        """Take a history apart."""
        level = np.clip(history.values, 0.0, full)
        change = np.diff(level, prepend=np.nan)
        padded = np.concatenate([np.full(MEMORY - 1, np.nan), level])
        median = np.median(np.lib.stride_tricks.sliding_window_view(padded, MEMORY), axis=1)
        missing = np.concatenate([[0], np.cumsum(np.isnan(level))])
        return cls(full, level, _settle(median, level, full), change, change < -_RESET * full, missing)

    def whole(self, first: Ints, last: Ints) -> Bools:
        """Whether no value is missing in [first, last]."""
        return np.equal(self.missing[last + 1], self.missing[first])

    def settled(self, tail: Floats) -> Floats:
        """The level at the end of a path, read from its last steps as `anchor` is."""
        return _settle(np.median(tail, axis=0), tail[-1], self.full)


def _settle(median: Floats, level: Floats, full: float) -> Floats:
    """The median where the level is near it; a level that really moved, or has no recent past, speaks for itself."""
    return np.where(np.abs(level - median) < _JUMP * full, median, level)
