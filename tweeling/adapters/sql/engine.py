"""The record store's engine: one URL, durable commits, numbered migrations, errors in our own words."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy.pool import ConnectionPoolEntry

from tweeling.adapters.sql import postgres
from tweeling.errors import ConfigError, InvariantError, RejectedError, TweelingError, UnavailableError

_BUSY_S = 5
_VERSIONS = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL)"
_REMEDY = "Write sqlite:////path/records.db or postgresql+pg8000://user:password@host/database"
_POSTGRES = (
    (re.compile(r"\bBLOB\b"), "BYTEA"),
    (re.compile(r"\bINTEGER\b"), "BIGINT"),
    (re.compile(r"\)\s*STRICT(\s*,\s*WITHOUT ROWID)?\s*$"), ")"),
)


class Records:
    """An open record store: `read()` sees one moment, `write()` commits durably or leaves nothing."""

    def __init__(self, reader: sa.Engine, writer: sa.Engine) -> None:
        self._reader = reader
        self._writer = writer

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Read inside one transaction."""
        with _translated(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Write inside one transaction, as the only writer where the database knows one."""
        with _translated(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Let go of every connection."""
        self._reader.dispose()
        self._writer.dispose()


def open_records(url: str) -> Records:
    """Open (and where needed create or migrate) the store of a SQLAlchemy URL such as `sqlite:////var/lib/x/records.db`.

    Raises ConfigError for a URL that cannot be or a server that does not let us in; UnavailableError while the database
    does not answer, or another process writes to it.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        engine = _sqlite(parsed)
        records = Records(engine, engine.execution_options(write=True))
    else:
        records = Records(postgres.reader(parsed), postgres.writer(parsed))
    try:
        _migrate(records)
    except BaseException:
        records.close()
        raise
    return records


def records_to_read(url: str) -> Records | None:
    """Open a store to read beside the hub that writes to it; nothing is made or migrated. None where there is no file.

    Raises as `open_records` does.
    """
    parsed = _parsed(url)
    if parsed.get_backend_name() != "sqlite":
        engine = postgres.reader(parsed)
    elif parsed.database and Path(parsed.database).exists():
        engine = _sqlite(parsed)
    else:
        return None
    return Records(engine, engine)


def migrations() -> list[tuple[int, str, str]]:
    """Every schema version in order: number, file name, text."""
    folder = resources.files(__package__) / "schema"
    named = ((re.fullmatch(r"(\d{4})_\w+\.sql", file.name), file) for file in folder.iterdir())
    return sorted((int(match[1]), file.name, file.read_text("utf-8")) for match, file in named if match)


def schema(backend: str) -> list[str]:
    """Every statement that makes an empty store."""
    texts = (_VERSIONS, *(text for _, _, text in migrations()))
    return [statement for text in texts for statement in statements(text, backend)]


def statements(text: str, backend: str) -> list[str]:
    """Split a migration into the statements of one backend; comments go, and no literal may hold a semicolon."""
    bare = "\n".join(line.split("--")[0] for line in text.splitlines())
    parts = [part.strip() for part in bare.split(";") if part.strip()]
    if backend == "sqlite":
        return parts
    for pattern, word in _POSTGRES:
        parts = [pattern.sub(word, part) for part in parts]
    return parts


def _parsed(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
        parsed.get_backend_name()
    except (sa_exc.ArgumentError, ValueError):
        # Not even its cause may be told: the text may hold a password.
        raise ConfigError("not a database URL", field="records", remedy=_REMEDY) from None
    return parsed


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError(
            "SQLite needs a file", field="records", remedy="a store that forgets is adapters.memory's business"
        )
    path = Path(url.database)
    try:
        # The file holds the salts of every disclosure, so it is its owner's alone; WAL and shm files inherit this.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise UnavailableError(f"records: {exc.strerror}: {path}") from exc
    engine = sa.create_engine(url, connect_args={"timeout": _BUSY_S})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: object, record: ConnectionPoolEntry) -> None:
        del record
        connection.isolation_level = None  # type: ignore[attr-defined]  # sqlite3's own; we say BEGIN ourselves
        cursor = connection.cursor()  # type: ignore[attr-defined]  # likewise
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A writer that begins as a reader can fail at its first write without having waited.
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _migrate(records: Records) -> None:
    steps = migrations()
    with _let_in(), records.write() as connection:
        backend = connection.dialect.name
        connection.exec_driver_sql(statements(_VERSIONS, backend)[0])
        done = connection.execute(sa.text("SELECT COALESCE(MAX(version), 0) FROM schema_version")).scalar_one()
        if done > steps[-1][0]:
            raise ConfigError(
                f"written by a newer Tweeling (schema {done}, this one knows {steps[-1][0]})",
                field="records",
                remedy="Upgrade Tweeling, or restore the backup made before the upgrade",
            )
        for version, name, text in steps:
            if version > done:
                for statement in statements(text, backend):
                    connection.exec_driver_sql(statement)
                connection.execute(
                    sa.text("INSERT INTO schema_version (version, name) VALUES (:version, :name)"),
                    {"version": version, "name": name},
                )


@contextmanager
def _let_in() -> Iterator[None]:
    """Tell the operator, at the start, what no waiting mends."""
    try:
        yield
    except UnavailableError as exc:
        cause = getattr(exc.__cause__, "orig", None)
        if cause is not None and postgres.is_wrong(cause):
            raise ConfigError(postgres.text(cause), field="records", remedy="Mend the URL, or the rights") from exc
        raise


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (sa_exc.DBAPIError, sa_exc.TimeoutError, OSError) as exc:
        raise in_our_words(exc) from exc


def in_our_words(exc: Exception) -> TweelingError:
    """What a database's error means to whoever asked."""
    cause = getattr(exc, "orig", None) or exc
    said = f"records: {postgres.text(cause)}"
    code = postgres.code(cause)
    if isinstance(exc, sa_exc.IntegrityError) or code.startswith("23"):
        return RejectedError(said)
    if code.startswith(("22", "54")):  # a value that this database cannot hold, or not in an index
        return InvariantError(said)
    return UnavailableError(said)
