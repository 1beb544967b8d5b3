"""The outbox's file on disk: taken by one process, checked, and set aside where it is damaged.

WAL with `synchronous=FULL`: what a transaction committed survives a power cut.
"""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tweeling.errors import ConfigError, TweelingError, UnavailableError

log = logging.getLogger("tweeling_edge.outbox")

_SCHEMA = """
CREATE TABLE outbox (id INTEGER PRIMARY KEY CHECK (id = 1), epoch TEXT NOT NULL, last INTEGER NOT NULL, fresh INTEGER);
CREATE TABLE source (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, cursor TEXT,
  queued INTEGER NOT NULL DEFAULT 0, committed INTEGER NOT NULL DEFAULT 0,
  refused INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE reading (
  seq INTEGER PRIMARY KEY, source INTEGER NOT NULL, weighing INTEGER NOT NULL, queued_ms INTEGER NOT NULL,
  body TEXT NOT NULL
);
CREATE TABLE dropped (
  id INTEGER PRIMARY KEY AUTOINCREMENT, first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL
);
PRAGMA user_version = 1;
"""
_UPGRADES = (
    # 2: what became of things, counted since the file was made; and what came in, by spans of ten minutes
    """
CREATE TABLE tally (what TEXT NOT NULL, reason TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (what, reason));
CREATE TABLE inflow (
  start_ms INTEGER PRIMARY KEY, since_ms INTEGER NOT NULL, samples INTEGER NOT NULL, bytes INTEGER NOT NULL
);
PRAGMA user_version = 2;
""",
)

_NO_ROOM = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})  # the second is what a disk quota looks like


class OutboxDamagedError(TweelingError):
    """The file changed under us; a restart sets it aside and begins anew."""


class DiskFullError(UnavailableError):
    """The disk took no more; nothing of the transaction was kept."""


def hold(path: Path) -> int:
    """Take the outbox for this process, or raise ConfigError naming who has it; close the descriptor to let go."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigError(f"cannot be opened: {exc.strerror}", source=str(path), field="outbox.path") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise ConfigError(
            f"is in use by process {owner or 'unknown'}",
            source=str(path),
            field="outbox.path",
            remedy="Stop it first, or give this one another outbox",
        ) from exc
    with suppress(OSError):  # the lock holds without the number, which a full disk may refuse
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def is_held(path: Path) -> bool:
    """Whether a process has the outbox now."""
    try:
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def connect(path: Path) -> sqlite3.Connection:
    """Open the file; raise sqlite3.DatabaseError where it is none."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA cache_size = -2000")
    except BaseException:
        connection.close()
        raise
    return connection


def look(path: Path) -> sqlite3.Connection:
    """Open the file only to read, beside a running agent or without one; raise sqlite3.Error where it is none."""
    # Where there is no log, nobody has it open; then nothing may be left beside it that is perhaps not its owner's.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{how}", uri=True, isolation_level=None, timeout=10)


def open_or_set_aside(path: Path, *, now_ms: int, new_epoch: Callable[[], str]) -> sqlite3.Connection:
    """Open the outbox for writing. A damaged file is kept under another name, an alarm is logged, a new one begins."""
    with translated():
        try:
            return _opened(path, new_epoch)
        except sqlite3.OperationalError:
            raise  # busy, full, forbidden: no damage
        except sqlite3.DatabaseError as exc:
            aside = path.with_name(f"{path.name}.damaged-{now_ms}")
            for suffix in ("", "-wal", "-shm"):
                part = Path(f"{path}{suffix}")
                if part.exists():
                    part.rename(f"{aside}{suffix}")
            log.error("outbox.damaged", extra={"kept": str(aside), "reason": str(exc)})  # noqa: TRY400 -- no traceback
            return _opened(path, new_epoch)


def set_aside(path: Path) -> list[Path]:
    """The damaged files that an operator has not yet taken away, oldest first."""
    return sorted(
        each for each in path.parent.glob(f"{path.name}.damaged-*") if each.suffix[-4:] not in {"-wal", "-shm"}
    )


def _opened(path: Path, new_epoch: Callable[[], str]) -> sqlite3.Connection:
    connection = connect(path)
    try:
        problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if problem != "ok":
            raise sqlite3.DatabaseError(problem)  # noqa: TRY301 -- as SQLite itself would say it
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute("INSERT INTO outbox VALUES (1, ?, 0, NULL)", (new_epoch(),))
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for upgrade in _UPGRADES[version - 1 :]:
            for statement in upgrade.split(";"):
                connection.execute(statement)
        # Until the hub agrees, what is queued from here on may clash with what it knows from a later life of this file.
        connection.execute("UPDATE outbox SET fresh = last + 1 WHERE fresh IS NULL")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        kind = DiskFullError if exc.sqlite_errorcode in _NO_ROOM else UnavailableError
        raise kind(f"outbox: {exc}") from exc
    except sqlite3.DatabaseError as exc:
        raise OutboxDamagedError(f"outbox: {exc}") from exc
