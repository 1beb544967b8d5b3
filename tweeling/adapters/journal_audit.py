"""The journal's file, read by nobody's rules but SQLite's: for an auditor, also while a hub writes to it."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tweeling.adapters.journal_file import APPLICATION, VERSION
from tweeling.errors import ConfigError, UnavailableError, VerificationError
from tweeling.ports.audit import BatchRow, MovementRow, RangeRow, SuspectRow
from tweeling.ports.journal import NodeEpoch

# Whoever reports these has not seen the content at all.
_NO_ANSWER = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_READONLY,
}
_BATCHES = f"SELECT {', '.join(BatchRow._fields)} FROM batch WHERE number > ? ORDER BY number DESC"  # noqa: S608 -- our own words only
_MOVEMENTS = """SELECT m.batch, o.hub, o.node, o.epoch, m.seq, m.place, m.time_ms, m.zone, m.direction, m.net_g,
    m.gross_g, m.tare_g, m.material, m.partner, m.ticket, m.lot
    FROM outbox AS o JOIN movement AS m ON m.outbox = o.id ORDER BY """
_IDENTITY = "o.hub, o.node, o.epoch, m.seq, m.place"


class SqliteJournalAudit:
    """A `JournalAudit` of the file that `open_journal` has opened."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self.id = str(next(self._rows("SELECT value FROM meta WHERE name = 'id'"), ("",))[0])

    def damage(self) -> Iterator[str]:
        """See `JournalAudit`."""
        return damage(self._rows("PRAGMA integrity_check"), self._rows("PRAGMA foreign_key_check"))

    def totals(self) -> Mapping[str, int]:
        """See `JournalAudit`."""
        return {str(name): int(value) for name, value in self._rows("SELECT name, value FROM total")}

    def outboxes(self) -> Mapping[int, NodeEpoch]:
        """See `JournalAudit`."""
        rows = self._rows("SELECT id, hub, node, epoch FROM outbox")
        return {id_: NodeEpoch(hub, node, epoch) for id_, hub, node, epoch in rows}

    def ranges(self) -> Iterator[RangeRow]:
        """See `JournalAudit`."""
        return map(
            RangeRow._make,
            self._rows("SELECT outbox, kind, first, last FROM settled ORDER BY outbox, first, last, kind"),
        )

    def batches(self, *, above: int = 0) -> Iterator[BatchRow]:
        """See `JournalAudit`."""
        return map(BatchRow._make, self._rows(_BATCHES, (above,)))

    def movements(self) -> Iterator[tuple[int, MovementRow]]:
        """See `JournalAudit`."""
        return ((batch, MovementRow._make(row)) for batch, *row in self._rows(_MOVEMENTS + _IDENTITY))

    def movements_of_batches(self) -> Iterator[tuple[int, MovementRow]]:
        """See `JournalAudit`."""
        rows = self._rows(f"{_MOVEMENTS} m.batch DESC, {_IDENTITY}")
        return ((batch, MovementRow._make(row)) for batch, *row in rows)

    def suspects(self) -> Iterator[SuspectRow]:
        """See `JournalAudit`."""
        return map(SuspectRow._make, self._rows("SELECT id, digest, topic, payload, seen FROM quarantine ORDER BY id"))

    def _rows(self, statement: str, values: tuple[int, ...] = ()) -> Iterator[tuple[Any, ...]]:
        with _translated(self._path), closing(self._db.execute(statement, values)) as cursor:
            yield from cursor


@contextmanager
def at_rest(path: Path) -> Iterator[bool]:
    """Keep every hub away from a journal while the block runs, and say so; false where one has it already."""
    _check_there(path)
    try:
        lock = path.with_name(f"{path.name}.lock").open("a")
    except OSError as exc:
        raise ConfigError(f"cannot be opened: {exc.strerror}", source=f"{path}.lock") from exc
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


@contextmanager
def open_journal(path: Path) -> Iterator[SqliteJournalAudit]:
    """Look at a journal as it is now; raise ConfigError for what is none."""
    _check_there(path)
    with _translated(path), closing(_connect(path)) as db:
        application, version = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if (application, version) != (APPLICATION, VERSION):
            raise ConfigError(
                f"is no ingest journal of schema {VERSION}",
                source=str(path),
                remedy="Run `tweeling migrate`, or the newer program that wrote it",
            )
        yield SqliteJournalAudit(db, path)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(
            "no journal here", source=str(path), remedy="Name a hub's folder; if it is one, let the hub run once"
        )


def damage(integrity: Iterator[tuple[Any, ...]], orphans: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    """What SQLite's own checks say, in lines; empty when all is well."""
    yield from (str(line) for (line,) in integrity if line != "ok")
    yield from (f"{table}: row {row} belongs to no row of {parent}" for table, row, parent, _ in orphans)


def seen(exc: sqlite3.Error) -> bool:
    """Whether the content is to blame: SQLite has seen it, and cannot make sense of it."""
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF not in _NO_ANSWER


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        db.executescript("PRAGMA busy_timeout = 5000; BEGIN;")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the moment from which all is seen
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        if not seen(exc):
            raise UnavailableError(f"{path}: {exc}") from exc
        raise VerificationError(f"cannot be read any more: {exc}", field=path.name) from exc
