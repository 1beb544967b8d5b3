"""The chain of a lot's entries: none may be left out of it, though each is whole by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support_custody import Bench, shipping
from support_edits import LOTS, Chained, Log, findings

from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore

A, B = LOTS["A"], LOTS["B"]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Entries 0 and 1 of lot A, 2 of lot B."""
    path = tmp_path / "records.db"
    with closing(open_records(f"sqlite:///{path}")) as records:
        bench = Bench(SqlLogStore(records))
        made = Log(path, bench.trust, Chained([]))
    for number, lot in enumerate((A, A, B), 1):
        _capture(made, number, lot)
    return made


@contextmanager
def _edited(log: Log) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(log.path)) as db:
        yield db
        db.commit()


def _capture(log: Log, number: int, *lots: str) -> None:
    """As a hub would that was started once more: each life draws other salts."""
    with closing(open_records(log.url)) as records:
        bench = Bench(SqlLogStore(records), seed=number)
        more: dict[str, Any] = {"quantityList": [{"epcClass": lot, "quantity": 1, "uom": "KGM"} for lot in lots]}
        bench.capture(shipping(number, **more))
        bench.clock.ms += 10_000 * number
        bench.integrate()


def _set_back(log: Log, lot: str, place: int) -> None:
    with _edited(log) as db:
        (leaf,) = db.execute("SELECT hash FROM node WHERE level = 0 AND idx = ?", (place,)).fetchone()
        db.execute("UPDATE lot SET idx = ?, leaf = ? WHERE lot = ?", (place, leaf, lot))


def _erase(log: Log, place: int) -> None:
    with _edited(log) as db:
        db.execute("UPDATE event SET body = NULL, disclosures = NULL WHERE idx = ?", (place,))


def test_a_lot_that_was_set_back_and_then_captured_once_more_is_named_for_ever(log: Log) -> None:
    assert findings(log.audit()) == []
    _set_back(log, A, 0)
    assert any("newest entry" in line for line in findings(log.audit()))
    _capture(log, 4, A)
    for number in (5, 6):
        (line,) = findings(log.audit())
        assert line.startswith(f"custody entries: lot's entry before, lot {A}, entry 3: expected linked to entry 1")
        _capture(log, number, A, B)


def test_a_lot_that_was_taken_away_and_then_captured_once_more_begins_twice(log: Log) -> None:
    with _edited(log) as db:
        db.execute("UPDATE lot SET lot = ? WHERE lot = ?", (LOTS["C"], A))
    _capture(log, 4, A)
    assert any("lot's key" in line for line in findings(log.audit()))
    assert any(f"lot {A}, entry 3: expected linked to entry 1, found None" in line for line in findings(log.audit()))


@pytest.mark.parametrize("erased", [(0,), (1,), (3,), (0, 1), (1, 3), (0, 1, 2, 3, 4)])
def test_an_erased_entry_may_stand_between(log: Log, erased: tuple[int, ...]) -> None:
    for number in (4, 5):
        _capture(log, number, A, B)
    for place in erased:
        _erase(log, place)
    assert findings(log.audit()) == []


def test_an_erased_entry_of_another_lot_hides_no_fork(log: Log) -> None:
    _set_back(log, A, 0)
    _capture(log, 4, A)
    _erase(log, 2)
    (line,) = findings(log.audit())
    assert f"lot {A}, entry 3: expected linked to entry 1" in line
