"""The time-series store: a projection of the journal that answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.points import Point, Points


class Aggregate(StrEnum):
    """How a window becomes one value."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    LAST = "last"
    COUNT = "count"


class Windows(NamedTuple):
    """Non-empty windows: `values[i]` over [times[i], times[i] + step)."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]


class Found(NamedTuple):
    """What a store holds at asked points, in their order; where `there` is false, the rest means nothing."""

    there: NDArray[np.bool_]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]


class Kept(NamedTuple):
    """What a store keeps of what it was given. from_ms: from then on every point, as it came.

    removed: how many older points it keeps no more as they came, but in hourly values at best.
    """

    from_ms: int = 0
    removed: int = 0


class TimeSeriesStore(Protocol):
    """Points by (series, time); the last one applied for the same series and time stands.

    Every method raises UnavailableError while the store does not answer. A value comes back as it was applied;
    where a store keeps decimals, off by at most `precision` times the largest value of its series around it.
    """

    precision: float

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Apply points and note, in the same transaction, that `source` is applied through this number.

        A number at or below `applied(source)` changes nothing.
        """
        ...

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        ...

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        ...

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series."""
        ...

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        ...

    def windows(
        self, series: Sequence[str], *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> Mapping[str, Windows]:
        """`window` of many series at one look; every series asked for has its windows, if only none."""
        ...

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time."""
        ...

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points, whatever their values."""
        ...

    def count(self, prefix: str = "") -> int:
        """How many points the store holds under `prefix`."""
        ...

    def kept(self) -> Kept:
        """From when on every point is here; before that, windows answer with hourly values."""
        ...

    def close(self) -> None:
        """Let go of files and sockets; what was applied stays."""
        ...
