"""How long to wait before the next connection: longer each time, jittered, and longest where trying helps nobody."""

from __future__ import annotations

import random

FIRST_S = 1.0
BUSY_S = 10.0
LONGEST_S = 60.0
STEADY_S = 10.0  # a connection that lived so long starts the waiting anew

# Reason codes of MQTT 5 (§2.4); paho gives those of 3.1.1 the same numbers.
BAD_VERSION = 0x84
NOT_AUTHORISED = 0x87
DENIALS = frozenset({0x86, NOT_AUTHORISED, 0x8A, 0x8C})  # password, authorisation, ban, method
BUSY = frozenset({0x89, 0x97, 0x9F})  # server busy, quota exceeded, too many connections


class Backoff:
    """Asked after each connection."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._wait = FIRST_S

    def seconds(self, *, code: int, lived_s: float) -> float:
        """Seconds to wait after a connection that lived so long and ended for this reason (0: none was told)."""
        if lived_s >= STEADY_S:
            self._wait = FIRST_S
        if code in DENIALS or code == BAD_VERSION:
            self._wait = LONGEST_S
        elif code in BUSY:
            self._wait = max(self._wait, BUSY_S)
        wait = self._wait
        self._wait = min(2 * wait, LONGEST_S)
        return wait * self._rng.uniform(0.5, 1.0)
