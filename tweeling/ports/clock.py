"""Time is an argument."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Milliseconds since 1970, UTC, in the time that readings and events carry (accelerated in the demo)."""

    def now_ms(self) -> int:
        """The time now."""
        ...
