"""What a full outbox gives up: readings, oldest first, until one an hour is left of each series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tweeling.errors import InvariantError
from tweeling_edge.sample import from_body

HOUR_MS = 3_600_000


class Candidate(NamedTuple):
    """A reading that may be given up."""

    seq: int
    size: int
    body: str


class Pass:
    """One walk over an outbox, a piece at a time, so that nobody waits long; it remembers one hour of each series."""

    def __init__(self) -> None:
        self.seen = 0  # the newest seq that was looked at
        self._kept: dict[str, int] = {}  # the hour of the last reading that stays

    def choose(self, candidates: Iterable[Candidate], excess: int) -> Iterator[Candidate]:
        """Yield, oldest first, what to give up until `excess` bytes are freed: all but the first of an hour."""
        for candidate in candidates:
            if excess <= 0:
                return
            self.seen = candidate.seq
            try:
                hours = {record.name: record.time_ms // HOUR_MS for record in from_body(candidate.body)}
            except InvariantError:
                hours = {}  # what cannot be read cannot be sent either
            if all(self._kept.get(name) == hour for name, hour in hours.items()):
                excess -= candidate.size
                yield candidate
            self._kept |= hours
