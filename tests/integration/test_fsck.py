"""Every kind of damage is named, with exit code 3; what is sound is not."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support_custody import shipping
from support_damage import JOURNAL, POINTS, RECORDS
from support_fsck import found, fsck, install, opened, points, sqlite
from support_ingest import NOW, message, reading, weighing
from support_store import victoria_metrics, victoria_opener

from tweeling import bootstrap, config
from tweeling.adapters.duckdb import DuckDBStore
from tweeling.domain import entry
from tweeling.domain.points import Point, Points
from tweeling.errors import ConfigError, UnavailableError
from tweeling.services.status import Status

_OTHER_PARTS = ("subscriber", "journal", "projector", "custody", "anchoring", "forecaster", "disk")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "hub"
    install(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "hub"
    shutil.copytree(sound, copy)
    return copy


def test_a_sound_installation_agrees_in_every_check(folder: Path) -> None:
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert "13 batches decoded again" in checks["journal batches"]["detail"]
    assert "40 weighings of 820.000 kg agree, through batch 13 of 13" in checks["facts"]["detail"]
    assert "43 points compared" in checks["points"]["detail"]
    assert "11 entries" in checks["custody entries"]["detail"]


def test_an_audit_changes_no_file(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".db", ".duckdb"}}
    fsck(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_an_entry_of_a_later_type_is_held_to_what_it_commits_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as hub:
        monkeypatch.setattr(entry, "EPCIS", "handover/1")
        hub.log.capture(shipping(501))
        hub.log.integrate()
    assert fsck(folder)[0] == 0


def test_an_entry_in_a_later_encoding_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as hub:
        monkeypatch.setattr(entry, "VERSION", 2)
        hub.log.capture(shipping(502))
    monkeypatch.undo()
    _named(folder, "custody entries", r"entry \d+: commitments / entry.version: not version 1")


def test_what_retention_made_hourly_is_no_finding_and_still_counts(folder: Path) -> None:
    later = NOW + 200 * 86_400_000
    with bootstrap.stores(config.load(folder / "tweeling.toml")) as (store, _, facts):
        assert isinstance(store, DuckDBStore)
        before = store.count()
        store.maintain(later)
        status = Status(points=store, facts=facts, **dict.fromkeys(_OTHER_PARTS))  # type: ignore[arg-type]  # not asked
        assert (store.count(), store.kept().removed) == (0, before)
        assert status._stored() == {"readings_stored": before}
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert re.search(r"43 points are older than the store keeps every one", checks["points"]["detail"])


def test_a_sealed_file_with_a_bit_that_fell_over_is_named(folder: Path) -> None:
    with bootstrap.stores(config.load(folder / "tweeling.toml")) as (store, _, _):
        assert isinstance(store, DuckDBStore)
        store.maintain(NOW + 200 * 86_400_000)
        file = next(store.folder.iterdir())
    total = pq.read_metadata(file).row_group(0).column(3)
    whole = bytearray(file.read_bytes())
    whole[total.data_page_offset + total.total_compressed_size - 1] ^= 1
    file.write_bytes(whole)
    _named(folder, "points", rf"^file, points: as it was written / .*{file.name}: the sealed file cannot be read")


def _named(folder: Path, name: str, pattern: str) -> None:
    code, checks = fsck(folder)
    assert code == 3
    lines = found(checks[name])
    assert any(re.search(pattern, line) for line in lines), {key: found(each) for key, each in checks.items()}


@pytest.mark.parametrize("name", JOURNAL)
def test_damage_of_the_journal_is_named(folder: Path, name: str) -> None:
    statements, expected = JOURNAL[name]
    sqlite(folder / "journal.db", *statements)
    _named(folder, *expected)


@pytest.mark.parametrize("name", RECORDS)
def test_damage_of_the_records_is_named(folder: Path, name: str) -> None:
    statements, expected = RECORDS[name]
    sqlite(folder / "records.db", *statements)
    _named(folder, *expected)


@pytest.mark.parametrize("name", POINTS)
def test_damage_of_the_points_is_named(folder: Path, name: str) -> None:
    statement, expected = POINTS[name]
    points(folder, statement)
    _named(folder, "points", expected)


@pytest.mark.parametrize(("file", "name"), [("journal.db", "journal file"), ("records.db", "records file")])
def test_overwritten_pages_of_a_file_are_named(folder: Path, file: str, name: str) -> None:
    with (folder / file).open("r+b") as pages:
        pages.seek(0, 2)
        pages.seek(pages.tell() // 4096 // 2 * 4096)
        pages.write(b"\x00\xff" * 2048)
    code, checks = fsck(folder)
    assert code == 3
    assert not checks[name]["ok"]


def test_of_trimmed_batches_the_totals_and_weighings_are_still_compared(folder: Path) -> None:
    with opened(folder, trimmed_bytes=0) as hub:
        hub.journal.trim(6)
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert "of batches up to 6 the bytes are trimmed" in checks["journal batches"]["detail"]
    assert "24 seqs of trimmed batches are taken as they stand" in checks["journal ranges"]["detail"]
    assert "up to 24 points of trimmed batches are not compared" in checks["points"]["detail"]
    sqlite(folder / "journal.db", "UPDATE movement SET net_g = net_g + 1 WHERE seq = 7")
    _named(folder, "facts", r"^net_g, facts, H1/n1/\w+ seq 7 index 1: 7001 / 7000")


def test_seqs_that_an_older_copy_never_saw_are_counted_and_no_disagreement(folder: Path) -> None:
    with opened(folder) as hub:
        hub.ingest.handle([message({61: [reading()]}, low=61)])
        hub.projector.drain()
    code, checks = fsck(folder)
    assert code == 0
    # 41..49 and 52..60 of n1, 4..6 of n2
    assert "21 seqs below the newest of their outbox are in none" in checks["journal ranges"]["detail"]


@pytest.mark.parametrize(("file", "name"), [("points.duckdb", "points"), ("records.db", "facts")])
def test_a_store_that_fell_behind_what_is_trimmed_is_named(folder: Path, file: str, name: str) -> None:
    with opened(folder, trimmed_bytes=0) as hub:
        hub.journal.trim(6)
    if name == "points":
        points(folder, "UPDATE applied SET through = 4")
    else:
        sqlite(folder / file, "UPDATE applied SET through = 4", "DELETE FROM movement WHERE seq > 16")
    _named(folder, name, rf"^cursor, {name}: at least batch 6, which is trimmed / 4")


def test_batches_that_wait_are_no_disagreement(folder: Path) -> None:
    with opened(folder) as hub:
        hub.ingest.handle([message({41: [reading(), weighing()]})])
    code, checks = fsck(folder)
    assert code == 0
    assert "through batch 13 of 14" in checks["points"]["detail"]
    assert "through batch 13 of 14" in checks["facts"]["detail"]


def test_what_a_journal_before_this_one_left_is_no_disagreement(folder: Path) -> None:
    for path in folder.glob("journal.db*"):
        path.unlink()
    with opened(folder) as hub:
        hub.ingest.handle([message({1: [reading(), weighing(1000)]}), message({9: [reading(0.25)]}, node="n3")])
        hub.projector.drain()
    code, checks = fsck(folder)
    assert code == 0
    assert "39 came from journal:" in checks["facts"]["detail"]
    assert "another journal was followed before" in checks["points"]["detail"]


def test_a_hub_that_was_killed_leaves_what_agrees(folder: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from support_fsck import opened;"
        "from support_ingest import message, reading, weighing\n"
        f"with opened(Path({str(folder)!r})) as hub:\n"
        "    for seq in range(60, 80):\n"
        "        hub.ingest.handle([message({seq: [reading(), weighing()]})])\n"
        "        if seq % 3 == 0: hub.projector.drain()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    tests = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {tests!r})\n{program}"], check=False)
    assert done.returncode == -9
    code, checks = fsck(folder)
    assert code == 0, [found(check) for check in checks.values()]
    assert "33 batches" in checks["journal batches"]["detail"]


def test_points_in_a_server_are_compared_within_its_precision(tmp_path: Path) -> None:
    with victoria_metrics(tmp_path) as url, victoria_opener(url)() as store:
        install(tmp_path / "hub", f'[store]\nkind = "victoriametrics"\nurl = "{url}"\n')
        code, checks = fsck(tmp_path / "hub")
        assert code == 0, [found(check) for check in checks.values()]
        assert "43 points compared, through batch 13 of 13" in checks["points"]["detail"]
        other = Points.of([Point("H1/H1-A/fillingLevel", NOW - 7, 0.07 + 1e-9)])
        store.apply(other, source="another hand", through=1)
        _named(tmp_path / "hub", "points", r"batch 2: 0\.07 of quality 0 / 0\.070000001 of quality 0")


def test_a_folder_that_is_no_installation_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tweeling\.toml: no such file"):
        fsck(tmp_path)
    (tmp_path / "tweeling.toml").write_text("")
    with pytest.raises(ConfigError, match=r"journal\.db: no journal here\. .*let the hub run once"):
        fsck(tmp_path)


@pytest.mark.parametrize("file", ["points.duckdb", "records.db"])
def test_a_missing_store_is_named_and_not_made(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(UnavailableError, match=file):
        fsck(folder)
    assert not (folder / file).exists()


@pytest.mark.parametrize(("file", "word"), [("journal.db", "not a database"), ("points.duckdb", "damaged")])
def test_a_file_that_is_something_else_cannot_be_audited(folder: Path, file: str, word: str) -> None:
    (folder / file).write_bytes(b"something else " * 1000)
    with pytest.raises(UnavailableError, match=word):
        fsck(folder)


def test_the_command_says_each_check_and_ends_with_its_code(folder: Path) -> None:
    command = [sys.executable, "-m", "tweeling", "fsck", "--data", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ok      facts: 40 weighings of 820.000 kg agree" in done.stdout
    sqlite(folder / "records.db", "UPDATE movement SET net_g = net_g + 1, zone = 'H1\x1b[31m' WHERE seq = 7")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "NOT OK  facts" in done.stdout
    assert "net_g, facts, H1/n1/00000000000000aa seq 7 index 1: expected 7000, found 7001" in done.stdout
    assert "\x1b" not in done.stdout
