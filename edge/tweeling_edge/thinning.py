"""What a full outbox gives up: readings, oldest first, until one an hour (then one a day) is left of each series."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tweeling.errors import InvariantError
from tweeling_edge.sample import from_body

HOUR_MS = 3_600_000
STEPS = (HOUR_MS, 24 * HOUR_MS)


class Candidate(NamedTuple):
    """A reading that may be given up, in order of seq."""

    seq: int
    size: int
    body: str


def thin(candidates: Iterable[Candidate], *, step_ms: int, excess: int) -> Iterator[Candidate]:
    """Yield, oldest first, what to give up until `excess` bytes are freed: all but the first of a series per step."""
    kept: set[tuple[str, int]] = set()
    for candidate in candidates:
        if excess <= 0:
            return
        try:
            slots = {(record.name, record.time_ms // step_ms) for record in from_body(candidate.body)}
        except InvariantError:
            slots = set()  # what cannot be read cannot be sent either
        if slots <= kept:
            excess -= candidate.size
            yield candidate
        kept |= slots
