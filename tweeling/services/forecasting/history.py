"""A series on an hourly grid: what every model starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tweeling.ports.timeseries import Windows

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CARRY = 24
"""Hours for which a silent sensor's last word still counts as its level."""
SILENCE_MS = 14 * DAY_MS
"""A series silent for longer is a recording: its own end is its present."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The level of one series at `end_ms`, a whole hour, and at each hour before it; NaN where nobody knows."""

    series: str
    end_ms: int
    values: Floats

    @classmethod
    def of(cls, series: str, grid: Floats, *, end_ms: int) -> History:
        """Fill the gaps of a grid that ends at `end_ms`, each for CARRY hours at most, with the value before it."""
        hours = np.arange(len(grid))
        last = np.maximum.accumulate(np.where(np.isfinite(grid), hours, -1))
        near = (last >= 0) & (hours - last <= CARRY)
        return cls(series, end_ms, np.where(near, grid[last], np.nan))


def on_grid(windows: Windows, *, end_ms: int) -> Floats:
    """Spread hourly windows of last values over the hours from the first one to `end_ms`; NaN where there is none.

    What was last in an hour is the level at the hour's end.
    """
    place = (windows.times + HOUR_MS - end_ms) // HOUR_MS
    known = place <= 0
    grid = np.full(1 - int(place[0]) if known.any() else 0, np.nan)
    grid[place[known] - 1] = windows.values[known]
    return grid


def present_ms(now_ms: int, latest_ms: int) -> int:
    """The whole hour a series is seen from: the last one before now, or the end of a recording."""
    if now_ms - latest_ms <= SILENCE_MS:
        return now_ms // HOUR_MS * HOUR_MS
    return (latest_ms // HOUR_MS + 1) * HOUR_MS
