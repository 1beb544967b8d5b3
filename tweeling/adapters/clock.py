"""Clocks."""

from __future__ import annotations

import time


class SystemClock:
    """The machine's own time."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return time.time_ns() // 1_000_000


class ScaledClock:
    """A time that runs `speed` times as fast as the machine's, from one moment that both share."""

    def __init__(self, *, origin_sim_ms: int, origin_real_ms: int, speed: float) -> None:
        self._sim, self._real, self._speed = origin_sim_ms, origin_real_ms, speed

    def now_ms(self) -> int:
        """Milliseconds since 1970, in scaled time."""
        real = time.time_ns() // 1_000_000
        return self._sim + round((real - self._real) * self._speed)
