"""The custody log in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cbor2
import sqlalchemy as sa

from tweeling.adapters.sql import bulk
from tweeling.adapters.sql.engine import Records
from tweeling.adapters.sql.subtrees import Subtrees
from tweeling.adapters.sql.tables import ANCHOR, CHECKPOINT, ENTRY, EVENT, LOT
from tweeling.domain.log import Anchor, Checkpoint, Disclosure, LotLink, Sequenced
from tweeling.errors import InvariantError, RejectedError
from tweeling.ports.logstore import Kept, NewEntry

_SIZE = sa.select(sa.func.coalesce(sa.func.max(ENTRY.c.idx) + 1, 0))
_SEQUENCED = (ENTRY.c.idx, ENTRY.c.body.label("entry"), ENTRY.c.event_id, ENTRY.c.captured_ms)


class SqlLogStore:
    """A LogStore in the record store; every append is one transaction."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._subtrees = Subtrees()

    def size(self) -> int:
        """How many entries are sequenced."""
        with self._records.read() as connection:
            return int(connection.execute(_SIZE).scalar_one())

    def append(
        self, entries: Sequence[NewEntry], *, expected_size: int, nodes: Mapping[tuple[int, int], bytes]
    ) -> None:
        """Append entries and the tree nodes they complete, in one transaction."""
        if not entries:
            return
        newest = {link.lot: link for new in entries for link in new.lots}
        with self._records.write() as connection:
            size = connection.execute(_SIZE).scalar_one()
            if size != expected_size:
                raise RejectedError(f"the log has {size} entries, not {expected_size}: another writer was first")
            bulk.insert(connection, ENTRY, [_entry_row(at, new) for at, new in enumerate(entries, expected_size)])
            bulk.insert(connection, EVENT, [_event_row(at, new) for at, new in enumerate(entries, expected_size)])
            self._subtrees.insert(connection, nodes)
            bulk.upsert(connection, LOT, [_lot_row(link) for link in newest.values()])

    def nodes(self, keys: Sequence[tuple[int, int]]) -> Sequence[bytes]:
        """Hashes of complete subtrees by (level, index), in the order asked."""
        with self._records.read() as connection:
            return self._subtrees.read(connection, keys)

    def entries(self, start: int, stop: int) -> Sequence[Sequenced]:
        """Entries [start, stop)."""
        query = sa.select(*_SEQUENCED).where(ENTRY.c.idx >= start, ENTRY.c.idx < stop).order_by(ENTRY.c.idx)
        with self._records.read() as connection:
            return [_sequenced(row) for row in connection.execute(query)]

    def newest(self, limit: int) -> Sequence[Kept]:
        """The latest entries with their events, newest first."""
        query = (
            sa.select(*_SEQUENCED, EVENT.c.body.label("event"), EVENT.c.submitter)
            .join(EVENT, EVENT.c.idx == ENTRY.c.idx)
            .where(EVENT.c.body.is_not(None))
            .order_by(EVENT.c.idx.desc())  # the key's order; events that are erased are passed over one by one
            .limit(limit)
        )
        with self._records.read() as connection:
            return [Kept(_sequenced(row), bytes(row.event), row.submitter) for row in connection.execute(query)]

    def find(self, event_id: str) -> int | None:
        """The index of the newest entry of an event, by its eventID or by the hex of its JCS hash."""
        query = sa.select(sa.func.max(ENTRY.c.idx)).where(ENTRY.c.event_id == event_id)
        with self._records.read() as connection:
            index = connection.execute(query).scalar_one()
        if index is not None:
            return int(index)
        return next(iter(self.known([bytes.fromhex(event_id)]).values()), None) if _is_hash(event_id) else None

    def event(self, index: int) -> tuple[bytes, tuple[Disclosure, ...]]:
        """The canonical bytes and disclosures behind an entry."""
        query = sa.select(EVENT.c.body, EVENT.c.disclosures).where(EVENT.c.idx == index)
        with self._records.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.body is None:
            raise InvariantError(f"nothing is kept behind entry {index}", field="index")
        return bytes(row.body), tuple(Disclosure(*item) for item in cbor2.loads(bytes(row.disclosures)))

    def known(self, jcs: Sequence[bytes]) -> Mapping[bytes, int]:
        """The indices of the entries with exactly these events, for those that there are."""
        with self._records.read() as connection:
            rows = bulk.where_any(connection, "SELECT jcs, idx FROM event", EVENT.c.jcs, jcs)
            return {bytes(row.jcs): row.idx for row in rows}

    def lots(self, lots: Sequence[str]) -> Mapping[str, LotLink]:
        """The newest link of each lot that has one."""
        with self._records.read() as connection:
            rows = bulk.where_any(connection, "SELECT lot, key, idx, leaf FROM lot", LOT.c.lot, lots)
            return {row.lot: LotLink(row.lot, bytes(row.key), row.idx, bytes(row.leaf)) for row in rows}

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint; RejectedError for another root at a size already signed."""
        with self._records.write() as connection:
            known = connection.execute(sa.select(CHECKPOINT).where(CHECKPOINT.c.size == checkpoint.size)).one_or_none()
            if known is None:
                connection.execute(sa.insert(CHECKPOINT), checkpoint._asdict())
            elif bytes(known.root) != checkpoint.root:
                raise RejectedError(f"another root has been signed for size {checkpoint.size}")

    def checkpoint(self, size: int | None = None) -> Checkpoint | None:
        """The newest checkpoint, or the one of exactly this size."""
        query = sa.select(CHECKPOINT).order_by(CHECKPOINT.c.size.desc()).limit(1)
        if size is not None:
            query = query.where(CHECKPOINT.c.size == size)
        with self._records.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Checkpoint(row.size, bytes(row.root), row.note, row.time_ms)

    def save_anchor(self, anchor: Anchor) -> None:
        """Keep what the chain recorded; the same size anchored again takes the place of the first."""
        row = anchor._asdict()
        row["transaction_hash"] = row.pop("transaction")
        with self._records.write() as connection:
            connection.execute(sa.delete(ANCHOR).where(ANCHOR.c.size == anchor.size))
            connection.execute(sa.insert(ANCHOR), row)

    def drop_anchors(self, *, above: int) -> None:
        """Forget anchors of sizes above this one."""
        with self._records.write() as connection:
            connection.execute(sa.delete(ANCHOR).where(ANCHOR.c.size > above))

    def anchor(self, *, covering: int | None = None) -> Anchor | None:
        """The newest anchor, or the oldest whose size is greater than index `covering`."""
        query = sa.select(ANCHOR).limit(1)
        if covering is None:
            query = query.order_by(ANCHOR.c.size.desc())
        else:
            query = query.where(ANCHOR.c.size > covering).order_by(ANCHOR.c.size)
        with self._records.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _anchor(row)

    def anchors(self) -> Sequence[Anchor]:
        """Every anchor, by size."""
        with self._records.read() as connection:
            return [_anchor(row) for row in connection.execute(sa.select(ANCHOR).order_by(ANCHOR.c.size))]


def _entry_row(index: int, new: NewEntry) -> dict[str, Any]:
    return {"idx": index, "body": new.entry, "event_id": new.event_id, "captured_ms": new.captured_ms}


def _event_row(index: int, new: NewEntry) -> dict[str, Any]:
    return {
        "idx": index,
        "jcs": new.jcs,
        "body": new.event,
        "disclosures": cbor2.dumps(new.disclosures),
        "submitter": new.submitter,
    }


def _lot_row(link: LotLink) -> dict[str, Any]:
    return {"lot": link.lot, "key": link.key, "idx": link.index, "leaf": link.leaf}


def _anchor(row: Any) -> Anchor:
    return Anchor(
        size=row.size,
        root=bytes(row.root),
        chain_id=row.chain_id,
        contract=row.contract,
        log_id=bytes(row.log_id),
        block=row.block,
        block_hash=bytes(row.block_hash),
        transaction=bytes(row.transaction_hash),
    )


def _sequenced(row: Any) -> Sequenced:
    return Sequenced(row.idx, bytes(row.entry), row.event_id, row.captured_ms)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(char in "0123456789abcdef" for char in text)
