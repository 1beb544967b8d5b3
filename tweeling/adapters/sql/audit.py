"""The record store, read row by row: for an auditor, also while a hub writes to it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from tweeling.adapters.journal_audit import damage, seen
from tweeling.adapters.sql import postgres
from tweeling.adapters.sql.engine import in_our_words, migrations, schema
from tweeling.adapters.sql.tables import ANCHOR, APPLIED, CHECKPOINT, ENTRY, EVENT, FACT, LOT, MOVEMENT, NODE
from tweeling.domain.correction import KEY as CORRECTION
from tweeling.errors import ConfigError, UnavailableError, VerificationError
from tweeling.ports.audit import AnchorRow, EntryRow, EventRow, HeadRow, LotRow, MovementRow, NodeRow

_AT_ONCE = 1000
_HISTORY = "history"
_IDENTITY = (MOVEMENT.c.hub, MOVEMENT.c.node, MOVEMENT.c.epoch)
_MOVEMENTS = tuple(column for column in MOVEMENT.c if column.name != "number")
_LOTS = sa.select(LOT.c.lot, LOT.c.key, LOT.c.idx, LOT.c.leaf)
_SCHEMA = "SELECT type, name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_stat*'"  # ANALYZE makes those
_WORDS = {int: "number", str: "text"}

R = TypeVar("R")


class _Level(NamedTuple):
    level: int


class _Applied(NamedTuple):
    source: str
    through: int


class SqlRecordsAudit:
    """A `RecordsAudit` over one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"

    def damage(self) -> Iterator[str]:
        """See `RecordsAudit`."""
        if not self._sqlite:
            return  # a server looks after its own pages
        checks = (self._rows(sa.text(f"PRAGMA {name}")) for name in ("integrity_check", "foreign_key_check"))
        yield from damage(*checks)
        yield from self._other_schema()

    def _other_schema(self) -> Iterator[str]:
        """Tables, indexes, triggers and views that are not as the migrations make them."""
        found = {(kind, name): sql for kind, name, sql in self._rows(sa.text(_SCHEMA))}
        with closing(sqlite3.connect(":memory:")) as made:
            for statement in schema("sqlite"):
                made.execute(statement)
            expected = {(kind, name): sql for kind, name, sql in made.execute(_SCHEMA)}
        for kind, name in sorted({*found, *expected}):
            if (kind, name) not in found:
                yield f"{kind} {name}: it is gone"
            elif (kind, name) not in expected:
                yield f"{kind} {name}: no program of ours made it"
            elif found[kind, name] != expected[kind, name]:
                yield f"{kind} {name}: it is another"

    def sources(self) -> Mapping[str, int]:
        """See `RecordsAudit`."""
        return {row.source: row.through for row in self._typed(_Applied, "applied", sa.select(APPLIED))}

    def history(self) -> int:
        """See `RecordsAudit`."""
        rows = self._rows(sa.select(FACT.c.body).where(FACT.c.key == _HISTORY))
        try:
            return sum(int(json.loads(body)["points"]) for (body,) in rows)
        except (ValueError, TypeError, KeyError) as exc:
            raise VerificationError("says no number of points", field=f"fact {_HISTORY}") from exc

    def movements(self) -> Iterator[MovementRow]:
        """See `RecordsAudit`."""
        # Another collation than that of bytes would bring them in another order than the journal's.
        names = _IDENTITY if self._sqlite else tuple(sa.collate(column, "C") for column in _IDENTITY)
        query = sa.select(*_MOVEMENTS).order_by(*names, MOVEMENT.c.seq, MOVEMENT.c.idx)
        return self._typed(MovementRow, "movement of", query)

    def corrections(self) -> Collection[str]:
        """See `RecordsAudit`."""
        query = sa.select(FACT.c.key).where(FACT.c.key.startswith(CORRECTION))
        return {str(key).removeprefix(CORRECTION) for (key,) in self._rows(query)}

    def entries(self) -> Iterator[EntryRow]:
        """See `RecordsAudit`."""
        columns = (ENTRY.c.idx, ENTRY.c.body, ENTRY.c.event_id, ENTRY.c.captured_ms)
        return self._typed(EntryRow, "entry", sa.select(*columns).order_by(ENTRY.c.idx))

    def events(self) -> Iterator[EventRow]:
        """See `RecordsAudit`."""
        columns = (EVENT.c.idx, EVENT.c.jcs, EVENT.c.body, EVENT.c.disclosures, EVENT.c.submitter)
        return self._typed(EventRow, "event", sa.select(*columns).order_by(EVENT.c.idx))

    def nodes(self, level: int) -> Iterator[NodeRow]:
        """See `RecordsAudit`."""
        query = sa.select(NODE.c.idx, NODE.c.hash).where(NODE.c.level == level).order_by(NODE.c.idx)
        return self._typed(NodeRow, f"node of level {level}, index", query)

    def levels(self) -> Collection[int]:
        """See `RecordsAudit`."""
        query = sa.select(NODE.c.level).distinct().order_by(NODE.c.level)
        return [row.level for row in self._typed(_Level, "node of level", query)]

    def checkpoints(self) -> Iterator[HeadRow]:
        """See `RecordsAudit`."""
        query = sa.select(CHECKPOINT.c.size, CHECKPOINT.c.root, CHECKPOINT.c.note).order_by(CHECKPOINT.c.size)
        return self._typed(HeadRow, "checkpoint", query)

    def anchors(self) -> Iterator[AnchorRow]:
        """See `RecordsAudit`."""
        names = (name if name != "transaction" else "transaction_hash" for name in AnchorRow._fields)
        query = sa.select(*(ANCHOR.c[name] for name in names)).order_by(ANCHOR.c.size)
        return self._typed(AnchorRow, "anchor", query)

    def lots(self) -> Iterator[LotRow]:
        """See `RecordsAudit`."""
        return self._typed(LotRow, "lot", _LOTS.order_by(LOT.c.idx))

    def lots_named(self, names: Collection[str]) -> Collection[LotRow]:
        """See `RecordsAudit`."""
        return list(self._typed(LotRow, "lot", _LOTS.where(LOT.c.lot.in_(names))))

    def rows(self, table: sa.Table, *, at_once: int) -> Iterator[list[dict[str, Any]]]:
        """Every row of a table, some at once; they are for another store, so text has to be text."""
        names = table.columns.keys()
        whole = (dict(zip(names, row, strict=True)) for row in self._rows(sa.select(table)))
        while part := list(islice(whole, at_once)):
            for row in part:
                _check_text(table.name, row)
            yield part

    def _typed(self, kind: Callable[..., R], table: str, query: sa.Executable) -> Iterator[R]:
        """Rows whose values are what their columns are for; a damaged file may give any other."""
        types = get_type_hints(kind)
        for values in self._rows(query):
            for (name, expected), value in zip(types.items(), values, strict=True):
                if not isinstance(value, expected):
                    raise VerificationError(
                        f"{name} is no {_WORDS.get(expected, 'bytes')}", field=f"{table} {values[0]}"
                    )
            yield kind(*values)

    def _rows(self, query: sa.Executable) -> Iterator[tuple[Any, ...]]:
        with _translated():
            streamed = self._connection.execution_options(stream_results=True, yield_per=_AT_ONCE)
            for row in streamed.execute(query):
                yield tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)


@contextmanager
def open_records_audit(url: str, *, remedy: str = "Run `tweeling migrate`") -> Iterator[SqlRecordsAudit]:
    """Look at a record store as it is now, and change nothing; raises ConfigError for one of another schema.

    remedy: what brings an older one to the schema of this program.
    """
    engine = _engine(sa.make_url(url))
    try:
        with _translated(), engine.connect() as connection:  # begins with the first query, and is rolled back
            done = connection.execute(sa.text("SELECT max(version) FROM schema_version")).scalar()
            if done != (known := migrations()[-1][0]):
                newer = (done or 0) > known
                raise ConfigError(
                    f"schema {done}, this program knows {known}",
                    field="records",
                    remedy="Use the newer Tweeling that wrote it" if newer else remedy,
                )
            yield SqlRecordsAudit(connection)
    finally:
        engine.dispose()


def schema_of(url: str) -> int:
    """The schema of a record store, 0 for one that is made at the next start; changes nothing."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        return 0
    engine = _engine(parsed)
    try:
        with _translated(), engine.connect() as connection:
            if not sa.inspect(connection).has_table("schema_version"):
                return 0
            return int(connection.execute(sa.text("SELECT max(version) FROM schema_version")).scalar() or 0)
    finally:
        engine.dispose()


def _engine(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return postgres.reader(url)
    path = Path(url.database or "")
    if not path.is_file():
        raise UnavailableError(f"records: no such file: {path}")
    address = f"{path.absolute().as_uri()}?mode=ro"

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, isolation_level=None)
        # What is no UTF-8 any more must not hide in which row it stands.
        connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
        return connection

    engine = sa.create_engine("sqlite://", creator=connect)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _check_text(table: str, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        try:
            if isinstance(value, str):
                value.encode()
        except UnicodeEncodeError as exc:
            raise VerificationError(f"{name} is no text", field=f"{table} {next(iter(row.values()))}") from exc


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as exc:  # SQLite quotes what it cannot make sense of
        raise VerificationError("cannot be read any more: its schema is no text", field="records") from exc
    except (sa_exc.DBAPIError, sa_exc.TimeoutError, OSError) as exc:
        cause = getattr(exc, "orig", None) or exc
        if isinstance(cause, sqlite3.Error) and seen(cause):
            raise VerificationError(f"cannot be read any more: {cause}", field="records") from exc
        raise in_our_words(exc) from exc
