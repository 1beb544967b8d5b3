"""Messages that a hub has not named committed, and how long it took to name the others."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from tweeling.wire.ranges import Range


class Window:
    """Messages are counted from 0; each is `seqs` sequence numbers wide, the first begins at seq 1."""

    def __init__(self, seqs: int) -> None:
        self._seqs = seqs
        self._sent_at: dict[int, float] = {}  # of those under way
        self._repeated_at: dict[int, float] = {}
        self.low = 0  # the oldest under way, or the next
        self.sent = 0
        self.repeats = 0
        self.settled_at = 0.0
        self.latencies_ms = array("f")

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._sent_at)

    def send(self, count: int, now: float) -> range:
        """Put the next messages under way."""
        new = range(self.sent, self.sent + count)
        self._sent_at.update(dict.fromkeys(new, now))
        self.sent += count
        return new

    def settle(self, ranges: Iterable[Range], now: float) -> None:
        """Forget the messages that lie wholly in one of these ranges of seqs."""
        for first, last in ranges:
            begin, end = -((1 - first) // self._seqs), last // self._seqs
            for message in range(max(begin, self.low), min(end, self.sent)):
                if (sent_at := self._sent_at.pop(message, None)) is not None:
                    self._repeated_at.pop(message, None)
                    self.latencies_ms.append((now - sent_at) * 1000)
                    self.settled_at = now
        while self.low < self.sent and self.low not in self._sent_at:
            self.low += 1

    def overdue(self, now: float, wait_s: float) -> list[int]:
        """Which were sent more than `wait_s` ago and are to be sent again now."""
        found = []
        for message, sent_at in self._sent_at.items():
            if sent_at > now - wait_s:
                break  # the rest is younger
            if self._repeated_at.get(message, sent_at) <= now - wait_s:
                self._repeated_at[message] = now
                found.append(message)
        self.repeats += len(found)
        return found
