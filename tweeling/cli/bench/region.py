"""Points as a region of hubs makes them, in the order in which they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tweeling.domain.points import Points
from tweeling.domain.telemetry import FILLING_LEVEL

DAY_MS = 86_400_000
_STARTS_MS = 1_735_689_600_000  # 2025-01-01, UTC
_YEAR = 365
_JITTER_S = 2.0  # of a reading's own time around its schedule, one standard deviation
_FULL = 950  # thousandths: then somebody comes and empties


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Zones with a year of data, and containers with its last days; each reports at one pace, with jitter.

    Times are whole seconds, values thousandths of a filling level: what such sensors tell.
    """

    points: int
    zones: int = 50
    containers: int = 950
    days: int = 80

    @property
    def names(self) -> tuple[str, ...]:
        """Every series, the zones first."""
        kinds = (("zone", self.zones), ("container", self.containers))
        return tuple(f"H{at % 7 + 1}/{kind}-{at:03}/{FILLING_LEVEL}" for kind, count in kinds for at in range(count))

    @property
    def end_ms(self) -> int:
        """Where the data ends: the twin's now."""
        return _STARTS_MS + _YEAR * DAY_MS

    @property
    def every_s(self) -> float:
        """Seconds between two readings of a series."""
        return (self.zones * _YEAR + self.containers * self.days) * 86_400 / self.points

    def batches(self, size: int = 50_000) -> Iterator[Points]:
        """All points, by time, in batches of about this many."""
        random = np.random.default_rng(2026)
        names, series = self.names, self.zones + self.containers
        levels = random.integers(0, _FULL, series)
        every_ms = self.every_s * 1000
        phases = random.uniform(0, every_ms, series)  # nobody starts all sensors in the same moment
        first = int((_YEAR - self.days) * DAY_MS / every_ms)
        step = 0
        while (live := self.zones if step < first else series) and step * every_ms < _YEAR * DAY_MS:
            steps = max(size // live, 1)
            if step < first:
                steps = min(steps, first - step)
            numbers = np.arange(step, step + steps)[:, None]
            jitter_ms = random.normal(0, _JITTER_S * 1000, (steps, live))
            times = _STARTS_MS + numbers * every_ms + phases[:live] + jitter_ms
            filled = levels[:live] + np.cumsum(random.integers(0, 4, (steps, live)), axis=0)
            levels[:live] = filled[-1] % _FULL
            noise = random.integers(-1, 2, (steps, live))
            values = np.clip(filled % _FULL + noise, 0, 1000) / 1000
            seconds = (times / 1000).round().astype(np.int64)
            order = np.argsort(seconds, axis=None, kind="stable")
            codes = np.broadcast_to(np.arange(live, dtype=np.int32), (steps, live)).reshape(-1)[order]
            kept = seconds.reshape(-1)[order] * 1000 < self.end_ms
            yield Points(
                names,
                codes[kept],
                seconds.reshape(-1)[order][kept] * 1000,
                values.reshape(-1)[order][kept],
                np.zeros(int(kept.sum()), dtype=np.uint8),
            )
            step += steps
