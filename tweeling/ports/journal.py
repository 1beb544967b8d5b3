"""The ingest journal: the only commit point of telemetry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from tweeling.domain.points import Points
from tweeling.domain.telemetry import Movement
from tweeling.wire.parcel import Parcel, Suspect
from tweeling.wire.ranges import SeqSet


class Quarantined(NamedTuple):
    """A suspect in the journal; seen: how often exactly these bytes came on this topic."""

    id: int
    recorded_ms: int
    suspect: Suspect
    seen: int


class Again(NamedTuple):
    """A message of the quarantine, and what it alone means today."""

    id: int
    parcel: Parcel


class Extent(NamedTuple):
    """What a journal holds now. bytes: of its files. waiting_ms: when the first batch behind a number was recorded.

    trimmed: the number through which batches can be read no more.
    """

    batches: int
    bytes: int
    waiting_ms: int | None
    trimmed: int


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


class Replayed(NamedTuple):
    """What came of messages replayed. suspect: ids of those that stay in quarantine."""

    batch: Batch | None
    suspect: tuple[int, ...]


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

    @property
    def id(self) -> str:
        """What makes this journal itself: random, made with it. Empty for one that was made before it had any."""
        ...

    def commit(self, parcel: Parcel, *, recorded_ms: int) -> Batch | None:
        """Commit all in one transaction; return what was new, None when nothing was.

        An envelope with newly refused seqs is also quarantined.
        """
        ...

    def replay(self, messages: Sequence[Again], *, recorded_ms: int) -> Replayed:
        """Commit what messages of the quarantine mean today, all in one transaction.

        Here a seq that was refused may be committed after all. If nothing of a message is refused any more, it leaves
        the quarantine; else it stays with the reason of today.
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

    def extent(self, after: int) -> Extent:
        """How much is kept, and since when what follows batch `after` waits."""
        ...

    def trim(self, through: int) -> None:
        """Allow to forget the envelope bytes of batches up to `through`; ranges, movements and totals stay.

        A journal keeps some of the newest for as long as they take little room.
        """
        ...

    def quarantine(
        self, limit: int = 100, *, before: int | None = None, reason: str = "", topic: str = ""
    ) -> Sequence[Quarantined]:
        """The newest suspects first, those with an id below `before` whose reason and topic contain these words.

        At most `limit`, and fewer where they are large, but none only where there is none. The oldest go when there are
        too many.
        """
        ...

    def counts(self) -> dict[str, int]:
        """Totals since the beginning, by the names of `intake.TOTALS`.

        readings are points; quarantined counts messages, each as often as it came; of these quarantine_dropped counts
        those that had to go, and replayed those that left; refused and dropped count the seqs that are so now, repeated
        those that came again.
        """
        ...

    def close(self) -> None:
        """Let go of files; what was committed stays."""
        ...
