"""What an auditor reads of an installation: rows as they are kept, never what the hub makes of them.

Everything of one reader is seen at one moment, however long the look takes. Readers raise VerificationError for rows
that cannot be read any more, UnavailableError where a store does not answer at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from tweeling.domain.points import Points
from tweeling.ports.journal import NodeEpoch
from tweeling.ports.timeseries import Found, Kept


class BatchRow(NamedTuple):
    """One commit. heads: JSON that tells the envelopes in `body` apart."""

    number: int
    recorded_ms: int
    late_ms: int
    readings: int
    movements: int
    size: int
    heads: str
    body: bytes


class RangeRow(NamedTuple):
    """Seqs of one outbox that became something."""

    outbox: int
    kind: str
    first: int
    last: int


class SuspectRow(NamedTuple):
    """One message in quarantine."""

    id: int
    digest: bytes
    topic: str
    payload: bytes
    seen: int


class MovementRow(NamedTuple):
    """One weighing."""

    hub: str
    node: str
    epoch: str
    seq: int
    place: int
    time_ms: int
    zone: str
    direction: str
    net_g: int
    gross_g: int | None
    tare_g: int | None
    material: str
    partner: str | None
    ticket: str | None
    lot: str | None


class JournalAudit(Protocol):
    """The ingest journal at one moment."""

    @property
    def id(self) -> str:
        """What makes this journal itself."""
        ...

    def damage(self) -> Iterator[str]:
        """What the file says is wrong with itself."""
        ...

    def totals(self) -> Mapping[str, int]:
        """Every total by name."""
        ...

    def outboxes(self) -> Mapping[int, NodeEpoch]:
        """Whose the ranges are."""
        ...

    def ranges(self) -> Iterator[RangeRow]:
        """Every range, by outbox and first seq."""
        ...

    def batches(self, *, above: int = 0) -> Iterator[BatchRow]:
        """Every batch with a number above this, the newest first."""
        ...

    def movements(self) -> Iterator[tuple[int, MovementRow]]:
        """Every weighing with the number of its batch, by identity."""
        ...

    def movements_of_batches(self) -> Iterator[tuple[int, MovementRow]]:
        """Every weighing with the number of its batch: the newest batch first, within it by identity."""
        ...

    def suspects(self) -> Iterator[SuspectRow]:
        """The whole quarantine."""
        ...


class EntryRow(NamedTuple):
    """One entry of the custody log."""

    place: int
    body: bytes
    event_id: str
    captured_ms: int


class EventRow(NamedTuple):
    """What is kept behind an entry. event, disclosures: None where they are erased."""

    place: int
    jcs: bytes
    event: bytes | None
    disclosures: bytes | None
    submitter: str


KEPT_LEVELS = 4
"""Of the levels of the tree each fourth is kept: 0, 4, 8 and so on."""


class NodeRow(NamedTuple):
    """The hash of a complete subtree."""

    place: int
    hash: bytes


class HeadRow(NamedTuple):
    """A head of the log that was signed. note: the signed text."""

    size: int
    root: bytes
    note: str


class AnchorRow(NamedTuple):
    """A head of the log under a contract, as the records have it or as the chain tells it."""

    size: int
    root: bytes
    chain_id: int
    contract: str
    log_id: bytes
    block: int
    block_hash: bytes
    transaction: bytes


class LotRow(NamedTuple):
    """The newest entry of a lot, as the next one will be linked to it."""

    lot: str
    key: bytes
    place: int
    leaf: bytes


class RecordsAudit(Protocol):
    """Facts and custody log at one moment."""

    def damage(self) -> Iterator[str]:
        """What the database says is wrong with itself."""
        ...

    def sources(self) -> Mapping[str, int]:
        """How far each source of movements is applied."""
        ...

    def history(self) -> int:
        """How many points were loaded before the hub lived."""
        ...

    def movements(self) -> Iterator[MovementRow]:
        """Every weighing, by identity."""
        ...

    def corrections(self) -> Collection[str]:
        """The outboxes of corrections for which it is kept who made them, and why."""
        ...

    def entries(self) -> Iterator[EntryRow]:
        """Every entry, in order."""
        ...

    def events(self) -> Iterator[EventRow]:
        """What is kept behind entries, in their order."""
        ...

    def nodes(self, level: int) -> Iterator[NodeRow]:
        """Every subtree of a level that is kept, in order."""
        ...

    def levels(self) -> Collection[int]:
        """The levels of which subtrees are kept."""
        ...

    def checkpoints(self) -> Iterator[HeadRow]:
        """Every signed head, the smallest first."""
        ...

    def anchors(self) -> Iterator[AnchorRow]:
        """Every anchored head, the smallest first."""
        ...

    def lots(self) -> Iterator[LotRow]:
        """Every lot, that of the oldest entry first."""
        ...

    def lots_named(self, names: Collection[str]) -> Collection[LotRow]:
        """Those of some lots that there are."""
        ...


class Look(NamedTuple):
    """What a chain held at a block: the head of our log there, size 0 and no root before the first anchor."""

    block: int
    size: int
    root: bytes


class ChainAudit(Protocol):
    """The log on its contract, as anybody may read it.

    Raises UnavailableError while the chain does not answer, VerificationError where the contract is none of ours.
    """

    @property
    def chain_id(self) -> int:
        """The chain."""
        ...

    def look(self) -> Look:
        """How it is now."""
        ...

    def anchored(self) -> Iterator[AnchorRow]:
        """Every anchor that the contract has told of, the oldest first; those too that come meanwhile."""
        ...


class PointsAudit(Protocol):
    """What an auditor asks of a time-series store, which may live on meanwhile; see `TimeSeriesStore`."""

    @property
    def precision(self) -> float:
        """See `TimeSeriesStore`."""
        ...

    def count(self) -> int:
        """How many points the store holds."""
        ...

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        ...

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        ...

    def kept(self) -> Kept:
        """From when on every point is there."""
        ...


class Installation(Protocol):
    """Everything of one hub that can be audited. Open the points first, the records next, the journal last.

    So the journal is never behind what followed it. `points` is None for a store that keeps nothing.
    """

    @property
    def points(self) -> PointsAudit | None:
        """The time-series store."""
        ...

    def points_damage(self) -> Iterator[str]:
        """What the files of the time-series store say against themselves; nothing where they cannot be looked at."""
        ...

    def records(self) -> AbstractContextManager[RecordsAudit]:
        """Look at facts and custody log."""
        ...

    def chain(self) -> AbstractContextManager[ChainAudit]:
        """Ask the chain that holds the log's head; UndecidedError where there is none to ask, and why."""
        ...

    def journal(self) -> AbstractContextManager[JournalAudit]:
        """Look at the journal; again, to see what came meanwhile."""
        ...
