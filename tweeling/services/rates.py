"""How fast a total grows, and how values are spread: arithmetic over what was seen, at times that only go on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from tweeling.domain.vitals import Distribution


class Growth:
    """A total as it was seen at moments of the last `span_s` seconds; times are monotonic seconds."""

    def __init__(self, span_s: float) -> None:
        self._span_s = span_s
        self._times: list[float] = []
        self._totals: list[float] = []

    def note(self, at_s: float, total: float) -> None:
        """See the total at a moment; one older than the span goes when a younger one covers the span as well."""
        self._times.append(at_s)
        self._totals.append(total)
        gone = bisect_right(self._times, at_s - self._span_s) - 1
        if gone > 0:
            del self._times[:gone], self._totals[:gone]

    def per_second(self, within_s: float, *, at_least_s: float = 0.0) -> float | None:
        """Growth a second over about the last `within_s` seconds; None while less than `at_least_s` of them is seen."""
        if len(self._times) < 2:
            return None
        first = min(max(bisect_right(self._times, self._times[-1] - within_s) - 1, 0), len(self._times) - 2)
        seconds = self._times[-1] - self._times[first]
        if seconds <= 0 or seconds < at_least_s:
            return None
        return (self._totals[-1] - self._totals[first]) / seconds


class Spread:
    """Counts values between bounds. One thread adds; any may read, and sees whole values only."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def seen(self) -> Distribution:
        """What was counted so far."""
        return Distribution(self._bounds, tuple(self._counts), self._total)
