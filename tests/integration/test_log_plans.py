"""How the databases find what the log asks of them: by walks down an index, however long the log is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from support_postgres import records_url

from tweeling.adapters.sql import bulk
from tweeling.adapters.sql.engine import Records, open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.adapters.sql.tables import ENTRY, EVENT, NODE
from tweeling.domain import merkle
from tweeling.domain.tile import Tile

ENTRIES = 1 << 15
KEPT = 20


@pytest.fixture(params=["sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    """A log of many entries whose events are erased, but of the oldest; no hash in it means anything."""
    with closing(open_records(records_url(request.param, request, tmp_path))) as records:
        with records.write() as connection:
            numbers = range(ENTRIES)
            some = [{"idx": at, "body": b"entry", "event_id": f"urn:{at}", "captured_ms": at} for at in numbers]
            bulk.insert(connection, ENTRY, some)
            events = [
                {"idx": at, "jcs": at.to_bytes(32), "submitter": "t"}
                | dict.fromkeys(("body", "disclosures"), b"{}" if at < KEPT else None)
                for at in numbers
            ]
            bulk.insert(connection, EVENT, events)
            nodes = [
                {"level": 4 * up, "idx": at, "hash": bytes(32)} for up in range(5) for at in range(ENTRIES >> 4 * up)
            ]
            bulk.insert(connection, NODE, nodes)
        yield records


@contextmanager
def _plans(records: Records) -> Iterator[list[str]]:
    """Everything that is asked meanwhile, as its database means to find it."""
    asked: list[tuple[str, Any]] = []
    plans: list[str] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _context: object, _many: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    with records.read() as connection:
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        for statement, parameters in asked:
            found = connection.exec_driver_sql(f"{explain} {statement}", parameters)
            plans += [str(row[-1]) for row in found]


def test_neither_tiles_nor_proofs_nor_the_size_nor_the_newest_events_read_a_table_whole(records: Records) -> None:
    store = SqlLogStore(records)
    with _plans(records) as plans:
        assert store.size() == ENTRIES
        store.nodes([key for number in range(12) for key in Tile(0, number).subtrees()])
        merkle.inclusion_proof(4711, ENTRIES - 1, store.nodes)
        assert len(store.entries(256, 512)) == 256
        assert [kept.sequenced.index for kept in store.newest(KEPT)] == list(reversed(range(KEPT)))
    # SQLite's `SCAN event` is a walk down the key until there are enough; sorted it would be one of all.
    whole = re.compile(r"SCAN (n|node|entry)\b|USE TEMP B-TREE|.*Seq Scan on (node|entry|event)\b")
    assert [plan for plan in plans if whole.match(plan)] == []
    assert len(plans) >= 5
