"""A custody log edited by hand: every edit of every table and column is found and named, but for those listed here."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from support_edits import (
    COLUMNS,
    ERASED,
    LOTS,
    Chained,
    Edit,
    Log,
    edits_of_rows,
    edits_of_values,
    findings,
    make_log,
    swaps,
)

from tweeling.adapters.sql.audit import open_records_audit
from tweeling.adapters.sql.tables import EVENT, METADATA
from tweeling.errors import ConfigError, TweelingError, VerificationError

TABLES = sorted(COLUMNS)
FEW = 8


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Log:
    return make_log(tmp_path_factory.mktemp("log"))


@pytest.fixture
def log(sound: Log, tmp_path: Path) -> Log:
    copy = sound._replace(path=tmp_path / "records.db")
    copy.path.write_bytes(sound.path.read_bytes())
    return copy


def hidden(edit: Edit) -> bool:
    """What nobody can find, each with its reason on the page of faults."""
    where, deleted = next(iter(edit.keys[0].values())), edit.what == "deleted"
    match edit.table, edit.column:
        case "checkpoint", "time_ms":  # no signed text says it
            return True
        case "checkpoint", None:  # no anchor speaks of these
            return deleted and where in {5, 7}
        case "anchor", None:  # a hub that was killed may not have the newest
            return deleted and where == 6
        case ("entry", "event_id" | "captured_ms") | (
            "event",
            "jcs" | "submitter",
        ):  # nothing is left to derive it from
            return where == ERASED and edit.what != "swapped"
        case "lot", "key" | "lot" | None:  # likewise, of a lot that the erased event alone has touched
            return str(where).startswith(LOTS["D"]) and edit.what != "swapped"
    return False


def found_all(log: Log, edits: Iterable[Edit]) -> tuple[int, int]:
    """Carry out each edit on its own copy; return how many were found, and how many none could find."""
    sound = log.path.read_bytes()
    counted, unseen = 0, 0
    for edit in edits:
        log.path.write_bytes(sound)
        if not edit.carry_out(log.path):
            continue
        lines = findings(log.audit())
        if hidden(edit):
            assert not lines, f"{edit} is listed as hidden, and is found: {lines}"
            unseen += 1
        else:
            assert lines, f"{edit} is not found"
            assert edit.named_in(lines), f"{edit} is found and not named: {lines}"
            counted += 1
    return counted, unseen


def test_a_sound_log_is_found_sound(log: Log) -> None:
    checks = log.audit()
    assert findings(checks) == []
    details = {check.name: check.detail for check in checks}
    assert details["custody entries"] == "7 entries; of 1 the event is erased"
    assert details["custody tree"].endswith("subtrees computed anew")
    assert details["custody heads"] == "4 checkpoints, 2 anchors"
    assert details["custody chain"] == "2 anchors compared with chain 31337, block 100"


def test_every_table_of_the_custody_log_is_edited() -> None:
    assert METADATA.tables.keys() - {"region", "movement", "fact", "applied"} == set(TABLES)


def test_an_anchor_that_the_chain_does_not_hold_is_named_unless_the_node_is_behind(log: Log) -> None:
    first = log.chain.anchors[:1]
    lines = findings(log.audit(Chained(first)))
    assert lines == ["custody chain: anchor, size 6: expected on the chain too, found in the records only"]
    checks = log.audit(Chained(first, block=1))
    assert findings(checks) == []
    assert not checks[-1].compared
    assert "not compared: anchor 6 is of block 2, and the node is at 1" in checks[-1].detail


def _without(log: Log, place: int, field: str) -> list[str]:
    """What is found when a field is cut out of an entry's disclosures, with care."""
    log.disclose(place, lambda shown: [item for item in shown if item[1] != field])
    return findings(log.audit())


@pytest.mark.parametrize("at", [0, -1])
def test_a_disclosure_that_stands_twice_is_named(log: Log, at: int) -> None:
    log.disclose(2, lambda shown: [*shown, shown[at]])
    assert any(
        "disclosure, entry 2: expected" in line and line.endswith("once, found twice") for line in findings(log.audit())
    )


def test_disclosures_in_another_order_say_the_same(log: Log) -> None:
    log.disclose(1, lambda shown: shown[::-1])
    assert findings(log.audit()) == []
    log.disclose(2, lambda shown: shown[::-1])
    assert any("/lot/…, entry 2" in line for line in findings(log.audit()))


@pytest.mark.parametrize(
    "field", ["/captured", "/submitter", "/signature", "/jcs", "/lot/1", "/lot/2", "eventID", "bizStep"]
)
def test_a_disclosure_that_is_cut_out_is_missed(log: Log, field: str) -> None:
    assert any("entry 2" in line for line in _without(log, 2, field))


def test_the_context_of_a_document_that_is_cut_out_looks_like_a_decoy(log: Log) -> None:
    assert _without(log, 3, "/context") == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            "CREATE TRIGGER x AFTER INSERT ON entry BEGIN DELETE FROM anchor; END",
            "trigger x: no program of ours made it",
        ),
        ("CREATE VIEW x AS SELECT * FROM anchor", "view x: no program of ours made it"),
        ("CREATE TABLE x (y)", "table x: no program of ours made it"),
        ("DROP INDEX entry_event_id", "index entry_event_id: it is gone"),
        ("ALTER TABLE anchor ADD COLUMN x TEXT", "table anchor: it is another"),
    ],
)
def test_a_schema_that_no_program_of_ours_made_is_named(log: Log, statement: str, told: str) -> None:
    with closing(sqlite3.connect(log.path)) as db:
        db.execute(statement)
    (line,) = findings(log.audit())
    assert line.startswith("records file: ")
    assert line.endswith(told)


def test_what_sqlite_counts_for_its_planner_is_no_finding(log: Log) -> None:
    with closing(sqlite3.connect(log.path)) as db:
        db.execute("ANALYZE")
    assert findings(log.audit()) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("INSERT INTO schema_version VALUES (99, 'x')", "schema 99, .* Use the newer Tweeling that wrote it"),
        ("DELETE FROM schema_version WHERE version > 1", "schema 1, .* Run `tweeling migrate`"),
    ],
)
def test_of_another_schema_it_is_said_what_to_do(log: Log, statement: str, told: str) -> None:
    with closing(sqlite3.connect(log.path)) as db:
        db.execute(statement)
        db.commit()
    with pytest.raises(ConfigError, match=told):
        log.audit()


def test_a_trust_file_without_a_contract_pins_no_place_for_anchors_and_it_is_told(log: Log) -> None:
    other = log._replace(trusted=log.trusted.model_copy(update={"anchor": None}))
    details = {check.name: check.detail for check in other.audit()}
    assert details["custody heads"].endswith("where they stand is not compared: the trust file pins no contract")


def test_text_that_is_none_is_taken_to_no_other_store(log: Log) -> None:
    with closing(sqlite3.connect(log.path)) as db:
        db.execute("UPDATE event SET submitter = CAST(x'ff' AS TEXT) WHERE idx = 2")
        db.commit()
    with (
        open_records_audit(log.url) as records,
        pytest.raises(VerificationError, match=r"event 2: submitter is no text"),
    ):
        list(records.rows(EVENT, at_once=2))


@pytest.mark.parametrize("table", TABLES)
def test_what_is_edited_is_found_and_named(log: Log, table: str) -> None:
    values, rows, rng = list(edits_of_values(log, table)), [*swaps(log, table, apart=2)], Random(table)
    few = (*edits_of_rows(log, table), *rng.sample(rows, min(FEW, len(rows))), *rng.sample(values, 3 * FEW))
    counted, _ = found_all(log, few)
    assert counted > 2 * FEW


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("table", TABLES)
def test_each_byte_of_each_value_and_each_swap_is_found_and_named(log: Log, table: str) -> None:
    counted, _ = found_all(log, (*edits_of_values(log, table), *swaps(log, table, apart=100)))
    assert counted > 300


def flipped_bytes(log: Log, places: Sequence[int]) -> tuple[int, int]:
    """Flip a bit at each place of the file; return how many changed a row, and how many nothing that is read."""
    sound, rows = log.path.read_bytes(), log.dump()
    changed = idle = 0
    for at in places:
        log.path.write_bytes(sound[:at] + bytes([sound[at] ^ 1 << at % 8]) + sound[at + 1 :])
        try:
            lines = findings(log.audit())
        except TweelingError as exc:
            lines = [str(exc)]
        if log.dump() == rows:
            idle += not lines
        else:
            assert lines, f"byte {at} of the file is another, and nobody says so"
            changed += 1
    return changed, idle


def test_a_byte_of_the_file_that_changes_a_row_is_named_and_none_is_a_traceback(log: Log) -> None:
    size = len(log.path.read_bytes())
    changed, idle = flipped_bytes(log, Random(5).sample(range(size), 80))
    assert changed > 5
    assert idle > 5, "most of a small file is free space"


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_byte_of_the_file_that_changes_a_row_is_named_and_none_is_a_traceback(log: Log) -> None:
    size = len(log.path.read_bytes())
    changed, _ = flipped_bytes(log, Random(6).sample(range(size), 4000))
    assert changed > 400
