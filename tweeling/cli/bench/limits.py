"""What the machine itself does: SQLite and the disk, without us."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def commits(path: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A call makes one row of so many bytes durable in SQLite; safe from any thread."""
    with closing(_opened(path)) as connection:
        one = threading.Lock()

        def commit(_number: int) -> None:
            with one:
                connection.execute("INSERT INTO kept (body) VALUES (?)", (secrets.token_bytes(size),))

        yield commit


@contextmanager
def syncs(path: Path, size: int) -> Iterator[Callable[[int], None]]:
    """A call appends so many bytes to a file and waits until the disk has them."""
    with path.open("ab", buffering=0) as file:

        def sync(_number: int) -> None:
            file.write(bytes(size))
            os.fsync(file.fileno())

        yield sync


def rows_a_second(path: Path, size: int, count: int, *, at_once: int) -> float:
    """How many rows of so many bytes SQLite makes durable a second, so many in a transaction."""
    rows = [(secrets.token_bytes(size),) for _ in range(at_once)]
    with closing(_opened(path)) as connection:
        began = time.perf_counter()
        for _ in range(0, count, at_once):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO kept (body) VALUES (?)", rows)
            connection.execute("COMMIT")
        return -(-count // at_once) * at_once / (time.perf_counter() - began)


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "CREATE TABLE kept (body BLOB)"):
        connection.execute(statement)
    return connection
