"""The SQLite file of the ingest journal: opened by one process, and honest about what the disk does.

After any error a connection is dropped with what it held, and the next call opens the file anew, so that no half-known
state is carried on.
"""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import resources
from pathlib import Path

from tweeling.errors import ConfigError, InvariantError, UnavailableError

VERSION = 2
APPLICATION = 0x54574A31
_PRAGMAS = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;"
# The content is to blame, not the disk.
_IMPOSSIBLE = (sqlite3.IntegrityError, sqlite3.DataError, OverflowError, UnicodeEncodeError)
_DAMAGED = (
    "Stop the hub, set the file and those named -wal and -shm aside, and restore a backup or start anew: "
    "edges still hold whatever was not acknowledged"
)


class JournalFile:
    """One writer's and one reader's connection.

    Raises ConfigError for a file that is no journal, UnavailableError while it is not ours alone.
    """

    def __init__(self, path: Path) -> None:
        self.id = ""
        self._path = path
        self.writer = Connection(path)
        self.reader = Connection(path)
        try:
            path.touch(mode=0o600)
            self._lock = path.with_name(f"{path.name}.lock").open("w")
        except OSError as exc:
            raise ConfigError(
                f"cannot be written: {exc.strerror}", source=str(path), remedy="Name a directory that the hub may write"
            ) from exc
        try:
            self._claim(path)
            self._prepare(path)
        except BaseException:
            self.close()
            raise

    def size(self) -> int:
        """Bytes of the file and of the log beside it."""
        total = 0
        for path in (self._path, self._path.with_name(f"{self._path.name}-wal")):
            with suppress(FileNotFoundError):
                total += path.stat().st_size
        return total

    def close(self) -> None:
        """Let go of both connections, and of the claim."""
        for connection in (self.writer, self.reader):
            with connection.lock:
                connection.drop()
        self._lock.close()

    def _claim(self, path: Path) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise UnavailableError(
                f"{path}: is in use by another process: a backup or fsck, which ends soon, or another hub, "
                "which has to be stopped first"
            ) from exc

    def _prepare(self, path: Path) -> None:
        """Make the tables of a new file; judge one that is there."""
        try:
            with self.writer.lock:
                db = self.writer.open()
                version = db.execute("PRAGMA user_version").fetchone()[0]
                application = db.execute("PRAGMA application_id").fetchone()[0]
                tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                if (version, application, tables) == (0, 0, 0):
                    db.execute("PRAGMA journal_mode = WAL")
                    schema = resources.files("tweeling.adapters") / "schema" / "journal-0002.sql"
                    db.executescript(f"BEGIN IMMEDIATE; {schema.read_text(encoding='utf-8')} COMMIT;")
                elif application != APPLICATION:
                    raise ConfigError("is no ingest journal", source=str(path), remedy="Name another file")
                elif version != VERSION:
                    raise other_schema(path, version)
                elif db.execute("SELECT count(*) FROM meta WHERE name = 'source_before'").fetchone()[0]:
                    raise ConfigError(
                        "is migrated, and the stores do not know it yet",
                        source=str(path),
                        remedy="Run `tweeling migrate` again",
                    )
                self.id = str(db.execute("SELECT value FROM meta WHERE name = 'id'").fetchone()[0])
        except sqlite3.Error as exc:
            if _damage(exc):
                raise ConfigError(f"is damaged ({exc})", source=str(path), remedy=_DAMAGED) from exc
            raise _unavailable(path, exc) from exc


def other_schema(path: Path, version: int) -> ConfigError:
    """What to say of a journal whose schema is not this program's."""
    return ConfigError(
        f"has schema {version}, this program knows {VERSION}",
        source=str(path),
        remedy="Run the newer program that wrote it" if version > VERSION else "Run `tweeling migrate`",
    )


class Connection:
    """One connection that is opened when needed; hold `lock` while using it."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self._path = path
        self._db: sqlite3.Connection | None = None

    def open(self) -> sqlite3.Connection:
        """Return the connection; it is in autocommit mode."""
        if self._db is None:
            address = f"{self._path.absolute().as_uri()}?mode=rw"
            db = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
            try:
                db.executescript(_PRAGMAS)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def drop(self) -> None:
        """Close, whatever was under way; SQLite rolls back."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; UnavailableError when the file does not take it, InvariantError when nothing ever could."""
        with self._translated() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except _IMPOSSIBLE as exc:
                raise InvariantError(f"cannot be kept: {exc}", field="journal") from exc
            db.execute("COMMIT")

    @contextmanager
    def query(self) -> Iterator[sqlite3.Connection]:
        """Read from one snapshot; UnavailableError when the file does not answer."""
        with self.lock, self._translated() as db:
            db.execute("BEGIN")
            yield db
            db.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[sqlite3.Connection]:
        try:
            yield self.open()
        except sqlite3.Error as exc:
            self.drop()
            raise _unavailable(self._path, exc) from exc
        except BaseException:
            self.drop()
            raise


def _damage(exc: sqlite3.Error) -> bool:
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _unavailable(path: Path, exc: sqlite3.Error) -> UnavailableError:
    remedy = f". {_DAMAGED}" if _damage(exc) else ""
    return UnavailableError(f"journal {path}: {exc}{remedy}")
