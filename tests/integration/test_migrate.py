"""What every earlier version wrote is read by this one, and nothing in it counts twice."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support_backup import contents
from support_earlier import VERSIONS, install
from support_fsck import found, fsck, opened, sqlite
from support_fsck import install as install_today
from support_ingest import NOW, message, reading, weighing

from tweeling import bootstrap, config
from tweeling.adapters import journal_migration
from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.journal_file import VERSION
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.errors import ConfigError, InvariantError, TweelingError, UnavailableError
from tweeling.ports.journal import NodeEpoch, Settled
from tweeling.wire.ranges import SeqSet

N1 = NodeEpoch("H1", "n1", "00000000000000aa")
N3 = NodeEpoch("H1", "n3", "00000000000000aa")


@pytest.fixture(params=VERSIONS, ids="schema {}".format)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    made = tmp_path / "hub"
    install(made, request.param)
    return made


def migrate(folder: Path, backup: Path | None = None) -> list[str]:
    return bootstrap.migrate(config.load(folder / "tweeling.toml"), folder / "tweeling.toml", backup=backup)


def test_there_is_an_installation_of_every_earlier_schema() -> None:
    assert list(range(1, VERSION)) == VERSIONS


def test_a_migrated_installation_agrees_in_every_check(folder: Path) -> None:
    assert migrate(folder) == [
        "journal: schema 1 becomes 2",
        "records: schema 1 becomes 2",
        "stores: told the journal's new name",
    ]
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert "11 batches decoded again" in checks["journal batches"]["detail"]
    assert "of batches up to 3 the bytes are trimmed" in checks["journal batches"]["detail"]
    assert "40 weighings of 820.000 kg agree, through batch 14 of 14" in checks["facts"]["detail"]
    assert "through batch 14 of 14" in checks["points"]["detail"]
    assert migrate(folder) == []


def test_of_a_migrated_journal_every_range_still_holds_and_a_repeat_changes_nothing(folder: Path) -> None:
    migrate(folder)
    with opened(folder) as hub:
        assert hub.journal.settled(N1) == Settled(SeqSet(((1, 40), (51, 51))), SeqSet(((50, 50),)))
        assert hub.journal.settled(N3).dropped == SeqSet(((7, 7), (9, 9)))
        before = hub.journal.counts()
        for seq in range(1, 41):
            assert hub.ingest.handle([message({seq: [reading(), weighing()]})]).batch is None
        assert hub.journal.counts() == before | {"repeated": before["repeated"] + 40}
        assert hub.projector.drain() == 14, "the stores know where they are"
        assert hub.ingest.handle([message({52: [reading(at=NOW - 52), weighing(1)]})]).batch is not None
        assert hub.projector.drain() == 15
        assert {each.suspect.payload for each in hub.journal.quarantine()} >= {b"junk", b"\x00\xff"}
    assert fsck(folder)[0] == 0


def test_a_migrated_schema_is_that_of_a_new_journal(folder: Path, tmp_path: Path) -> None:
    migrate(folder)
    SqliteJournal(tmp_path / "new.db").close()

    def tables(path: Path) -> dict[str, str]:
        with closing(sqlite3.connect(path)) as db:
            return dict(db.execute("SELECT name, sql FROM sqlite_schema"))

    assert tables(folder / "journal.db") == tables(tmp_path / "new.db")


def test_a_hub_does_not_start_on_what_is_not_migrated_and_says_what_to_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"has schema 1, this program knows 2\. Run `tweeling migrate`"):
        SqliteJournal(folder / "journal.db")
    with pytest.raises(TweelingError):
        fsck(folder)
    journal_migration.migrate(folder / "journal.db")
    with pytest.raises(ConfigError, match=r"the stores do not know it yet\. Run `tweeling migrate` again"):
        SqliteJournal(folder / "journal.db")
    assert migrate(folder) == ["records: schema 1 becomes 2", "stores: told the journal's new name"]
    assert fsck(folder)[0] == 0


def test_a_batch_that_cannot_be_read_leaves_the_journal_as_it_was(folder: Path) -> None:
    sqlite(folder / "journal.db", "UPDATE envelope SET payload = x'00' WHERE batch = 9")

    def dump() -> list[str]:
        with closing(sqlite3.connect(folder / "journal.db")) as db:
            return [*db.iterdump(), str(db.execute("PRAGMA user_version").fetchone())]

    before = dump()
    with pytest.raises(InvariantError, match="batch 9 cannot be read any more"):
        migrate(folder)
    assert dump() == before


_KILLED = """
import os, sys
from pathlib import Path
from tweeling import bootstrap, config
from tweeling.adapters import frame

left = int(sys.argv[2])
rebuild = frame.rebuild

def count():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), 9)

def counted(*batch):
    count()
    return rebuild(*batch)

frame.rebuild = counted
path = Path(sys.argv[1])
settings = config.load(path)
sys.addaudithook(lambda event, _: count() if event == "sqlite3.connect" else None)
bootstrap.migrate(settings, path, backup=None)
"""


@pytest.mark.parametrize("at", [2, 5, 10, 15, 16, 17])
def test_a_migration_that_is_killed_at_any_step_is_done_by_the_next_one(folder: Path, at: int) -> None:
    command = [sys.executable, "-c", _KILLED, str(folder / "tweeling.toml"), str(at)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    migrate(folder)
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert "40 weighings" in checks["facts"]["detail"]
    assert "through batch 14 of 14" in checks["points"]["detail"]


@pytest.mark.parametrize(("kind", "call"), [(DuckDBStore, "apply"), (SqlFacts, "apply_movements")])
def test_the_old_name_stays_until_a_store_keeps_the_number_under_the_new_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: type, call: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(kind, call, lambda *_, **__: None)
        with pytest.raises(UnavailableError, match="did not keep how far the journal was followed: batch 0 instead"):
            migrate(folder)
    assert migrate(folder) == ["stores: told the journal's new name"]
    code, checks = fsck(folder)
    assert (code, "through batch 14 of 14" in checks["points"]["detail"]) == (0, True)


def test_a_backup_of_an_earlier_schema_is_restored_as_it_was_and_then_migrated(folder: Path, tmp_path: Path) -> None:
    migrate(folder, backup=tmp_path / "before.tar.zst")
    assert {"journal.db", "records.db", "points.duckdb"} <= set(contents(tmp_path / "before.tar.zst"))
    there = tmp_path / "there"
    assert bootstrap.restore(tmp_path / "before.tar.zst", there).manifest.schemas.journal == 1
    migrate(there)
    assert fsck(there)[0] == 0


def test_a_running_hub_is_not_migrated(tmp_path: Path) -> None:
    install_today(tmp_path / "today")
    with closing(SqliteJournal(tmp_path / "today" / "journal.db")), pytest.raises(ConfigError, match="a hub runs here"):
        migrate(tmp_path / "today")


def test_the_command_says_what_it_would_do_and_asks_where_the_backup_goes(folder: Path, tmp_path: Path) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "tweeling", "migrate", "--data", str(folder), *options]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    planned = "journal: schema 1 becomes 2\nrecords: schema 1 becomes 2\nstores: told the journal's new name\n"
    assert run("--dry-run").stdout == planned
    asked = run()
    assert (asked.returncode, "Name a new file, or say --no-backup" in asked.stderr) == (2, True)
    assert run("--dry-run").stdout == planned
    done = run("--backup", str(tmp_path / "hub.tar.zst"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == planned
    assert (tmp_path / "hub.tar.zst").exists()
    assert run().stdout == "nothing to migrate\n"


def test_a_folder_whose_hub_has_never_run_has_nothing_to_migrate(tmp_path: Path) -> None:
    (tmp_path / "tweeling.toml").write_text("")
    assert migrate(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["tweeling.toml"]
