"""A time-series store in memory: for tests, and for a hub that may forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np

from tweeling.adapters.columns import reduce_windows
from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import Aggregate, Found, Kept, Windows


class MemoryStore:
    """TimeSeriesStore that lasts as long as its process."""

    precision = 0.0

    def __init__(self) -> None:
        self._lock = Lock()
        self._series: dict[str, dict[int, tuple[float, int]]] = {}
        self._applied: dict[str, int] = {}

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Apply points once per (source, through)."""
        with self._lock:
            if through <= self._applied.get(source, 0):
                return
            for name, time_ms, value, quality in points.rows():
                self._series.setdefault(name, {})[time_ms] = (value, quality)
            self._applied[source] = through

    def applied(self, source: str) -> int:
        """The number through which a source is applied, 0 when never."""
        with self._lock:
            return self._applied.get(source, 0)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        with self._lock:
            return self._under(prefix)

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`."""
        with self._lock:
            newest = ((name, max(self._series[name])) for name in self._under(prefix))
            return [Point(name, time_ms, *self._series[name][time_ms]) for name, time_ms in newest]

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        return reduce_windows(self.raw(series, start_ms=start_ms, end_ms=end_ms), step_ms, aggregate)

    def windows(
        self, series: Sequence[str], *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> Mapping[str, Windows]:
        """`window` of many series at one look."""
        return {
            name: self.window(name, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, aggregate=aggregate)
            for name in series
        }

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time."""
        with self._lock:
            rows = sorted(item for item in self._series.get(series, {}).items() if start_ms <= item[0] < end_ms)
        times, values = [time_ms for time_ms, _ in rows], [value for _, (value, _) in rows]
        return Points.columns((series,), [0] * len(rows), times, values, [quality for _, (_, quality) in rows])

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        with self._lock:
            rows = [self._series.get(row.series, {}).get(row.time_ms) for row in points.rows()]
        return Found(
            np.array([row is not None for row in rows], dtype=np.bool_),
            np.array([row[0] if row else 0.0 for row in rows], dtype=np.float64),
            np.array([row[1] if row else 0 for row in rows], dtype=np.uint8),
        )

    def count(self, prefix: str = "") -> int:
        """How many points lie under `prefix`."""
        with self._lock:
            return sum(len(self._series[name]) for name in self._under(prefix))

    @staticmethod
    def kept() -> Kept:
        """Everything."""
        return Kept()

    def close(self) -> None:
        """Nothing to let go of."""

    def _under(self, prefix: str) -> list[str]:
        return sorted(name for name in self._series if name.startswith(prefix))
