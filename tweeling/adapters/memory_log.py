"""The custody log in memory: for tests, and for a hub that may forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock

from tweeling.domain import merkle
from tweeling.domain.log import Anchor, Checkpoint, Disclosure, LotLink, Sequenced
from tweeling.errors import InvariantError, RejectedError, VerificationError
from tweeling.ports.logstore import Kept, NewEntry


class MemoryLogStore:
    """A LogStore that lasts as long as its process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: list[NewEntry] = []
        self._nodes = merkle.Levels()
        self._jcs: dict[bytes, int] = {}
        self._ids: dict[str, int] = {}
        self._lots: dict[str, LotLink] = {}
        self._checkpoints: dict[int, Checkpoint] = {}
        self._anchors: dict[int, Anchor] = {}

    def size(self) -> int:
        """How many entries are sequenced."""
        with self._lock:
            return len(self._entries)

    def append(
        self, entries: Sequence[NewEntry], *, expected_size: int, nodes: Mapping[tuple[int, int], bytes]
    ) -> None:
        """Append entries and the tree nodes they complete, in one step."""
        with self._lock:
            if len(self._entries) != expected_size:
                raise RejectedError(f"the log has {len(self._entries)} entries, not {expected_size}")
            hashes = {new.jcs for new in entries}
            if len(hashes) != len(entries) or hashes & self._jcs.keys():
                raise RejectedError("an event stands in the log already")
            for index, new in enumerate(entries, expected_size):
                self._entries.append(new)
                self._jcs[new.jcs] = self._ids[new.event_id] = index
                self._lots.update((link.lot, link) for link in new.lots)
            self._nodes.add(nodes)

    def nodes(self, keys: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Hashes of complete subtrees by (level, index), in the order asked."""
        try:
            with self._lock:
                return self._nodes.read(keys)
        except KeyError as exc:
            raise VerificationError(f"the log has lost tree node {exc.args[0]}", field="node") from exc

    def entries(self, start: int, stop: int) -> Sequence[Sequenced]:
        """Entries [start, stop)."""
        with self._lock:
            found = self._entries[start:stop]
        return [_sequenced(index, new) for index, new in enumerate(found, start)]

    def newest(self, limit: int) -> Sequence[Kept]:
        """The latest entries with their events, newest first."""
        with self._lock:
            size = len(self._entries)
            latest = self._entries[max(0, size - limit) :]
        kept = enumerate(latest, size - len(latest))
        return [Kept(_sequenced(index, new), new.event, new.submitter) for index, new in kept][::-1]

    def find(self, event_id: str) -> int | None:
        """The index of the newest entry of an event, by its eventID or by the hex of its JCS hash."""
        with self._lock:
            if event_id in self._ids:
                return self._ids[event_id]
            return next((index for jcs, index in self._jcs.items() if jcs.hex() == event_id), None)

    def event(self, index: int) -> tuple[bytes, tuple[Disclosure, ...]]:
        """The canonical bytes and disclosures behind an entry."""
        with self._lock:
            if not 0 <= index < len(self._entries):
                raise InvariantError(f"nothing is kept behind entry {index}", field="index")
            return self._entries[index].event, self._entries[index].disclosures

    def known(self, jcs: Sequence[bytes]) -> Mapping[bytes, int]:
        """The indices of the entries with exactly these events, for those that there are."""
        with self._lock:
            return {item: self._jcs[item] for item in jcs if item in self._jcs}

    def lots(self, lots: Sequence[str]) -> Mapping[str, LotLink]:
        """The newest link of each lot that has one."""
        with self._lock:
            return {lot: self._lots[lot] for lot in lots if lot in self._lots}

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; RejectedError for another root at a size already signed."""
        with self._lock:
            if self._checkpoints.setdefault(checkpoint.size, checkpoint).root != checkpoint.root:
                raise RejectedError(f"another root has been signed for size {checkpoint.size}")

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or the one of exactly this size."""
        with self._lock:
            return self._checkpoints.get(max(self._checkpoints, default=0) if size is None else size)

    def save_anchor(self, anchor: Anchor) -> None:
        """Keep what the chain recorded; the same size anchored again takes the place of the first."""
        with self._lock:
            self._anchors[anchor.size] = anchor

    def drop_anchors(self, *, above: int) -> None:
        """Forget anchors of sizes above this one."""
        with self._lock:
            self._anchors = {size: anchor for size, anchor in self._anchors.items() if size <= above}

    def anchor(self, *, covering: int | None = None) -> Anchor | None:
        """The newest anchor, or the oldest whose size is greater than index `covering`."""
        with self._lock:
            if covering is None:
                return self._anchors.get(max(self._anchors, default=0))
            return self._anchors.get(min((size for size in self._anchors if size > covering), default=0))

    def anchors(self) -> Sequence[Anchor]:
        """Every anchor, by size."""
        with self._lock:
            return [self._anchors[size] for size in sorted(self._anchors)]


def _sequenced(index: int, new: NewEntry) -> Sequenced:
    return Sequenced(index, new.entry, new.event_id, new.captured_ms)
