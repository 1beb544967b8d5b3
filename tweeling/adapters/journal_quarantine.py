"""The quarantine of the ingest journal: what had no meaning, as it came, and why; the oldest go when it is too much."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence

from tweeling.adapters import intake
from tweeling.ports.journal import Quarantined
from tweeling.wire.parcel import Suspect

_SIZE = "length(CAST(topic AS BLOB)) + length(payload) + length(CAST(reason AS BLOB))"
_USAGE = f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM quarantine"  # noqa: S608 -- our own words only
_ADD = (
    "INSERT INTO quarantine (digest, recorded_ms, topic, payload, reason) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (digest) DO NOTHING"
)
_AGAIN = "UPDATE quarantine SET seen = seen + 1 WHERE digest = ?"
_OLDEST = f"SELECT id, {_SIZE}, seen FROM quarantine ORDER BY id"  # noqa: S608 -- our own words only
_ONE = f"SELECT seen, {_SIZE} FROM quarantine WHERE id = ?"  # noqa: S608 -- likewise
_LIST = (
    "SELECT id, recorded_ms, seen, topic, payload, reason FROM quarantine"
    " WHERE id < ? AND instr(reason, ?) AND instr(topic, ?) ORDER BY id DESC LIMIT ?"
)
_LAST_ID = 2**63 - 1


class Quarantine:
    """Statements of the journal's writer; each runs inside its transaction."""

    def __init__(self, keep: intake.Keep) -> None:
        self._keep = keep
        self._usage: tuple[int, int] | None = None  # rows and bytes, once we looked

    def forget(self) -> None:
        """Whether the file has the latest is not known: look again."""
        self._usage = None

    def save(self, db: sqlite3.Connection, suspects: Sequence[Suspect], recorded_ms: int) -> int:
        """Keep suspects; return how many messages of the oldest had to go for it."""
        rows, size = self._usage or db.execute(_USAGE).fetchone()
        for each in suspects:
            digest = _digest(each.topic, each.payload)
            if db.execute(_ADD, (digest, recorded_ms, *each)).rowcount:
                rows, size = rows + 1, size + intake.size(each)
            else:
                db.execute(_AGAIN, (digest,))
        gone: list[tuple[int]] = []
        messages = 0
        if rows > self._keep.rows or size > self._keep.bytes:
            oldest = db.execute(_OLDEST)
            while rows > self._keep.rows or size > self._keep.bytes:
                id_, freed, seen = oldest.fetchone()
                gone.append((id_,))
                messages += seen
                rows, size = rows - 1, size - freed
            oldest.close()
            db.executemany("DELETE FROM quarantine WHERE id = ?", gone)
        self._usage = rows, size
        return messages

    def settle(self, db: sqlite3.Connection, id_: int, reason: str) -> int:
        """Let a message go (no reason), or keep it with the reason of today; return how often what goes had come."""
        found = db.execute(_ONE, (id_,)).fetchone()
        if found is None:  # gone meanwhile
            return 0
        seen, before = found
        if reason:
            db.execute("UPDATE quarantine SET reason = ? WHERE id = ?", (reason, id_))
            self._grow(0, db.execute(_ONE, (id_,)).fetchone()[1] - before)
            return 0
        db.execute("DELETE FROM quarantine WHERE id = ?", (id_,))
        self._grow(-1, -before)
        return int(seen)

    def _grow(self, rows: int, size: int) -> None:
        if self._usage is not None:
            self._usage = self._usage[0] + rows, self._usage[1] + size


def newest(db: sqlite3.Connection, limit: int, before: int | None, reason: str, topic: str) -> list[Quarantined]:
    """The newest suspects first, no more than a page holds."""
    found: list[Quarantined] = []
    size = 0
    last = _LAST_ID if before is None else before
    for id_, at, seen, *suspect in db.execute(_LIST, (last, reason, topic, limit)):
        found.append(Quarantined(id_, at, Suspect(*suspect), seen))
        size += len(found[-1].suspect.payload)
        if size >= intake.PAGE_BYTES:
            break
    return found


def _digest(topic: str, payload: bytes) -> bytes:
    return hashlib.sha256(topic.encode() + b"\x00" + payload).digest()
