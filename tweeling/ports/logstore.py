"""Where the custody log lives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from tweeling.domain.log import Anchor, Checkpoint, Disclosure, LotLink, Sequenced


class NewEntry(NamedTuple):
    """An entry to append, with what only the hub and those it shows it to may see."""

    entry: bytes
    leaf: bytes  # leaf hash
    event_id: str
    jcs: bytes  # SHA-256 of the event's canonical bytes; unique
    event: bytes  # the canonical bytes themselves
    disclosures: tuple[Disclosure, ...]
    lots: tuple[LotLink, ...]  # the lots touched, index and leaf of this entry
    captured_ms: int
    submitter: str


class Kept(NamedTuple):
    """An entry of the log with the event behind it. event: its canonical bytes."""

    sequenced: Sequenced
    event: bytes
    submitter: str


class LogStore(Protocol):
    """Append-only and totally ordered; durable before `append` returns.

    Raises UnavailableError while the store does not answer, RejectedError when another writer was first.
    """

    def size(self) -> int:
        """How many entries are sequenced."""
        ...

    def append(
        self, entries: Sequence[NewEntry], *, expected_size: int, nodes: Mapping[tuple[int, int], bytes]
    ) -> None:
        """Append entries and the tree nodes they complete, in one transaction."""
        ...

    def nodes(self, keys: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Hashes of complete subtrees by (level, index), as asked; VerificationError for one that is not kept."""
        ...

    def entries(self, start: int, stop: int) -> Sequence[Sequenced]:
        """Entries [start, stop)."""
        ...

    def newest(self, limit: int) -> Sequence[Kept]:
        """The latest entries with their events, newest first."""
        ...

    def find(self, event_id: str) -> int | None:
        """The index of the newest entry of an event, by its eventID or by the hex of its JCS hash."""
        ...

    def event(self, index: int) -> tuple[bytes, tuple[Disclosure, ...]]:
        """The canonical bytes and disclosures behind an entry; InvariantError where there is none."""
        ...

    def known(self, jcs: Sequence[bytes]) -> Mapping[bytes, int]:
        """The indices of the entries with exactly these events, for those that there are."""
        ...

    def lots(self, lots: Sequence[str]) -> Mapping[str, LotLink]:
        """The newest link of each lot that has one."""
        ...

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; RejectedError for another root at a size already signed."""
        ...

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or the one of exactly this size."""
        ...

    def save_anchor(self, anchor: Anchor) -> None:
        """Keep what the chain recorded."""
        ...

    def drop_anchors(self, *, above: int) -> None:
        """Forget anchors of sizes above this one: the chain that recorded them has been restarted or reorganised."""
        ...

    def anchor(self, *, covering: int | None = None) -> Anchor | None:
        """The newest anchor, or the oldest whose size is greater than index `covering`."""
        ...

    def anchors(self) -> Sequence[Anchor]:
        """Every anchor, by size."""
        ...
