"""Time as readings carry it: the machine's own, or one that runs faster from a shared moment.

Moments are what the clock says, and a clock can be set; waiting goes by what has passed, and that cannot.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import NamedTuple


def system_ms() -> int:
    """Milliseconds since 1970 by the machine."""
    return time.time_ns() // 1_000_000


class Clock(NamedTuple):
    """now = origin_sim + (real now - origin_real) * speed."""

    origin_sim_ms: int = 0
    origin_real_ms: int = 0
    speed: float = 1.0
    real_ms: Callable[[], int] = system_ms
    monotonic_s: Callable[[], float] = time.monotonic

    def now_ms(self) -> int:
        """Milliseconds since 1970 in this clock's time."""
        return self.origin_sim_ms + round((self.real_ms() - self.origin_real_ms) * self.speed)

    def passed_ms(self) -> float:
        """Milliseconds of this clock's time since some moment: only ever more, whatever the clock is set to."""
        return self.monotonic_s() * 1000 * self.speed

    def wait(self, ms: float, stop: threading.Event) -> bool:
        """Let so much of this clock's time pass; return False when `stop` came first."""
        return not stop.wait(max(0.0, ms) / 1000 / self.speed)
