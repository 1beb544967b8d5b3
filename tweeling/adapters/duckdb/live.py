"""The live DuckDB file: its schema, its connections, and what its errors mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock

import duckdb

from tweeling.errors import UnavailableError

# No keys, whose indexes would take more room than what they index: one process writes, and it knows what is there.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (id INTEGER NOT NULL, key VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS point (
    series INTEGER NOT NULL, t BIGINT NOT NULL, value DOUBLE NOT NULL, quality UTINYINT NOT NULL,
    batch BIGINT NOT NULL);
ALTER TABLE point ADD COLUMN IF NOT EXISTS batch BIGINT DEFAULT 0;
CREATE TABLE IF NOT EXISTS applied (source VARCHAR NOT NULL, through BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS newest (
    series INTEGER NOT NULL, t BIGINT NOT NULL, value DOUBLE NOT NULL, quality UTINYINT NOT NULL);
CREATE TABLE IF NOT EXISTS sealed (
    name VARCHAR NOT NULL, kind VARCHAR NOT NULL, start_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL,
    points BIGINT NOT NULL, bytes BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS kept (sealed_ms BIGINT NOT NULL, raw_ms BIGINT NOT NULL, removed BIGINT NOT NULL);
"""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "default_block_size": "16384",  # what is small stays small; what is much is sealed
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_DAMAGED = duckdb.SerializationException | duckdb.InternalException | duckdb.FatalException
_SIGNS_OF_DAMAGE = ("not a valid DuckDB", "orrupt", "checksum", "Could not read enough bytes")


class Live:
    """One process's connection to the file, opened when first asked for, and anew after an error.

    on_open: reads what memory should know. on_let_go: forgets it, because it may be wrong after an error.
    writing: one transaction at a time; taken before `lock`. lock: what memory knows; not held while DuckDB works.
    """

    def __init__(
        self,
        path: Path,
        *,
        read_only: bool,
        on_open: Callable[[duckdb.DuckDBPyConnection], None],
        on_let_go: Callable[[], None],
    ) -> None:
        self.path = path
        self.read_only = read_only
        self.writing = RLock()
        self.lock = RLock()
        self._on_open = on_open
        self._on_let_go = on_let_go
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False

    @property
    def is_open(self) -> bool:
        """Whether there is something to close."""
        return self._connection is not None

    @contextmanager
    def cursor(self, *, reading: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of one's own; what DuckDB raises becomes UnavailableError.

        reading: nothing is written, so that only an error of DuckDB itself makes what memory knows doubtful.
        """
        cursor = None
        try:
            with self.lock:
                cursor = self._open().cursor()
            yield cursor
        except duckdb.Error as exc:
            if not reading or isinstance(exc, _DAMAGED):
                with self.lock:
                    self._let_go()  # what memory knows may be wrong now: the next call opens the file anew
            raise UnavailableError(_explain(self.path, exc)) from exc
        finally:
            if cursor is not None:
                cursor.close()  # rolls back what was not committed

    def close(self) -> None:
        """Let go of the file for good."""
        with self.lock:
            self._closed = True
            self._let_go()

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._closed:
            raise UnavailableError(f"{self.path}: the store is closed")
        if self._connection is None:
            connection = duckdb.connect(self.path, read_only=self.read_only, config=_CONFIG)
            try:
                if not self.read_only:
                    connection.execute(_SCHEMA)
                else:
                    self._refuse_earlier(connection)
                self._on_open(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _refuse_earlier(self, connection: duckdb.DuckDBPyConnection) -> None:
        if not connection.execute("FROM duckdb_tables() WHERE table_name = 'kept'").fetchall():
            raise UnavailableError(f"{self.path}: an earlier version wrote the file. Start the hub once")

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._on_let_go()


def one(cursor: duckdb.DuckDBPyConnection) -> int:
    """The number that a query found, 0 where it found none."""
    rows = cursor.fetchall()  # all of it: a result that is not read to its end keeps its transaction open
    return int(rows[0][0] or 0) if rows else 0


def _explain(path: Path, exc: duckdb.Error) -> str:
    text = str(exc).splitlines()[0]
    if "Could not set lock" in text:
        holder = re.search(r"PID (\d+)", text)
        who = f"process {holder[1]}" if holder else "another process"
        return f"{path}: {who} holds the file. Ask the running hub, or stop it first"
    if isinstance(exc, _DAMAGED) or any(sign in text for sign in _SIGNS_OF_DAMAGE):
        return (
            f"{path}: the file is damaged ({text}). Move it aside and start again: the sealed files beside it are "
            "taken up and the journal is applied again; or restore the latest backup"
        )
    return f"{path}: {text}"
