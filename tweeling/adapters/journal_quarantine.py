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
_OLDEST = f"SELECT id, {_SIZE} FROM quarantine ORDER BY id"  # noqa: S608 -- our own words only
_LIST = "SELECT id, recorded_ms, seen, topic, payload, reason FROM quarantine WHERE id < ? ORDER BY id DESC LIMIT ?"
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
        """Keep suspects; return how many of the oldest had to go for it."""
        rows, size = self._usage or db.execute(_USAGE).fetchone()
        for each in suspects:
            digest = _digest(each.topic, each.payload)
            if db.execute(_ADD, (digest, recorded_ms, *each)).rowcount:
                rows, size = rows + 1, size + intake.size(each)
            else:
                db.execute(_AGAIN, (digest,))
        gone: list[tuple[int]] = []
        if rows > self._keep.rows or size > self._keep.bytes:
            oldest = db.execute(_OLDEST)
            while rows > self._keep.rows or size > self._keep.bytes:
                id_, freed = oldest.fetchone()
                gone.append((id_,))
                rows, size = rows - 1, size - freed
            oldest.close()
            db.executemany("DELETE FROM quarantine WHERE id = ?", gone)
        self._usage = rows, size
        return len(gone)

    def settle(self, db: sqlite3.Connection, id_: int, reason: str) -> None:
        """Let a message go (no reason), or keep it with the reason of today."""
        self._usage = None
        if reason:
            db.execute("UPDATE quarantine SET reason = ? WHERE id = ?", (reason, id_))
        else:
            db.execute("DELETE FROM quarantine WHERE id = ?", (id_,))


def newest(db: sqlite3.Connection, limit: int, before: int | None) -> list[Quarantined]:
    """The newest suspects first."""
    rows = db.execute(_LIST, (_LAST_ID if before is None else before, limit))
    return [Quarantined(id_, at, Suspect(*suspect), seen) for id_, at, seen, *suspect in rows]


def _digest(topic: str, payload: bytes) -> bytes:
    return hashlib.sha256(topic.encode() + b"\x00" + payload).digest()
