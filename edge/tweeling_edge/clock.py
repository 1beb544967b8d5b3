"""Time as readings carry it: the machine's own, or one that runs faster from a shared moment."""

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

    def now_ms(self) -> int:
        """Milliseconds since 1970 in this clock's time."""
        return self.origin_sim_ms + round((self.real_ms() - self.origin_real_ms) * self.speed)

    def wait_until(self, time_ms: float, stop: threading.Event) -> bool:
        """Wait for a moment of this clock; return False when `stop` came first."""
        while (left := (time_ms - self.now_ms()) / 1000 / self.speed) > 0:
            if stop.wait(min(left, 60.0)):
                return False
        return not stop.is_set()
