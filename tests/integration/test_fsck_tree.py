"""The tree as the record store keeps it: whatever hash of it is changed, gone or too many is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support_custody import shipping
from support_fsck import fsck, opened

ENTRIES = 290  # 18 subtrees of level 4, one of level 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hub")
    (made / "tweeling.toml").write_text("")
    with opened(made) as hub:
        for number in range(1, ENTRIES + 1):
            hub.log.capture(shipping(number, lot=f"urn:lot:{number}"))
        hub.log.integrate()
        (made / "trust.json").write_bytes(hub.log.trust.encode())
    return made


def _named(folder: Path) -> list[str]:
    return [each["where"] for each in fsck(folder)[1]["custody tree"]["disagreements"]]


def test_what_an_append_keeps_is_every_fourth_level(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "records.db")) as db:
        kept = db.execute("SELECT level, count(*) FROM node GROUP BY level").fetchall()
    assert kept == [(0, ENTRIES), (4, ENTRIES >> 4), (8, ENTRIES >> 8)]
    assert _named(folder) == []


def test_every_kept_hash_that_is_changed_or_gone_is_named(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "records.db", isolation_level=None)) as db:
        rows = db.execute("SELECT level, idx, hash FROM node").fetchall()
        for level, index, value in [*rows[:ENTRIES:97], *rows[ENTRIES::6]]:
            where = f"level {level} index {index}"
            db.execute("UPDATE node SET hash = ? WHERE level = ? AND idx = ?", (value[::-1], level, index))
            assert where in _named(folder)
            db.execute("DELETE FROM node WHERE level = ? AND idx = ?", (level, index))
            assert where in _named(folder)
            db.execute("INSERT INTO node VALUES (?, ?, ?)", (level, index, value))
            assert _named(folder) == []


@pytest.mark.parametrize(("level", "index"), [(0, ENTRIES), (1, 0), (4, 18), (6, 2), (12, 0), (60, 0)])
def test_a_hash_too_many_is_named(folder: Path, level: int, index: int) -> None:
    with closing(sqlite3.connect(folder / "records.db", isolation_level=None)) as db:
        db.execute("INSERT INTO node VALUES (?, ?, zeroblob(32))", (level, index))
        assert f"level {level} index {index}" in _named(folder)
        db.execute("DELETE FROM node WHERE level = ? AND idx = ?", (level, index))
