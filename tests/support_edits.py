"""A small real log with everything in it, and every edit by hand that one can think of, made one at a time."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import cbor2
from support_custody import Bench, encode, shipping

from tweeling.adapters.sql.audit import open_records_audit
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.adapters.sql.tables import ANCHOR, CHECKPOINT, ENTRY, EVENT, LOT, NODE
from tweeling.domain.log import Anchor
from tweeling.domain.merkle import consistency_proof
from tweeling.ports.audit import AnchorRow, ChainAudit, Look
from tweeling.services.fsck.chain import ChainCheck
from tweeling.services.fsck.custody import audit_custody
from tweeling.services.fsck.report import Check
from tweeling.services.fsck.run import _records_file
from tweeling.verify import TrustedLog

KEYS = {
    table.name: [column.name for column in table.primary_key.columns]
    for table in (ENTRY, EVENT, NODE, LOT, CHECKPOINT, ANCHOR)
}
COLUMNS = {table.name: list(table.columns.keys()) for table in (ENTRY, EVENT, NODE, LOT, CHECKPOINT, ANCHOR)}
ERASED = 4
UNDERIVED = {
    ("entry", ERASED): ("event_id", "captured_ms"),
    ("event", ERASED): ("jcs", "submitter"),
    ("lot", "urn:epc:class:lgtin:4012345.011111.D"): ("key",),
}
LOTS = {letter: f"urn:epc:class:lgtin:4012345.011111.{letter}" for letter in "ABCDE"}

Row = dict[str, Any]


class Chained(NamedTuple):
    """A chain that holds some anchors; what is asked of an installation beside its records."""

    anchors: Sequence[Anchor]
    block: int = 100
    chain_id: int = 31337

    def chain(self) -> AbstractContextManager[ChainAudit]:
        return nullcontext(self)

    def look(self) -> Look:
        newest = self.anchors[-1] if self.anchors else None
        return Look(self.block, newest.size, newest.root) if newest else Look(self.block, 0, b"")

    def anchored(self) -> Iterator[AnchorRow]:
        return (AnchorRow(*anchor) for anchor in self.anchors)


class Log(NamedTuple):
    """A log in a file, who signs it, and what its chain holds."""

    path: Path
    trusted: TrustedLog
    chain: Chained

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    def audit(self, chain: Chained | None = None) -> list[Check]:
        """What `tweeling fsck` says of the custody log."""
        with ExitStack() as asked:
            told = ChainCheck(chain or self.chain, asked)  # type: ignore[arg-type]  # all that is asked of it
            records = asked.enter_context(open_records_audit(self.url))
            return [_records_file(records), *audit_custody(records, self.trusted, told)]

    def disclose(self, place: int, other: Callable[[list[Any]], list[Any]]) -> None:
        """Put another list of disclosures behind an entry, with care."""
        with closing(sqlite3.connect(self.path)) as db:
            (raw,) = db.execute("SELECT disclosures FROM event WHERE idx = ?", (place,)).fetchone()
            shown = cbor2.loads(raw)
            assert other(shown) != shown
            db.execute("UPDATE event SET disclosures = ? WHERE idx = ?", (cbor2.dumps(other(shown)), place))
            db.commit()

    def rows(self, table: str) -> list[Row]:
        names = COLUMNS[table]
        query = f"SELECT {', '.join(names)} FROM {table} ORDER BY {', '.join(KEYS[table])}"  # noqa: S608 -- ours
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as db:
            return [dict(zip(names, row, strict=True)) for row in db.execute(query)]

    def dump(self) -> list[Row] | None:
        """All of the custody log that can be derived, as SQLite reads it; None where it cannot."""
        try:
            rows = [{"table": table, **row} for table in KEYS for row in self.rows(table)]
        except (sqlite3.Error, UnicodeDecodeError):
            return None
        for row in rows:
            for column in UNDERIVED.get((row["table"], next(iter(_key(row["table"], row).values()))), ()):
                del row[column]
            row.pop("time_ms", None)
        return rows


def make_log(folder: Path) -> Log:
    """Seven entries: signed and not, of a document, of two lots, without an id, erased; checkpoints and anchors."""
    path = folder / "records.db"
    with closing(open_records(f"sqlite:///{path}")) as records:
        bench = Bench(SqlLogStore(records))
        a, b, c, d, e = LOTS.values()
        two = [{"epcClass": lot, "quantity": 1, "uom": "KGM"} for lot in (a, c)]
        bench.capture(shipping(1, lot=a))
        bench.custody.capture(encode(shipping(2, lot=b)), token_id="scale")
        bench.capture(shipping(3, quantityList=two))
        anchors = [_anchored(bench, 0)]
        document = {
            "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
            "type": "EPCISDocument",
            "schemaVersion": "2.0",
            "creationDate": "2026-11-24T08:00:00.000Z",
            "epcisBody": {"eventList": [shipping(4, lot=b) | {"@context": None}]},
        }
        del document["epcisBody"]["eventList"][0]["@context"]  # type: ignore[index]  # JSON
        bench.custody.capture(encode(document), token_id="scale")
        bench.capture(shipping(5, lot=d))
        bench.integrate()
        bench.custody.capture(encode(shipping(6, lot=a, eventID=None)), token_id="scale")
        anchors.append(_anchored(bench, 3))
        bench.capture(shipping(7, lot=e))
        bench.integrate()
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE event SET body = NULL, disclosures = NULL WHERE idx = ?", (ERASED,))
        db.commit()
        db.execute("PRAGMA journal_mode = DELETE")
    return Log(path, bench.trust, Chained(anchors))


def _anchored(bench: Bench, before: int) -> Anchor:
    bench.integrate()
    newest = bench.store.checkpoint()
    assert newest is not None
    proof = consistency_proof(before, newest.size, bench.store.nodes)
    anchor = bench.ledger.anchor(newest.size, newest.root, proof)
    bench.store.save_anchor(anchor)
    return anchor


class Edit(NamedTuple):
    """Something done to one row, or to two of a table. column: None for a whole row."""

    table: str
    keys: tuple[Row, ...]
    column: str | None
    what: str
    steps: tuple[tuple[str, tuple[Any, ...]], ...]

    def __str__(self) -> str:
        where = " and ".join(" ".join(str(part) for part in key.values()) for key in self.keys)
        return f"{self.table} {where}{f', {self.column}' if self.column else ''}: {self.what}"

    def carry_out(self, path: Path) -> bool:
        """Do it as no program of ours would; return False where the database itself refuses it."""
        with closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("PRAGMA ignore_check_constraints = ON")
            try:
                for statement, values in self.steps:
                    db.execute(statement, values)
                db.commit()
            except (sqlite3.IntegrityError, OverflowError):
                return False
        return True

    def named_in(self, lines: Sequence[str]) -> bool:
        """Whether a finding says where it is: by index, size or name of one of the rows."""
        return any(re.search(pattern, line) for pattern in map(self._place, self.keys) for line in lines)

    def _place(self, key: Row) -> str:
        match self.table:
            case "entry" | "event":
                return rf"\b(entry|event|behind|level 0 index) {key['idx']}\b|\bentry.*expected {key['idx']}\b"
            case "node":
                return rf"level {key['level']},? index {key['idx']}\b"
            case "lot":
                return re.escape(str(key["lot"]))
        return rf"(checkpoint|anchor|size) {key['size']}\b"


def findings(checks: Sequence[Check]) -> list[str]:
    return [f"{check.name}: {each}" for check in checks for each in check.disagreements]


def edits_of_values(log: Log, table: str) -> Iterator[Edit]:
    """Every byte of every value flipped, and every value made another in whatever way fits it."""
    for row in log.rows(table):
        for column in COLUMNS[table]:
            value = row[column]
            if value is not None:
                yield _set(table, row, column, None, "NULL")
            if value is None:
                for other in (b"", b"\x80"):
                    yield _set(table, row, column, other, f"not erased but {other!r}")
            elif isinstance(value, int):
                for other in sorted({value + 1, value - 1, 0, -1, 2**62} - {value}):
                    yield _set(table, row, column, other, f"{other}")
            else:
                yield from _bytes_of(table, row, column, value)


def _bytes_of(table: str, row: Row, column: str, value: str | bytes) -> Iterator[Edit]:
    raw = value.encode() if isinstance(value, str) else value
    text = isinstance(value, str)
    for at in range(len(raw)):
        flipped = raw[:at] + bytes([raw[at] ^ 1 << (at % 8)]) + raw[at + 1 :]
        yield _set(table, row, column, flipped, f"byte {at} flipped", text=text)
    for other, what in ((raw[:-1], "a byte cut"), (raw + b"0", "a byte added"), (b"", "emptied")):
        yield _set(table, row, column, other, what, text=text)


def edits_of_rows(log: Log, table: str) -> Iterator[Edit]:
    """Every row deleted, and inserted once more under another key."""
    rows = log.rows(table)
    names = ", ".join(COLUMNS[table])
    for row in rows:
        where, key = _where(table, row)
        yield Edit(table, (_key(table, row),), None, "deleted", ((f"DELETE FROM {table} WHERE {where}", key),))  # noqa: S608 -- ours
        other = {**row, **{name: _moved(row[name]) for name in KEYS[table]}}
        if table == "event":
            other["jcs"] = bytes(32)  # which is unique
        marks = ", ".join("?" for _ in other)
        insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 -- ours
        yield Edit(table, (_key(table, other),), None, "inserted", ((insert, tuple(other.values())),))


def swaps(log: Log, table: str, *, apart: int) -> Iterator[Edit]:
    """Two rows swapped, whole and in each column: all that are at most so many rows apart."""
    rows = log.rows(table)
    for at, row in enumerate(rows):
        for other in rows[at + 1 : at + 1 + apart]:
            yield _swapped_rows(table, row, other)
            for column in COLUMNS[table]:
                if column not in KEYS[table] and row[column] != other[column]:
                    yield _swapped_values(table, row, other, column)


def _set(table: str, row: Row, column: str, value: Any, what: str, *, text: bool = False) -> Edit:
    where, key = _where(table, row)
    mark = "CAST(? AS TEXT)" if text else "?"
    statement = f"UPDATE {table} SET {column} = {mark} WHERE {where}"  # noqa: S608 -- ours
    keys = [_key(table, row)]
    if column in KEYS[table] and value is not None:  # then either name will do
        keys.append({**keys[0], column: value.decode(errors="surrogateescape") if text else value})
    return Edit(table, tuple(keys), column, what, ((statement, (value, *key)),))


def _swapped_rows(table: str, one: Row, other: Row) -> Edit:
    """By their keys, over one that nobody has."""
    names = KEYS[table]
    put = f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in names)} WHERE {_where(table, one)[0]}"  # noqa: S608 -- ours
    first, second = (tuple(_key(table, row).values()) for row in (one, other))
    spare = tuple(_moved(value) for value in first)
    steps = ((put, (*spare, *first)), (put, (*first, *second)), (put, (*second, *spare)))
    return Edit(table, (_key(table, one), _key(table, other)), None, "swapped", steps)


def _swapped_values(table: str, one: Row, other: Row, column: str) -> Edit:
    (where, first), (_, second) = _where(table, one), _where(table, other)
    put = f"UPDATE {table} SET {column} = ? WHERE {where}"  # noqa: S608 -- ours
    spare = bytes(7) if isinstance(one[column], bytes) else one[column]
    steps = ((put, (spare, *first)), (put, (one[column], *second)), (put, (other[column], *first)))
    return Edit(table, (_key(table, one), _key(table, other)), column, "swapped", steps)


def _key(table: str, row: Row) -> Row:
    return {name: row[name] for name in KEYS[table]}


def _where(table: str, row: Row) -> tuple[str, tuple[Any, ...]]:
    return " AND ".join(f"{name} = ?" for name in KEYS[table]), tuple(_key(table, row).values())


def _moved(value: Any) -> Any:
    return value + 1000 if isinstance(value, int) else f"{value}-other"
