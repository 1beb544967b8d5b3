"""The ingest journal in one SQLite file: WAL, `synchronous=FULL`, one writer.

Everything of a commit stands in one transaction. The newest batches are kept decoded, for a projection that keeps up;
older ones are decoded again from their bytes.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from tweeling.adapters import frame, intake, journal_quarantine
from tweeling.adapters.frame import Frame
from tweeling.adapters.journal_file import JournalFile
from tweeling.adapters.journal_quarantine import Quarantine
from tweeling.errors import RejectedError
from tweeling.ports.journal import Again, Batch, Extent, NodeEpoch, Quarantined, Replayed, Settled
from tweeling.wire.parcel import Parcel
from tweeling.wire.ranges import Range, SeqSet

_RECENT_POINTS = 200_000  # kept decoded for a projection that keeps up
_READ_BYTES = 16 << 20  # read at once, about
_KNOWN_NODES = 10_000
_COUNT = (
    "INSERT INTO total (name, value) VALUES (?, ?)"
    " ON CONFLICT (name) DO UPDATE SET value = min(value + excluded.value, 9007199254740991)"  # intake.MAX_TOTAL
)
_FRAMES = "SELECT number, recorded_ms, late_ms, heads, body FROM batch WHERE number > ? ORDER BY number LIMIT ?"
_RECORDED = "SELECT recorded_ms FROM batch WHERE number > ? ORDER BY number LIMIT 1"
# The newest of the batches that may go, so that the newer ones among these still fit into what is kept.
_TRIMMABLE = (
    "SELECT max(number) FROM (SELECT number, sum(size) OVER (ORDER BY number DESC) AS kept"
    " FROM batch WHERE number <= ?) WHERE kept > ?"
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
        self._quarantine = Quarantine(keep)
        self._recent: deque[Batch] = deque()  # guarded, like _known, by the writer's lock
        self._recent_points = 0

    @property
    def id(self) -> str:
        """See `Journal`."""
        return self._file.id

    def commit(self, parcel: Parcel, *, recorded_ms: int) -> Batch | None:
        """See `Journal`."""
        return self._change(parcel, recorded_ms, None).batch

    def replay(self, messages: Sequence[Again], *, recorded_ms: int) -> Replayed:
        """See `Journal`."""
        return self._change(Parcel.join([each.parcel for each in messages]), recorded_ms, messages)

    def _change(self, parcel: Parcel, recorded_ms: int, messages: Sequence[Again] | None) -> Replayed:
        with self._writer.lock:
            if len(self._known) > _KNOWN_NODES:
                self._known.clear()
            try:
                with self._writer.transaction() as db:
                    taken = intake.sort_out(
                        parcel, lambda node: self._node(db, node).settled, again=messages is not None
                    )
                    self._save_ranges(db, taken.after)
                    if messages is None:
                        self._save_evidence(db, taken, recorded_ms)
                    suspect = tuple(self._settle(db, taken, messages or ()))
                    made = self._save_batch(db, taken, recorded_ms) if taken.fresh else None
                    _count(db, taken.totals)
            except BaseException:
                # Whether the file has it is not known: memory may now hold more than the file does, or less.
                self._known.clear()
                self._recent.clear()
                self._recent_points = 0
                self._quarantine.forget()
                raise
            if made is not None:
                self._remember(made)
            return Replayed(made, suspect)

    def _settle(self, db: sqlite3.Connection, taken: intake.Intake, messages: Iterable[Again]) -> Iterator[int]:
        """Let go of the messages that mean something by now; yield the others."""
        for each in messages:
            reason = intake.why_not(each.parcel, taken.after)
            taken.totals["replayed"] += self._quarantine.settle(db, each.id, reason)
            if reason:
                yield each.id

    def _save_ranges(self, db: sqlite3.Connection, after: dict[NodeEpoch, Settled]) -> None:
        for name, settled in after.items():
            known = self._node(db, name)
            _save_ranges(db, known.row, known.settled, settled)
            self._known[name] = known._replace(settled=settled)

    def _save_evidence(self, db: sqlite3.Connection, taken: intake.Intake, recorded_ms: int) -> None:
        if taken.evidence:
            taken.totals["quarantined"] = len(taken.evidence)
            taken.totals["quarantine_dropped"] = self._quarantine.save(db, taken.evidence, recorded_ms)

    def _save_batch(self, db: sqlite3.Connection, taken: intake.Intake, recorded_ms: int) -> Batch:
        number = _total(db, "batches") + 1
        made = intake.batch(number, recorded_ms, self._late_ms, taken.readings, taken.movements())
        kept = frame.pack(taken.fresh)
        counts = {"readings": len(made.points), "movements": len(made.movements)}
        db.execute(
            "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (number, recorded_ms, self._late_ms, *counts.values(), len(kept.heads) + len(kept.body), *kept),
        )
        self._save_movements(db, made)
        taken.totals.update(counts, batches=1)
        return made

    def _save_movements(self, db: sqlite3.Connection, made: Batch) -> None:
        rows = []
        for each in made.movements:
            who = each.identity
            row = self._known[NodeEpoch(who.hub, who.node, who.epoch)].row
            weighed = (each.zone, each.direction.value, each.net_g, each.gross_g, each.tare_g)
            named = (each.material, each.partner, each.ticket, each.lot)
            rows.append((row, who.seq, who.index, made.number, each.time_ms, *weighed, *named))
        db.executemany(_INSERT_MOVEMENT, rows)

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
            rows = []
            size = 0
            for number, recorded_ms, late_ms, *kept in db.execute(_FRAMES, (after, limit)):
                rows.append((number, recorded_ms, late_ms, Frame(*kept)))
                size += len(kept[1])
                if size > _READ_BYTES:
                    break
        return tuple(frame.rebuild(*row) for row in rows)

    def last(self) -> int:
        """See `Journal`."""
        with self._reader.query() as db:
            return _total(db, "batches")

    def extent(self, after: int) -> Extent:
        """See `Journal`."""
        with self._reader.query() as db:
            trimmed = _total(db, "trimmed")
            kept = _total(db, "batches") - trimmed
            waiting = db.execute(_RECORDED, (after,)).fetchone()
        return Extent(kept, self._file.size(), None if waiting is None else int(waiting[0]), trimmed)

    def trim(self, through: int) -> None:
        """See `Journal`."""
        with self._writer.lock, self._writer.transaction() as db:
            row = db.execute(_TRIMMABLE, (through, self._keep.trimmed_bytes)).fetchone()
            if (upto := row[0]) is None:
                return
            readings, movements = db.execute(
                "SELECT sum(readings), sum(movements) FROM batch WHERE number <= ?", (upto,)
            ).fetchone()
            db.execute("DELETE FROM batch WHERE number <= ?", (upto,))
            db.execute("UPDATE total SET value = ? WHERE name = 'trimmed'", (upto,))
            _count(db, {"trimmed_readings": readings, "trimmed_movements": movements})
            while self._recent and self._recent[0].number <= upto:
                self._forget()

    def quarantine(
        self, limit: int = 100, *, before: int | None = None, reason: str = "", topic: str = ""
    ) -> Sequence[Quarantined]:
        """See `Journal`."""
        with self._reader.query() as db:
            return journal_quarantine.newest(db, limit, before, reason, topic)

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
            gone, come = _difference(old.ranges, new.ranges)
            db.executemany(
                "DELETE FROM settled WHERE outbox = ? AND kind = ? AND first = ?",
                [(row, kind, first) for first, _ in gone],
            )
            db.executemany("INSERT INTO settled VALUES (?, ?, ?, ?)", [(row, kind, *span) for span in come])


def _difference(old: tuple[Range, ...], new: tuple[Range, ...]) -> tuple[Iterable[Range], Iterable[Range]]:
    """What goes and what comes; the usual change stands at the end."""
    same = max(len(old) - 1, 0)
    if old[:same] == new[:same]:
        old, new = old[same:], new[same:]
    was, now = set(old), set(new)
    return was - now, now - was


def _count(db: sqlite3.Connection, totals: dict[str, int]) -> None:
    db.executemany(_COUNT, [(name, min(count, intake.MAX_TOTAL)) for name, count in totals.items() if count])


def _total(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute("SELECT value FROM total WHERE name = ?", (name,)).fetchone()[0])
