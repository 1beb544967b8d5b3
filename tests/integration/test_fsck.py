"""Every kind of damage is named, with exit code 3; what is sound is not."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support_fsck import found, fsck, install, opened, points, sqlite
from support_ingest import NOW, message, reading, weighing

from tweeling.errors import ConfigError, UnavailableError


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


def _named(folder: Path, name: str, pattern: str) -> None:
    code, checks = fsck(folder)
    assert code == 3
    lines = found(checks[name])
    assert any(re.search(pattern, line) for line in lines), {key: found(each) for key, each in checks.items()}


_BODY = "UPDATE batch SET body = CAST(replace(CAST(body AS TEXT), '{}', '{}') AS BLOB) WHERE number = {}"


def _flipped(bit: int) -> Callable[[sqlite3.Connection], object]:
    def flip(db: sqlite3.Connection) -> None:
        (body,) = db.execute("SELECT body FROM batch WHERE number = 3").fetchone()
        at = body.index(b"epoch")
        changed = body[:at] + bytes([body[at] ^ bit]) + body[at + 1 :]
        db.execute("UPDATE batch SET body = ? WHERE number = 3", (changed,))

    return flip


JOURNAL = {
    "a range is gone": (
        ["DELETE FROM settled WHERE outbox = 1 AND first = 1"],
        ("journal ranges", r"^seqs, H1/n1/\w+ 1\.\.40: committed / not committed"),
    ),
    "a range is widened": (
        ["UPDATE settled SET last = 45 WHERE outbox = 1 AND first = 1"],
        ("journal ranges", r"^seqs, H1/n1/\w+ 41\.\.45: in a batch / in none"),
    ),
    "a range is narrowed": (
        ["UPDATE settled SET last = 38 WHERE outbox = 1 AND first = 1"],
        ("journal ranges", r"^seqs, H1/n1/\w+ 39\.\.40: committed / not"),
    ),
    "a weighing is of no range": (
        ["UPDATE settled SET last = 38 WHERE outbox = 1 AND first = 1"],
        ("journal weighings", r"^seq, H1/n1/\w+ seq 39 .*: in a committed range / in none"),
    ),
    "a range is cut in two": (
        ["UPDATE settled SET last = 20 WHERE outbox = 1 AND first = 1",
         "INSERT INTO settled VALUES (1, 'committed', 21, 40)"],
        ("journal ranges", r"^range, H1/n1/\w+ seqs 21\.\.40: one range / two that touch at 21"),
    ),
    "two kinds overlap": (
        ["INSERT INTO settled VALUES (1, 'dropped', 30, 45)"],
        ("journal ranges", r"^range, H1/n1/\w+ seqs 30\.\.45: begins above 40 / dropped again"),
    ),
    "a refused seq has no evidence": (
        ["INSERT INTO settled VALUES (1, 'refused', 90, 91)"],
        ("quarantine", r"^refused, H1/n1/\w+ seqs 90\.\.91: an envelope in quarantine / none"),
    ),
    "a batch is gone": (
        ["DELETE FROM batch WHERE number = 5"],
        ("journal batches", r"^batch, below 6: 5 / 4"),
    ),
    "the weighings of a batch that is gone": (
        ["DELETE FROM batch WHERE number = 5"],
        ("journal weighings", r"^batch, H1/n1/\w+ seq 17 index 1: 5 / no such batch"),
    ),
    "the oldest batch is gone": (
        ["DELETE FROM batch WHERE number = 1"],
        ("journal batches", r"^oldest batch, journal: 1 / 2"),
    ),
    "the newest batch is gone": (
        ["DELETE FROM batch WHERE number = 13"],
        ("journal batches", r"^batch, below 14: 13 / 12"),
    ),
    "a batch stands twice": (
        ["INSERT INTO batch SELECT 14, recorded_ms, late_ms, readings, 0, size, heads, body FROM batch WHERE number = 11",
         "UPDATE total SET value = 14 WHERE name = 'batches'",
         "UPDATE total SET value = value + 2 WHERE name = 'readings'"],
        ("journal ranges", r"^seqs, H1/n2/\w+ 1\.\.1: in one batch / in several"),
    ),
    "a count of readings": (
        ["UPDATE batch SET readings = 5 WHERE number = 3"],
        ("journal batches", r"^readings, batch 3: 4 / 5"),
    ),
    "a count of weighings": (
        ["UPDATE batch SET movements = 5 WHERE number = 3"],
        ("journal batches", r"^weighings, batch 3: 4 / 5"),
    ),
    "a size": (["UPDATE batch SET size = size + 1 WHERE number = 3"], ("journal batches", r"^size, batch 3: ")),
    "a bit of the bytes": ([_flipped(4)], ("journal batches", r"^envelopes, batch 3: to be decoded again / .* means nothing: epoch")),
    "a byte too few": (
        ["UPDATE batch SET body = substr(body, 1, length(body) - 1), size = size - 1 WHERE number = 3"],
        ("journal batches", r"^envelopes, batch 3: .* means nothing"),
    ),
    "a byte too many": (
        ["UPDATE batch SET body = CAST(body || ' ' AS BLOB), size = size + 1 WHERE number = 3"],
        ("journal batches", r"^envelopes, batch 3: .* the heads tell of \d+ bytes"),
    ),
    "heads that are none": (
        ["UPDATE batch SET heads = '[[1', size = 3 + length(body) WHERE number = 3"],
        ("journal batches", r"^envelopes, batch 3: .* the heads are none"),
    ),
    "an epoch in the bytes": (
        [_BODY.format("00000000000000aa", "00000000000000ab", 3)],
        ("journal ranges", r"^seqs, H1/n1/00000000000000ab 9\.\.12: committed / not committed"),
    ),
    "a value in the bytes": (
        [_BODY.format('"v":0.09', '"v":0.08', 3)],
        ("points", r"^point, H1/H1-A/fillingLevel at \d+ ms, batch 3: 0\.08 of quality 0 / 0\.09 of quality 0"),
    ),
    "a name in the bytes": (
        [_BODY.format("H1-A/fillingLevel", "H1-C/fillingLevel", 3)],
        ("points", r"^point, H1/H1-C/fillingLevel at \d+ ms, batch 3: 0\.12 of quality 0 / no such point"),
    ),
    "a time in the bytes": (
        [_BODY.format(f'"bt":{(NOW - 9) / 1000}', f'"bt":{(NOW - 19) / 1000}', 3)],
        ("points", r"^points, store: at most 42 / 43"),  # its neighbour of that time stands
    ),
    "grams in the bytes": (
        [_BODY.format('"v":9000', '"v":9001', 3)],
        ("journal weighings", r"^net_g, batch 3, H1/n1/\w+ seq 9 index 1: 9001 / 9000"),
    ),
    "what is late": (
        ["UPDATE batch SET late_ms = 1 WHERE number = 1"],
        ("points", r"batch 1: 0\.0\d of quality 3 / 0\.0\d of quality 0"),
    ),
    "a weighing is gone": (
        ["DELETE FROM movement WHERE seq = 7"],
        ("journal weighings", r"^weighing, batch 2, H1/n1/\w+ seq 7 index 1: 7,000 g / none"),
    ),
    "a gram too many": (
        ["UPDATE movement SET net_g = net_g + 1 WHERE seq = 7"],
        ("journal weighings", r"^net_g, batch 2, H1/n1/\w+ seq 7 index 1: 7000 / 7001"),
    ),
    "a weighing is in another batch": (
        ["UPDATE movement SET batch = 3 WHERE seq = 7"],
        ("journal weighings", r"^weighing, batch 3, H1/n1/\w+ seq 7 index 1: none / 7,000 g"),
    ),
    "a weighing out of nowhere": (
        ["INSERT INTO movement SELECT outbox, 60, place, batch, time_ms, zone, direction, net_g, gross_g, tare_g,"
         " material, partner, ticket, lot FROM movement WHERE seq = 7"],
        ("journal weighings", r"^weighing, batch 2, H1/n1/\w+ seq 60 index 1: none / 7,000 g"),
    ),
    **{
        f"the total {name}": (
            [f"UPDATE total SET value = value + 1 WHERE name = '{name}'"],
            ("quarantine" if name == "quarantined" else "journal totals", rf"^total, {name}: "),
        )
        for name in ("readings", "movements", "refused", "dropped", "quarantined", "trimmed_movements")
    },
    "the total batches": (
        ["UPDATE total SET value = 12 WHERE name = 'batches'"],
        ("journal batches", r"^batch, below 13: 12 / 13"),
    ),
    "a total is gone": (
        ["DELETE FROM total WHERE name = 'dropped'"],
        ("journal totals", r"^total, dropped: a number / nothing"),
    ),
    "the trimmed number": (
        ["UPDATE total SET value = 2 WHERE name = 'trimmed'"],
        ("journal batches", r"^oldest batch, journal: 3 / 1"),
    ),
    "a message of the quarantine is gone": (
        ["DELETE FROM quarantine WHERE payload = CAST('junk' AS BLOB)"],
        ("quarantine", r"^total, quarantined: 2 / 4"),
    ),
    "evidence is gone": (
        ["DELETE FROM quarantine WHERE reason LIKE 'seq 50%'"],
        ("quarantine", r"^refused, H1/n1/\w+ seqs 50\.\.50: an envelope in quarantine / none"),
    ),
    "a message of the quarantine is another": (
        ["UPDATE quarantine SET payload = CAST('Junk' AS BLOB) WHERE payload = CAST('junk' AS BLOB)"],
        ("quarantine", r"^digest, message \d+: "),
    ),
    "a ghost's ranges": (
        ["DELETE FROM outbox WHERE id = 2"],
        ("journal file", r"settled: row .* belongs to no row of outbox"),
    ),
    "text that is none": (
        ["UPDATE batch SET heads = CAST(x'ff' AS TEXT) WHERE number = 3"],
        ("journal batches", r"^rows, journal\.db: readable / .*cannot be read any more"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", JOURNAL)
def test_damage_of_the_journal_is_named(folder: Path, name: str) -> None:
    statements, expected = JOURNAL[name]
    sqlite(folder / "journal.db", *statements)
    _named(folder, *expected)


RECORDS = {
    "a weighing is gone": (
        ["DELETE FROM movement WHERE seq = 7"],
        ("facts", r"^weighing, facts, H1/n1/\w+ seq 7 index 1: 7,000 g / none"),
    ),
    "a gram too few": (
        ["UPDATE movement SET net_g = net_g - 1 WHERE seq = 7"],
        ("facts", r"^net_g, facts, H1/n1/\w+ seq 7 index 1: 7000 / 6999"),
    ),
    "a sum": (
        ["UPDATE movement SET net_g = net_g - 1 WHERE seq = 7"],
        ("facts", r"^sum, H1 H1-A wood in: 820,000 g / 819,999 g"),
    ),
    "a weighing in another zone": (
        ["UPDATE movement SET zone = 'H1-B' WHERE seq = 7"],
        ("facts", r"^zone, facts, H1/n1/\w+ seq 7 index 1: H1-A / H1-B"),
    ),
    "a weighing twice": (
        ["INSERT INTO movement SELECT 99, hub, node, epoch, seq, 2, time_ms, zone, direction, net_g, gross_g, tare_g,"
         " material, partner, ticket, lot FROM movement WHERE seq = 7"],
        ("facts", r"^weighing, facts, H1/n1/\w+ seq 7 index 2: none / 7,000 g"),
    ),
    "a node nobody knows": (
        ["INSERT INTO movement SELECT 99, hub, 'n9', epoch, seq, 2, time_ms, zone, direction, net_g, gross_g, tare_g,"
         " material, partner, ticket, lot FROM movement WHERE seq = 7"],
        ("facts", r"^weighing, facts, H1/n9/\w+ seq 7 index 2: none / 7,000 g"),
    ),
    "a cursor ahead": (
        ["UPDATE applied SET through = 99"],
        ("facts", r"^cursor, journal:\w+: at most batch 13 / batch 99"),
    ),
    "a cursor behind": (
        ["UPDATE applied SET through = 5"],
        ("facts", r"^weighing, facts, H1/n1/\w+ seq 21 index 1: none / 21,000 g"),
    ),
    "an entry is another": (
        ["UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 5) WHERE idx = 4"],
        ("custody tree", r"^subtree, level 0 index 4: "),
    ),
    "a root after another entry": (
        ["UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 5) WHERE idx = 4"],
        ("custody heads", r"^root, checkpoint 8: "),
    ),
    "a byte of an entry": (
        ["UPDATE entry SET body = CAST(body || x'00' AS BLOB) WHERE idx = 4"],
        ("custody entries", r"^entry, entry 4: commitments / "),
    ),
    "an entry in the middle is gone": (
        ["DELETE FROM entry WHERE idx = 4"],
        ("custody entries", r"^entry, behind 3: 4 / 5"),
    ),
    "the last entries are gone": (
        ["DELETE FROM entry WHERE idx >= 6"],
        ("custody heads", r"^checkpoint, size 8: at most 6 entries / 8"),
    ),
    "a leaf": (
        ["UPDATE node SET hash = zeroblob(32) WHERE level = 0 AND idx = 2"],
        ("custody tree", r"^subtree, level 0 index 2: .* / 0{64}"),
    ),
    "a subtree": (
        ["UPDATE node SET hash = zeroblob(32) WHERE level = 3"],
        ("custody tree", r"^subtree, level 3 index 0: .* / 0{64}"),
    ),
    "a subtree is gone": (
        ["DELETE FROM node WHERE level = 1 AND idx = 4"],
        ("custody tree", r"^subtree, level 1 index 4: .* / None"),
    ),
    "a subtree too many": (
        ["INSERT INTO node VALUES (7, 0, zeroblob(32))"],
        ("custody tree", r"^subtree, level 7 index 0: None / 0{64}"),
    ),
    "a root": (
        ["UPDATE checkpoint SET root = zeroblob(32) WHERE size = 4"],
        ("custody heads", r"^root, checkpoint 4: .* / 0{64}"),
    ),
    "a size": (
        ["UPDATE checkpoint SET size = 5 WHERE size = 4"],
        ("custody heads", r"^note's size, checkpoint 5: 5 / 4"),
    ),
    "a signature": (
        ["UPDATE checkpoint SET note = replace(note, substr(note, -20, 3), 'AAA') WHERE size = 4"],
        ("custody heads", r"^note, checkpoint 4: a signed note / "),
    ),
    "an anchor": (
        ["UPDATE anchor SET root = zeroblob(32)"],
        ("custody heads", r"^root, anchor 8: .* / 0{64}"),
    ),
    "an event": (
        ["UPDATE event SET body = CAST(replace(CAST(body AS TEXT), '1234.5', '1234.6') AS BLOB) WHERE idx = 3"],
        ("custody entries", r"^event, entry 3: "),
    ),
    "a disclosure": (
        ["UPDATE event SET disclosures = (SELECT disclosures FROM event WHERE idx = 5) WHERE idx = 4"],
        ("custody entries", r"^disclosure, entry 4: committed to by the entry / \w+ is not"),
    ),
    "the leaf of a lot": (
        ["UPDATE lot SET leaf = zeroblob(32)"],
        ("custody entries", r"^lot's leaf, lot urn:epc:class:lgtin:4012345\.011111\.0: "),
    ),
    "the entry of a lot": (
        ["UPDATE lot SET idx = 50 WHERE lot LIKE '%.0'"],
        ("records file", r"lot: row \d+ belongs to no row of entry"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_damage_of_the_records_is_named(folder: Path, name: str) -> None:
    statements, expected = RECORDS[name]
    sqlite(folder / "records.db", *statements)
    _named(folder, *expected)


POINTS = {
    "a point is gone": (
        f"DELETE FROM point WHERE t = {NOW - 7}",
        rf"^point, H1/H1-A/fillingLevel at {NOW - 7} ms, batch 2: 0\.07 of quality 0 / no such point",
    ),
    "a value": (
        f"UPDATE point SET value = value + 1e-16 WHERE t = {NOW - 7}",
        r"ms, batch 2: 0\.07 of quality 0 / 0\.0700000",
    ),
    "a quality": (f"UPDATE point SET quality = 3 WHERE t = {NOW - 7}", r"0\.07 of quality 0 / 0\.07 of quality 3"),
    "an overwritten value comes back": (
        f"UPDATE point SET value = 0.03 WHERE t = {NOW - 3}",
        r"batch 11: 0\.1 of quality 0 / 0\.03 of quality 0",
    ),
    "a point too many": (
        f"INSERT INTO point SELECT series, 5, value, quality FROM point WHERE t = {NOW - 7}",
        r"^points, store: at most 43 / 44",
    ),
    "a point twice": (
        f"INSERT INTO point SELECT series, t, value, quality FROM point WHERE t = {NOW - 7}",
        r"^points, store: at most 43 / 44",
    ),
    "another series' points": ("UPDATE series SET key = 'H1/H1-Z/fillingLevel' WHERE id = 1", r"/ no such point"),
    "a cursor ahead": ("UPDATE applied SET through = 99", r"^cursor, points: at most batch 13 / batch 99"),
}


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
    with opened(folder) as hub:
        hub.journal.trim(6)
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert "of batches up to 6 the bytes are trimmed" in checks["journal batches"]["detail"]
    assert "24 seqs of trimmed batches are taken as they stand" in checks["journal ranges"]["detail"]
    assert "up to 24 points of trimmed batches are not compared" in checks["points"]["detail"]
    sqlite(folder / "journal.db", "UPDATE movement SET net_g = net_g + 1 WHERE seq = 7")
    _named(folder, "facts", r"^net_g, facts, H1/n1/\w+ seq 7 index 1: 7001 / 7000")


@pytest.mark.parametrize(("file", "name"), [("points.duckdb", "points"), ("records.db", "facts")])
def test_a_store_that_fell_behind_what_is_trimmed_is_named(folder: Path, file: str, name: str) -> None:
    with opened(folder) as hub:
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


def test_a_folder_that_is_no_installation_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tweeling\.toml: no such file"):
        fsck(tmp_path)
    (tmp_path / "tweeling.toml").write_text("")
    with pytest.raises(ConfigError, match=r"journal\.db: no journal here"):
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
