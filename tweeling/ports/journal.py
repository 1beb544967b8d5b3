"""The ingest journal: the only commit point of telemetry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tweeling.domain.points import Points
from tweeling.domain.telemetry import Movement
from tweeling.wire.envelope import Decoded
from tweeling.wire.ranges import SeqSet


class Arrival(NamedTuple):
    """A decoded envelope and the bytes it came in, for the record."""

    topic: str
    payload: bytes
    decoded: Decoded


class Suspect(NamedTuple):
    """A message without meaning, or an envelope of which a seq was refused: kept as it came."""

    topic: str
    payload: bytes
    reason: str


class Quarantined(NamedTuple):
    """A suspect in the journal; seen: how often exactly these bytes came on this topic."""

    id: int
    recorded_ms: int
    suspect: Suspect
    seen: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One commit, as projections apply it: only what was new in it.

    number: 1, 2, 3 … without holes. recorded_ms: the hub's own clock.
    """

    number: int
    recorded_ms: int
    points: Points
    movements: tuple[Movement, ...]


class NodeEpoch(NamedTuple):
    """One outbox of one node."""

    hub: str
    node: str
    epoch: str


class Settled(NamedTuple):
    """What the journal knows of one node's epoch; a seq stays what it first became."""

    committed: SeqSet = SeqSet()
    refused: SeqSet = SeqSet()
    dropped: SeqSet = SeqSet()


class Journal(Protocol):
    """Durable, single-writer, exactly-once by (node, epoch, seq): a repeat changes nothing but its count.

    Raises UnavailableError when the disk does not take it; then nothing of the batch is kept, and the same commit may
    be asked again. Raises InvariantError, and keeps nothing either, when the content of a message can never be kept.
    """

    def commit(self, arrivals: Sequence[Arrival], suspects: Sequence[Suspect], *, recorded_ms: int) -> Batch | None:
        """Commit all in one transaction; return what was new, None when nothing was.

        recorded_ms is the time the arrivals were decoded at. An envelope with newly refused seqs is also quarantined.
        """
        ...

    def settled(self, node: NodeEpoch) -> Settled:
        """The ranges of one node's epoch."""
        ...

    def read(self, after: int, limit: int) -> Sequence[Batch]:
        """At most `limit` batches behind number `after`, in order, decoded from the bytes kept.

        Raises RejectedError when some of them are trimmed.
        """
        ...

    def last(self) -> int:
        """The number of the newest batch, 0 when there is none."""
        ...

    def trim(self, through: int) -> None:
        """Forget the envelope bytes of batches up to `through`; ranges, movements and totals stay."""
        ...

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        """The newest suspects first; the oldest go when there are too many."""
        ...

    def counts(self) -> dict[str, int]:
        """Totals since the beginning, by the names of `intake.TOTALS`.

        readings are points; quarantined, and quarantine_dropped of them, count messages; refused, dropped and repeated
        count seqs.
        """
        ...

    def close(self) -> None:
        """Let go of files; what was committed stays."""
        ...
