"""What the server remembers of those who logged in: sessions, one-time codes, failed attempts.

Everything is in memory: after a restart people log in again.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tweeling.api.principals import Principal

Seconds = Callable[[], float]


@dataclass(slots=True)
class _Session:
    principal: Principal
    opened: float
    seen: float


class Sessions:
    """Sessions by a random id, of which only the hash is kept. An open page keeps its session from idling."""

    def __init__(
        self,
        *,
        clock: Seconds = time.monotonic,
        idle_s: float = 12 * 3600,
        longest_s: float = 7 * 24 * 3600,
        most: int = 1000,
    ) -> None:
        self._clock = clock
        self._idle_s = idle_s
        self.longest_s = longest_s
        self._most = most
        self._sessions: dict[bytes, _Session] = {}
        self._lock = threading.Lock()

    def open(self, principal: Principal) -> str:
        """Begin a session and return its id; beyond the most that are kept, the one longest unseen ends."""
        now = self._clock()
        key = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions = {digest: one for digest, one in self._sessions.items() if self._alive(one, now)}
            if len(self._sessions) >= self._most:
                del self._sessions[min(self._sessions, key=lambda digest: self._sessions[digest].seen)]
            self._sessions[_digest(key)] = _Session(principal, now, now)
        return key

    def find(self, key: str) -> Principal | None:
        """Whose session this is, and note that it was seen; None when it ended or never was."""
        now = self._clock()
        with self._lock:
            session = self._sessions.get(_digest(key))
            if session is None:
                return None
            if not self._alive(session, now):
                del self._sessions[_digest(key)]
                return None
            session.seen = now
            return session.principal

    def close(self, key: str) -> None:
        """End a session."""
        with self._lock:
            self._sessions.pop(_digest(key), None)

    def _alive(self, session: _Session, now: float) -> bool:
        return now - session.seen < self._idle_s and now - session.opened < self.longest_s


class _Code(NamedTuple):
    principal: Principal
    until: float


class Codes:
    """Codes that open one session each, within a minute or two of being issued."""

    def __init__(self, *, clock: Seconds = time.monotonic, lasts_s: float = 120, most: int = 100) -> None:
        self._clock = clock
        self.lasts_s = lasts_s
        self._most = most
        self._codes: dict[bytes, _Code] = {}
        self._lock = threading.Lock()

    def issue(self, principal: Principal) -> str:
        """Return a new code; it belongs into a URL's fragment, which is never sent to any server."""
        now = self._clock()
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._codes = {digest: one for digest, one in self._codes.items() if one.until > now}
            if len(self._codes) >= self._most:
                del self._codes[next(iter(self._codes))]
            self._codes[_digest(code)] = _Code(principal, now + self.lasts_s)
        return code

    def redeem(self, code: str) -> Principal | None:
        """Who the code is for; it is spent now. None when it is unknown, spent or too old."""
        with self._lock:
            found = self._codes.pop(_digest(code), None)
        return found.principal if found is not None and found.until > self._clock() else None


class Attempts:
    """A bucket of attempts (to log in, to read what is open) per address: `burst` at once, then one every `every_s`."""

    def __init__(
        self, *, clock: Seconds = time.monotonic, burst: int = 8, every_s: float = 5, most: int = 4096
    ) -> None:
        self._clock = clock
        self._burst = burst
        self._every_s = every_s
        self._most = most
        self._full_at: dict[str, float] = {}  # when each address has its whole burst again
        self._lock = threading.Lock()

    def take(self, address: str) -> float:
        """Take one attempt and return 0, or return the seconds to wait for the next."""
        now = self._clock()
        with self._lock:
            full_at = max(now, self._full_at.get(address, now)) + self._every_s
            wait = full_at - now - self._burst * self._every_s
            if wait > 0:
                return wait
            if len(self._full_at) >= self._most:
                self._full_at = {key: at for key, at in self._full_at.items() if at > now}
            if len(self._full_at) >= self._most:
                return self._every_s
            self._full_at[address] = full_at
            return 0.0

    def forgive(self, address: str) -> None:
        """Give the attempts back to one who knew the password."""
        with self._lock:
            self._full_at.pop(address, None)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
