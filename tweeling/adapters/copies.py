"""Databases copied while others write to them, and what a copy says of itself."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import duckdb

from tweeling.errors import ConfigError, UnavailableError


class JournalCopy(NamedTuple):
    """A journal's schema, the name under which stores follow it, its newest batch, and the newest one that is trimmed.

    renamed: the name under which they should, where they do not know it yet.
    """

    schema: int
    source: str
    last: int
    trimmed: int
    renamed: str = ""


class RecordsCopy(NamedTuple):
    """A record store's schema, how far each source is applied, and how many entries the custody log has."""

    schema: int
    applied: dict[str, int]
    log_size: int


@contextmanager
def moments(*paths: Path) -> Iterator[list[sqlite3.Connection]]:
    """Look at databases, each as it is when this begins, the first one first; raises UnavailableError."""
    with ExitStack() as closing_:
        yield [closing_.enter_context(_moment(path)) for path in paths]


def copy(db: sqlite3.Connection, target: Path) -> None:
    """Write what a connection sees into a new file, which is not durable yet; raises UnavailableError."""
    with _translated(target), closing(sqlite3.connect(target)) as out:
        out.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        db.backup(out)


def copy_points(cursor: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Write what a cursor's transaction sees of its database into a new file; raises UnavailableError, and ends it."""
    quoted = str(target).replace("'", "''")
    try:
        [(name,)] = cursor.execute("SELECT current_database()").fetchall()
        cursor.execute(f"ATTACH '{quoted}' AS copied")
        cursor.execute(f'COPY FROM DATABASE "{name}" TO copied')
        cursor.commit()
    except duckdb.Error as exc:  # of the copy: the database itself was only read
        raise UnavailableError(f"{target}: {str(exc).splitlines()[0]}") from exc
    finally:
        with suppress(duckdb.Error):
            cursor.rollback()
        with suppress(duckdb.Error):
            cursor.execute("DETACH copied")  # which writes the last of it


def journal_copy(path: Path) -> JournalCopy:
    """What a journal's file says of itself, whatever its schema."""
    with _moment(path) as db, _translated(path):
        (schema,) = db.execute("PRAGMA user_version").fetchone()
        totals = dict(db.execute("SELECT name, value FROM total"))
        source, renamed = "journal", ""
        if schema >= 2:
            meta = dict(db.execute("SELECT name, value FROM meta"))
            source = f"journal:{meta['id']}"
            if before := meta.get("source_before"):
                source, renamed = before, source
        return JournalCopy(schema, source, totals["batches"], totals["trimmed"], renamed)


def records_copy(path: Path) -> RecordsCopy:
    """What a record store's file says of itself, whatever its schema."""
    with _moment(path) as db, _translated(path):
        (schema,) = db.execute("SELECT max(version) FROM schema_version").fetchone()
        (size,) = db.execute("SELECT count(*) FROM entry").fetchone()
        return RecordsCopy(schema, dict(db.execute("SELECT source, through FROM applied")), size)


def forget_heads(path: Path, *, owed: str) -> None:
    """Forget what was signed and anchored of a custody log, in a copy that nobody has open. owed: the fact of it."""
    with _translated(path), closing(sqlite3.connect(path, isolation_level=None)) as db:
        for table in ("checkpoint", "anchor"):
            db.execute(f"DELETE FROM {table}")  # noqa: S608  # one of two words
        db.execute("DELETE FROM fact WHERE key = ?", (owed,))


def points_copy(path: Path) -> dict[str, int]:
    """How far each source is applied in a copy of the points, whatever its layout."""
    try:
        with closing(duckdb.connect(path, read_only=True)) as db:
            return dict(db.execute("SELECT source, through FROM applied").fetchall())
    except duckdb.Error as exc:
        raise UnavailableError(f"{path}: {str(exc).splitlines()[0]}") from exc


@contextmanager
def _moment(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise ConfigError("no such file", source=str(path), remedy="Name the folder of a hub that has run")
    address = f"{path.absolute().as_uri()}?mode=ro"
    with _translated(path), closing(sqlite3.connect(address, uri=True, isolation_level=None)) as db:
        db.executescript("PRAGMA busy_timeout = 5000; BEGIN;")
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # the moment from which all is seen
        yield db


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        free = shutil.disk_usage(path.parent).free
        raise UnavailableError(f"{path}: {exc} ({free:,} bytes are free there)") from exc
