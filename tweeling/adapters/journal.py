"""The ingest journal in one SQLite file: WAL, `synchronous=FULL`, one writer.

Everything of a commit stands in one transaction. The newest batches are kept decoded, for a projection that keeps up;
older ones are decoded again from their bytes.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tweeling.adapters import intake
from tweeling.adapters.journal_file import JournalFile
from tweeling.errors import InvariantError, RejectedError, WireError
from tweeling.ports.journal import Arrival, Batch, NodeEpoch, Quarantined, Settled, Suspect
from tweeling.wire import topics
from tweeling.wire.envelope import decode
from tweeling.wire.ranges import SeqSet

_ANY_SKEW = 2**62  # what was accepted once is not judged again
_RECENT_POINTS = 200_000  # kept decoded for a projection that keeps up
_KNOWN_NODES = 10_000
_SIZE = "length(CAST(topic AS BLOB)) + length(payload) + length(CAST(reason AS BLOB))"
_QUARANTINED = f"SELECT count(*), coalesce(sum({_SIZE}), 0) FROM quarantine"  # noqa: S608 -- our own words only
_SUSPECT = (
    "INSERT INTO quarantine (digest, recorded_ms, topic, payload, reason) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (digest) DO UPDATE SET seen = seen + 1 RETURNING seen"
)
_OLDEST = f"SELECT id, {_SIZE} FROM quarantine ORDER BY id"  # noqa: S608 -- our own words only
_ADD = (
    "INSERT INTO total (name, value) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET value = min(value + excluded.value, 9007199254740991)"  # intake.MAX_TOTAL
)
_INSERT_MOVEMENT = f"INSERT INTO movement VALUES ({', '.join('?' * 14)})"  # noqa: S608 -- question marks only


class SqliteJournal:
    """A `Journal` in the file `path`; late_ms, keep: see `intake`."""

    def __init__(self, path: Path, *, late_ms: int = intake.LATE_MS, keep: intake.Keep = intake.KEEP) -> None:
        self._late_ms = late_ms
        self._keep = keep
        self._file = JournalFile(path)
        self._writer = self._file.writer
        self._reader = self._file.reader
        self._known: dict[NodeEpoch, _Known] = {}
        self._quarantined: intake.Keep | None = None  # how much there is, once we looked
        self._recent: deque[Batch] = deque()  # guarded, like _known, by the writer's lock
        self._recent_points = 0

    def commit(self, arrivals: Sequence[Arrival], suspects: Sequence[Suspect], *, recorded_ms: int) -> Batch | None:
        """See `Journal`."""
        with self._writer.lock:
            if len(self._known) > _KNOWN_NODES:
                self._known.clear()
            try:
                with self._writer.transaction() as db:
                    made = self._commit(db, arrivals, suspects, recorded_ms)
            except BaseException:
                # Whether the file has it is not known: memory may now hold more than the file does, or less.
                self._known.clear()
                self._recent.clear()
                self._recent_points = 0
                self._quarantined = None
                raise
            if made is not None:
                self._remember(made)
            return made

    def _commit(
        self, db: sqlite3.Connection, arrivals: Sequence[Arrival], suspects: Sequence[Suspect], recorded_ms: int
    ) -> Batch | None:
        totals = dict.fromkeys(intake.TOTALS, 0)
        evidence = list(suspects)
        taken: list[tuple[Arrival, SeqSet]] = []
        before: dict[NodeEpoch, Settled] = {}
        for arrival in arrivals:
            decoded = arrival.decoded
            name = NodeEpoch(decoded.hub, decoded.node, decoded.epoch)
            known = self._node(db, name)
            before.setdefault(name, known.settled)
            new = intake.take(decoded, known.settled)
            self._known[name] = known._replace(settled=new.after)
            totals["refused"] += len(new.refused)
            totals["dropped"] += len(new.dropped)
            totals["repeated"] += new.repeated
            if new.refused:
                evidence.append(intake.evidence(arrival, new.refused))
            if new.committed:
                taken.append((arrival, new.committed))
        for name, settled in before.items():
            _save_ranges(db, self._known[name].row, settled, self._known[name].settled)
        if evidence:
            totals["quarantined"] = len(evidence)
            totals["quarantine_dropped"] = self._save_quarantine(db, evidence, recorded_ms)
        made = self._save_batch(db, taken, recorded_ms) if taken else None
        if made is not None:
            totals |= {"batches": 1, "readings": len(made.points), "movements": len(made.movements)}
        counted = [(name, min(count, intake.MAX_TOTAL)) for name, count in totals.items() if count]
        db.executemany(_ADD, counted)
        return made

    def _save_quarantine(self, db: sqlite3.Connection, suspects: Sequence[Suspect], recorded_ms: int) -> int:
        """Keep suspects; return how many of the oldest had to go for it."""
        rows, size = self._quarantined or intake.Keep(*db.execute(_QUARANTINED).fetchone())
        for each in suspects:
            digest = hashlib.sha256(each.topic.encode() + b"\x00" + each.payload).digest()
            (seen,) = db.execute(_SUSPECT, (digest, recorded_ms, *each)).fetchone()
            if seen == 1:
                rows, size = rows + 1, size + intake.size(each)
        gone: list[tuple[int]] = []
        oldest = db.execute(_OLDEST)
        while rows > self._keep.rows or size > self._keep.bytes:
            id_, freed = oldest.fetchone()
            gone.append((id_,))
            rows, size = rows - 1, size - freed
        oldest.close()
        db.executemany("DELETE FROM quarantine WHERE id = ?", gone)
        self._quarantined = intake.Keep(rows, size)
        return len(gone)

    def _save_batch(self, db: sqlite3.Connection, taken: list[tuple[Arrival, SeqSet]], recorded_ms: int) -> Batch:
        made = intake.batch(
            _total(db, "batches") + 1,
            recorded_ms,
            self._late_ms,
            [(arrival.decoded, fresh) for arrival, fresh in taken],
        )
        db.execute("INSERT INTO batch VALUES (?, ?, ?)", (made.number, recorded_ms, self._late_ms))
        db.executemany(
            "INSERT INTO envelope (batch, topic, fresh, payload) VALUES (?, ?, ?, ?)",
            [(made.number, arrival.topic, json.dumps(fresh.ranges), arrival.payload) for arrival, fresh in taken],
        )
        rows = []
        for each in made.movements:
            who = each.identity
            row = self._known[NodeEpoch(who.hub, who.node, who.epoch)].row
            weighed = (each.zone, each.direction.value, each.net_g, each.gross_g, each.tare_g)
            named = (each.material, each.partner, each.ticket, each.lot)
            rows.append((row, who.seq, who.index, made.number, each.time_ms, *weighed, *named))
        db.executemany(_INSERT_MOVEMENT, rows)
        return made

    def settled(self, node: NodeEpoch) -> Settled:
        """See `Journal`."""
        with self._writer.lock:
            known = self._known.get(node)
        if known is not None:
            return known.settled
        with self._reader.query() as db:
            row = _find(db, node)
            return Settled() if row is None else _load(db, row)

    def read(self, after: int, limit: int) -> Sequence[Batch]:
        """See `Journal`."""
        with self._writer.lock:
            if self._recent and self._recent[0].number <= after + 1:
                start = after + 1 - self._recent[0].number  # numbers have no holes
                return tuple(islice(self._recent, start, start + limit))
        with self._reader.query() as db:
            if after < (trimmed := _total(db, "trimmed")):
                raise RejectedError(f"journal: batches through {trimmed} are trimmed, asked for those after {after}")
            rows = db.execute("SELECT * FROM batch WHERE number > ? ORDER BY number LIMIT ?", (after, limit)).fetchall()
            return tuple(_rebuild(db, *row) for row in rows)

    def last(self) -> int:
        """See `Journal`."""
        with self._reader.query() as db:
            return _total(db, "batches")

    def trim(self, through: int) -> None:
        """See `Journal`."""
        with self._writer.lock, self._writer.transaction() as db:
            upto = min(through, _total(db, "batches"))
            if upto <= _total(db, "trimmed"):
                return
            db.execute("DELETE FROM envelope WHERE batch <= ?", (upto,))
            db.execute("DELETE FROM batch WHERE number <= ?", (upto,))
            db.execute("UPDATE total SET value = ? WHERE name = 'trimmed'", (upto,))
            while self._recent and self._recent[0].number <= upto:
                self._forget()

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        """See `Journal`."""
        with self._reader.query() as db:
            rows = db.execute(
                "SELECT id, recorded_ms, seen, topic, payload, reason FROM quarantine ORDER BY id DESC LIMIT ?",
                (limit,),
            )
            return [Quarantined(id_, at, Suspect(*suspect), seen) for id_, at, seen, *suspect in rows]

    def counts(self) -> dict[str, int]:
        """See `Journal`."""
        with self._reader.query() as db:
            totals: dict[str, int] = dict(db.execute("SELECT name, value FROM total").fetchall())
        return {name: totals.get(name, 0) for name in intake.TOTALS}

    def close(self) -> None:
        """See `Journal`."""
        self._file.close()

    def _node(self, db: sqlite3.Connection, name: NodeEpoch) -> _Known:
        """The row and ranges of a node's epoch, made when it is new."""
        known = self._known.get(name)
        if known is None:
            row = _find(db, name)
            if row is None:
                row = db.execute(
                    "INSERT INTO outbox (hub, node, epoch) VALUES (?, ?, ?) RETURNING id", name
                ).fetchone()[0]
                known = _Known(row, Settled())
            else:
                known = _Known(row, _load(db, row))
            self._known[name] = known
        return known

    def _remember(self, made: Batch) -> None:
        self._recent.append(made)
        self._recent_points += len(made.points) + len(made.movements)
        while self._recent_points > _RECENT_POINTS and len(self._recent) > 1:
            self._forget()

    def _forget(self) -> None:
        oldest = self._recent.popleft()
        self._recent_points -= len(oldest.points) + len(oldest.movements)


class _Known(NamedTuple):
    """One outbox as the writer knows it."""

    row: int
    settled: Settled


def _find(db: sqlite3.Connection, node: NodeEpoch) -> int | None:
    found = db.execute("SELECT id FROM outbox WHERE hub = ? AND node = ? AND epoch = ?", node).fetchone()
    return None if found is None else int(found[0])


def _load(db: sqlite3.Connection, row: int) -> Settled:
    ranges: dict[str, list[tuple[int, int]]] = {kind: [] for kind in Settled._fields}
    for kind, first, last in db.execute(
        "SELECT kind, first, last FROM settled WHERE outbox = ? ORDER BY kind, first", (row,)
    ):
        ranges[kind].append((first, last))
    return Settled(**{kind: SeqSet(tuple(found)) for kind, found in ranges.items()})


def _save_ranges(db: sqlite3.Connection, row: int, before: Settled, after: Settled) -> None:
    """Turn the kept ranges of one outbox into others, touching only what differs."""
    for kind, old, new in zip(Settled._fields, before, after, strict=True):
        if old is not new:
            was, now = set(old.ranges), set(new.ranges)
            db.executemany(
                "DELETE FROM settled WHERE outbox = ? AND kind = ? AND first = ?",
                [(row, kind, first) for first, _ in was - now],
            )
            db.executemany("INSERT INTO settled VALUES (?, ?, ?, ?)", [(row, kind, *span) for span in now - was])


def _rebuild(db: sqlite3.Connection, number: int, recorded_ms: int, late_ms: int) -> Batch:
    """Decode the bytes of a batch again, as they were decoded at its time."""
    taken = []
    rows = db.execute("SELECT topic, fresh, payload FROM envelope WHERE batch = ? ORDER BY id", (number,))
    for topic, fresh, payload in rows:
        try:
            decoded = decode(topics.parse(topic), payload, now_ms=recorded_ms, skew_ms=_ANY_SKEW)
        except WireError as exc:
            raise InvariantError(f"batch {number} cannot be read any more: {exc}", field="journal") from exc
        taken.append((decoded, SeqSet.of((first, last) for first, last in json.loads(fresh))))
    return intake.batch(number, recorded_ms, late_ms, taken)


def _total(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute("SELECT value FROM total WHERE name = ?", (name,)).fetchone()[0])
