"""What the outbox keeps in SQLite: every statement, and what each must leave true."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tweeling.wire.ranges import SeqSet
from tweeling_edge.events import Drop
from tweeling_edge.outbox_file import translated
from tweeling_edge.seqs import Seqs
from tweeling_edge.thinning import Candidate, Pass

ROW_BYTES = 32  # beside its body, what a row costs
THINNED = "outbox full: thinned to one reading an hour"
SPAN_MS = 600_000  # inflow is counted by these
SPANS = 12
MEASURED_MS = 60_000  # at least, before a pace means anything
REASONS, OTHER = 50, "other reasons"
PIECE = 500  # rows that are looked at in one transaction while an outbox is thinned
_LOG_PAGES, _FULL_LOG_PAGES = 1000, 100  # before SQLite writes its log back; the first is its own choice
_MOST_PAGES = 2**32 - 2
_COUNT = {
    "committed": "UPDATE source SET committed = committed + ? WHERE id = ?",
    "refused": "UPDATE source SET refused = refused + ? WHERE id = ?",
    "dropped": "UPDATE source SET dropped = dropped + ? WHERE id = ?",
}


@dataclass(frozen=True, slots=True)
class Quota:
    """When readings are thinned; weighings never are."""

    max_bytes: int = 256 << 20
    max_rows: int = 2_000_000

    @classmethod
    def of(cls, max_mb: float, max_rows: int) -> Quota:
        """Take megabytes."""
        return cls(round(max_mb * (1 << 20)), max_rows)


class Entry(NamedTuple):
    """A sample on its way into the file."""

    body: str
    weighing: bool


@dataclass(frozen=True, slots=True)
class Source:
    """What became of one driver's samples; `cursor` is where it goes on."""

    cursor: str | None = None
    queued: int = 0
    committed: int = 0
    refused: int = 0
    dropped: int = 0

    @property
    def settled(self) -> int:
        """Samples about which nothing remains to be done."""
        return self.committed + self.refused + self.dropped


class Inflow(NamedTuple):
    """What came in lately: samples and bytes, and in how many milliseconds."""

    samples: int
    size: int
    during_ms: int

    @property
    def per_hour(self) -> float | None:
        """Samples an hour; None while too little is known to tell."""
        return None if self.during_ms < MEASURED_MS else self.samples * 3_600_000 / self.during_ms


@dataclass(frozen=True, slots=True)
class Stats:
    """The outbox at a glance. oldest_ms: when the oldest held sample was queued. tallies: by what and reason."""

    epoch: str
    last: int
    queued: int
    weighings: int
    size: int
    oldest_ms: int | None
    sources: dict[str, Source] = field(default_factory=dict)
    tallies: dict[str, dict[str, int]] = field(default_factory=dict)
    inflow: Inflow | None = None

    def used(self, quota: Quota) -> float:
        """The share of the quota that is taken."""
        return max(self.size / quota.max_bytes, self.queued / quota.max_rows)

    def hours_left(self, quota: Quota, disk_free: int) -> float | None:
        """Hours until the quota or the disk is full if no hub answers and as much comes in as lately.

        None while too little has come in to tell.
        """
        if self.inflow is None or (per_hour := self.inflow.per_hour) is None:
            return None
        room = max(min(quota.max_bytes - self.size, disk_free), 0) * self.inflow.samples / self.inflow.size
        return round(min(room, max(quota.max_rows - self.queued, 0)) / per_hour, 2)


class Writer:
    """Statements of the one writing thread; each runs inside a transaction that the caller begins and ends."""

    def __init__(self, connection: sqlite3.Connection, quota: Quota) -> None:
        self._db = connection
        self._quota = quota
        self.epoch: str
        self.last: int
        self.fresh: int | None
        self.epoch, self.last, self.fresh = connection.execute("SELECT epoch, last, fresh FROM outbox").fetchone()
        self.rows, self.size = _usage(connection)
        self._thin_at = 1.0  # share of the quota
        self._most_bytes = quota.max_bytes
        self._pass: Pass | None = None
        self._sources: dict[str, int] = dict(connection.execute("SELECT name, id FROM source"))
        self._moved: dict[int, tuple[int, str | None]] = {}  # source -> queued in this transaction, and its new cursor
        self._span_ms = 0
        self._came = (0, 0, 0)  # samples and bytes queued in this transaction, and when

    def append(self, entries: Sequence[Entry], *, source: str, cursor: str | None, now_ms: int) -> tuple[int, int]:
        """Give entries the next seqs and move the source's cursor; return the first and last seq."""
        first = self.last + 1
        self.last += len(entries)
        number = self._source(source)
        self._db.executemany(
            "INSERT INTO reading VALUES (?, ?, ?, ?, ?)",
            [(seq, number, entry.weighing, now_ms, entry.body) for seq, entry in enumerate(entries, first)],
        )
        queued, before = self._moved.get(number, (0, None))
        self._moved[number] = queued + len(entries), before if cursor is None else cursor
        size = sum(len(entry.body) + ROW_BYTES for entry in entries)
        self.rows += len(entries)
        self.size += size
        if entries:
            came, bytes_, _ = self._came
            self._came = (came + len(entries), bytes_ + size, now_ms)
        return first, self.last

    def count(self, what: str, counts: Mapping[str, int]) -> None:
        """Add to the counts of something, by reason; of reasons there are only so many."""
        known = {reason for (reason,) in self._db.execute("SELECT reason FROM tally WHERE what = ?", (what,))}
        for reason, count in counts.items():
            told = reason if reason in known or len(known) < REASONS else OTHER
            known.add(told)
            self._db.execute(
                "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                (what, told, count),
            )

    def rewind(self, source: str) -> None:
        """Forget a source's cursor and counts, so that it begins again."""
        self._move()
        self._db.execute(
            "UPDATE source SET cursor = NULL, queued = 0, committed = 0, refused = 0, dropped = 0 WHERE id = ?",
            (self._source(source),),
        )

    def settle(self, committed: SeqSet, refused: SeqSet) -> None:
        """Delete what the hub has committed or refused."""
        for fate, seqs in (("committed", committed), ("refused", refused)):
            self._delete(seqs, fate)

    def drop(self, seqs: SeqSet, reason: str) -> list[Drop]:
        """Give samples up, and note it until the hub has heard."""
        if gone := self._delete(seqs, "dropped"):
            self.count("dropped", {reason: gone})
        drops = []
        for first, last in seqs.ranges:
            row = self._db.execute("INSERT INTO dropped (first, last, reason) VALUES (?, ?, ?)", (first, last, reason))
            drops.append(Drop(row.lastrowid or 0, first, last, reason))
        return drops

    @property
    def thinning(self) -> bool:
        """Whether `thin` has more to do."""
        return self._pass is not None

    def thin(self) -> list[Drop]:
        """Where the quota is passed, give readings up until a fifth of it is free or only sparse ones are left.

        A piece at a time: whoever waits for a commit waits no longer than that takes.
        """
        if self._pass is None:
            if self._share() < 0.8:
                self._thin_at = 1.0
            if self._share() <= self._thin_at:
                return []
            self._pass = Pass()
        drops = self._thin_piece(self._pass)
        if self._pass is None:
            # Sparse leftovers may exceed the quota; look again only when there is clearly more than now.
            self._thin_at = max(1.0, self._share() + 0.05)
        return drops

    def _thin_piece(self, walk: Pass) -> list[Drop]:
        rows = max(self.rows - self._quota.max_rows * 4 // 5, 0)
        excess = max(self.size - self._most_bytes * 4 // 5, rows * self.size // max(self.rows, 1), 0)
        found = self._db.execute(
            "SELECT seq, length(body) + ?, body FROM reading WHERE seq > ? AND NOT weighing ORDER BY seq LIMIT ?",
            (ROW_BYTES, walk.seen, PIECE),
        ).fetchall()
        gone = list(walk.choose(map(Candidate._make, found), excess))
        if len(found) < PIECE or sum(candidate.size for candidate in gone) >= excess:
            self._pass = None
        return self.drop(SeqSet.from_seqs(candidate.seq for candidate in gone), THINNED)

    def squeeze(self) -> None:
        """The disk takes no more than is here now: let that be the quota, and make room.

        From here on the log is written back often and the file does not grow, so that neither asks the disk for more.
        """
        with translated():
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_FULL_LOG_PAGES}")
            self._db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
            (pages,) = self._db.execute("PRAGMA page_count").fetchone()
            self._db.execute(f"PRAGMA max_page_count = {pages}")
        self._most_bytes = max(1, min(self.size, self._quota.max_bytes))
        self._pass = Pass()

    def relax(self) -> None:
        """The disk has room again."""
        with translated():
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            self._db.execute(f"PRAGMA max_page_count = {_MOST_PAGES}")
        self._most_bytes = self._quota.max_bytes

    def forget(self, ids: Sequence[int]) -> None:
        """The hub has heard of these drops."""
        self._db.executemany("DELETE FROM dropped WHERE id = ?", [(i,) for i in ids])

    def trust(self) -> None:
        """The hub agrees on the past."""
        self.fresh = None
        self._db.execute("UPDATE outbox SET fresh = NULL")

    def renew(self, epoch: str, settled: SeqSet) -> int:
        """Begin a new epoch: forget what is settled, number the rest from 1; return the last number."""
        self._move()
        self.settle(settled, SeqSet())
        self._db.execute(
            "CREATE TEMP TABLE renewed AS SELECT row_number() OVER (ORDER BY seq), source, weighing, queued_ms, body "
            "FROM reading"
        )
        self._db.execute("DELETE FROM reading")
        self._db.execute("INSERT INTO reading SELECT * FROM renewed")
        self._db.execute("DROP TABLE renewed")
        self._db.execute("DELETE FROM dropped")
        self.epoch, self.last, self.fresh = epoch, self.rows, None
        self._db.execute("UPDATE outbox SET epoch = ?, last = ?, fresh = NULL", (epoch, self.last))
        return self.last

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and durable at the end."""
        before = (self.epoch, self.last, self.fresh, self.rows, self.size, self._thin_at, dict(self._sources))
        with translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._move()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self.epoch, self.last, self.fresh, self.rows, self.size, self._thin_at, self._sources = before
                self._pass = None  # it may believe rows gone that are here again
                self._moved.clear()
                self._came = (0, 0, 0)
                raise

    def _move(self) -> None:
        """Note once a transaction what `append` did to the sources."""
        if self._moved:
            self._db.execute("UPDATE outbox SET last = ?", (self.last,))
            self._db.executemany(
                "UPDATE source SET queued = queued + ?, cursor = coalesce(?, cursor) WHERE id = ?",
                [(*moved, number) for number, moved in self._moved.items()],
            )
            self._moved.clear()
        if self._came[0]:
            samples, size, now_ms = self._came
            start_ms = now_ms - now_ms % SPAN_MS
            self._db.execute(
                "INSERT INTO inflow VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE "
                "SET samples = samples + excluded.samples, bytes = bytes + excluded.bytes",
                (start_ms, now_ms, samples, size),
            )
            if start_ms != self._span_ms:
                self._span_ms = start_ms
                self._db.execute(
                    "DELETE FROM inflow WHERE start_ms NOT BETWEEN ? AND ?", (start_ms - SPANS * SPAN_MS, start_ms)
                )
            self._came = (0, 0, 0)

    def _share(self) -> float:
        return max(self.size / self._most_bytes, self.rows / self._quota.max_rows)

    def _source(self, name: str) -> int:
        if name not in self._sources:
            self._sources[name] = self._db.execute("INSERT INTO source (name) VALUES (?)", (name,)).lastrowid or 0
        return self._sources[name]

    def _delete(self, seqs: SeqSet, fate: str) -> int:
        """Delete, count for their sources, and return how many there were."""
        before = self.rows
        for first, last in seqs.ranges:
            found = self._db.execute(
                "SELECT source, count(*), sum(length(body) + ?) FROM reading WHERE seq BETWEEN ? AND ? GROUP BY source",
                (ROW_BYTES, first, last),
            ).fetchall()
            for source, rows, size in found:
                self._db.execute(_COUNT[fate], (rows, source))
                self.rows -= rows
                self.size -= size
            self._db.execute("DELETE FROM reading WHERE seq BETWEEN ? AND ?", (first, last))
        return before - self.rows


# ---------------------------------------------------------------- reading


def held(connection: sqlite3.Connection) -> Seqs:
    """Every seq in the outbox."""
    with translated():
        return Seqs(
            connection.execute(
                "SELECT min(seq), max(seq) FROM (SELECT seq, seq - row_number() OVER (ORDER BY seq) AS island "
                "FROM reading) GROUP BY island ORDER BY 1"
            )
        )


def drops(connection: sqlite3.Connection) -> list[Drop]:
    """What was given up and the hub has not heard of."""
    with translated():
        return [Drop(*row) for row in connection.execute("SELECT id, first, last, reason FROM dropped ORDER BY id")]


def page(connection: sqlite3.Connection, seqs: SeqSet) -> dict[int, str]:
    """The bodies of some seqs that are still there, and perhaps of some between: one look where they lie close."""
    spans = seqs.ranges
    if spans and spans[-1][1] - spans[0][0] < 4 * len(seqs):
        spans = ((spans[0][0], spans[-1][1]),)
    bodies: dict[int, str] = {}
    with translated():
        for span in spans:
            bodies.update(connection.execute("SELECT seq, body FROM reading WHERE seq BETWEEN ? AND ?", span))
    return bodies


def stats(connection: sqlite3.Connection, now_ms: int) -> Stats:
    """Count what is there."""
    with translated():
        epoch, last = connection.execute("SELECT epoch, last FROM outbox").fetchone()
        rows, size = _usage(connection)
        weighings = connection.execute("SELECT count(*) FROM reading WHERE weighing").fetchone()[0]
        oldest = connection.execute("SELECT queued_ms FROM reading ORDER BY seq LIMIT 1").fetchone()
        oldest_ms = oldest[0] if oldest else None
        known = sources(connection)
        if connection.execute("PRAGMA user_version").fetchone()[0] < 2:  # no agent of this version had it yet
            return Stats(epoch, last, rows, weighings, size, oldest_ms, known)
        tallies: dict[str, dict[str, int]] = {}
        for what, reason, count in connection.execute("SELECT what, reason, count FROM tally ORDER BY what, reason"):
            tallies.setdefault(what, {})[reason] = count
        return Stats(epoch, last, rows, weighings, size, oldest_ms, known, tallies, _inflow(connection, now_ms))


def _inflow(connection: sqlite3.Connection, now_ms: int) -> Inflow | None:
    since, last, samples, size = connection.execute(
        "SELECT min(since_ms), max(start_ms), sum(samples), sum(bytes) FROM inflow"
    ).fetchone()
    # Of an agent that has stopped, the time since is no time in which nothing came.
    return Inflow(samples, size, min(max(now_ms, last), last + SPAN_MS) - since) if samples else None


def sources(connection: sqlite3.Connection) -> dict[str, Source]:
    """What became of each driver's samples."""
    with translated():
        found = connection.execute("SELECT name, cursor, queued, committed, refused, dropped FROM source ORDER BY name")
        return {name: Source(*rest) for name, *rest in found}


def _usage(connection: sqlite3.Connection) -> tuple[int, int]:
    rows, size = connection.execute("SELECT count(*), coalesce(sum(length(body)), 0) FROM reading").fetchone()
    return rows, size + rows * ROW_BYTES
