"""What every Facts promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support_postgres import records_url
from support_store import HOUR, T0

from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.domain.region import Hub, Region
from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.ports.facts import Balance, Facts
from tweeling.simulation.region import load

EPOCH = "0f" * 8


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def facts(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Facts]:
    if request.param == "memory":
        yield MemoryFacts()
        return
    with closing(open_records(records_url(request.param, request, tmp_path))) as records:
        yield SqlFacts(records)


def _load(
    seq: int,
    grams: int,
    *,
    direction: str = "in",
    zone: str = "H1-A",
    material: str = "gips",
    at: int = T0,
    index: int = 0,
) -> Movement:
    return Movement(
        identity=Identity(zone.split("-", maxsplit=1)[0], "n1", EPOCH, seq, index),
        time_ms=at,
        zone=zone,
        direction=Direction(direction),
        net_g=grams,
        material=material,
    )


def test_an_empty_store_answers_with_nothing(facts: Facts) -> None:
    assert facts.region() == Region(hubs=(), zones=(), materials=(), tenants=(), flows=())
    assert list(facts.balances()) == []
    assert list(facts.movements()) == []
    assert list(facts.newest_movements()) == []
    assert facts.movements_applied("journal") == 0
    assert facts.get("anything") is None


def test_the_region_comes_back_as_it_was_and_is_replaced_as_one(facts: Facts) -> None:
    facts.save_region(load())
    assert facts.region() == load()
    small = Region(hubs=(Hub(id="X", name="Elders", lat=1, lon=2),), zones=(), materials=(), tenants=(), flows=())
    facts.save_region(small)
    assert facts.region() == small


def test_a_movement_comes_back_with_all_it_had(facts: Facts) -> None:
    whole = Movement(
        identity=Identity("H1", "n1", EPOCH, 2**53 + 1, 3),
        time_ms=T0,
        zone="H1-A",
        direction=Direction.OUT,
        net_g=999_999_999_999,
        gross_g=10**12,
        tare_g=1,
        material="beton_puin",
        partner="P01",
        ticket="H1-260101-001",
        lot="urn:epc:class:lgtin:9521141.000001.H1-A-260101-P01-1",
    )
    facts.apply_movements([whole, _load(1, 5)], source="journal", through=1)
    assert [movement for _, movement in facts.movements()] == [whole, _load(1, 5)]


@pytest.mark.parametrize("text", ["", "NULL", 'a"b\\c', "{a,b}", "'; --", "Ω\u202e\x01\n", "x" * 64])
def test_any_text_of_a_weighing_comes_back_as_it_was(facts: Facts, text: str) -> None:
    named = {"material": text, "partner": text, "ticket": None, "lot": text}
    odd = Movement.model_validate(_load(1, 5).model_dump() | named)
    facts.apply_movements([odd, _load(2, 5)], source="journal", through=1)
    assert [movement for _, movement in facts.movements()] == [odd, _load(2, 5)]


def test_two_equal_loads_in_one_millisecond_are_two(facts: Facts) -> None:
    facts.apply_movements([_load(1, 7), _load(1, 7, index=1), _load(2, 7)], source="journal", through=1)
    assert facts.balances() == [Balance("H1", "H1-A", "gips", 21, 0, 3, T0)]


def test_a_movement_with_a_known_identity_changes_nothing(facts: Facts) -> None:
    facts.apply_movements([_load(1, 7), _load(1, 7)], source="journal", through=1)
    facts.apply_movements([_load(1, 9), _load(2, 1)], source="replay", through=1)
    assert facts.balances() == [Balance("H1", "H1-A", "gips", 8, 0, 2, T0)]


def test_a_number_applied_before_changes_nothing(facts: Facts) -> None:
    facts.apply_movements([_load(1, 7)], source="journal", through=5)
    facts.apply_movements([_load(2, 7)], source="journal", through=5)
    facts.apply_movements([_load(3, 7)], source="journal", through=4)
    facts.apply_movements([_load(4, 1)], source="other", through=1)
    facts.apply_movements([], source="journal", through=6)
    assert (facts.movements_applied("journal"), facts.movements_applied("other")) == (6, 1)
    assert [movement.identity.seq for _, movement in facts.movements()] == [1, 4]


def test_balances_are_exact_where_a_float_is_not(facts: Facts) -> None:
    big = [_load(seq, 10**12) for seq in range(1, 9_101)]
    facts.apply_movements([*big, _load(9_999, 1)], source="journal", through=1)
    assert facts.balances()[0].in_g == 9_100 * 10**12 + 1 != float(9_100 * 10**12 + 1)


def test_balances_are_per_zone_and_material_until_a_time(facts: Facts) -> None:
    rows = [
        _load(1, 100, zone="H2-B"),
        _load(2, 50, at=T0 + HOUR),
        _load(3, 20, direction="out", at=T0 + 2 * HOUR),
        _load(4, 9, material="staal", at=T0 + 3 * HOUR),
    ]
    facts.apply_movements(rows, source="journal", through=1)
    second = Balance("H2", "H2-B", "gips", 100, 0, 1, T0)
    assert facts.balances() == [
        Balance("H1", "H1-A", "gips", 50, 20, 2, T0 + 2 * HOUR),
        Balance("H1", "H1-A", "staal", 9, 0, 1, T0 + 3 * HOUR),
        second,
    ]
    assert facts.balances(until_ms=T0 + HOUR) == [Balance("H1", "H1-A", "gips", 50, 0, 1, T0 + HOUR), second]
    assert facts.balances(until_ms=T0 - 1) == []


def test_movements_are_read_on_from_a_row_number(facts: Facts) -> None:
    facts.apply_movements([_load(n, n, zone=f"H{n % 2}-A") for n in range(1, 8)], source="journal", through=1)
    facts.apply_movements([_load(3, 3, zone="H1-A"), _load(8, 8, zone="H0-A")], source="journal", through=2)
    seen: list[int] = []
    after = 0
    while rows := facts.movements(after=after, limit=3):
        assert len(rows) <= 3
        seen += [movement.net_g for _, movement in rows]
        after = rows[-1][0]
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [movement.net_g for _, movement in facts.movements(hub="H1", limit=3)] == [1, 3, 5]


def test_the_newest_movements_are_by_their_own_time(facts: Facts) -> None:
    rows = [_load(1, 1, at=T0 + 2), _load(2, 2, at=T0), _load(3, 3, at=T0 + 3, zone="H2-A"), _load(4, 4, at=T0 + 2)]
    facts.apply_movements(rows, source="journal", through=1)
    assert [row.net_g for row in facts.newest_movements()] == [3, 4, 1, 2]
    assert [row.net_g for row in facts.newest_movements(limit=2, hub="H1")] == [4, 1]


def test_the_last_movements_are_read_backwards(facts: Facts) -> None:
    facts.apply_movements([_load(seq, seq, at=T0 - seq) for seq in range(1, 6)], source="journal", through=1)
    assert [(row, movement.net_g) for row, movement in facts.last_movements(limit=2)] == [(5, 5), (4, 4)]
    assert [row for row, _ in facts.last_movements(before=4)] == [3, 2, 1]
    assert list(facts.last_movements(before=1)) == []


def test_a_small_fact_is_kept_and_replaced(facts: Facts) -> None:
    first = {"seed": 2026, "naam": "Coöperatie", "deep": {"list": [1, 2.5, None, True]}}
    facts.put("demo", first)
    facts.put("other", {})
    assert facts.get("demo") == first
    facts.put("demo", {"seed": 2027})
    assert facts.get("demo") == {"seed": 2027}
    assert facts.get("other") == {}


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_facts_are_there_after_reopening(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = records_url(kind, request, tmp_path)
    with closing(open_records(url)) as records:
        facts = SqlFacts(records)
        facts.save_region(load())
        facts.put("demo", {"seed": 1})
        facts.apply_movements([_load(1, 5)], source="journal", through=3)
    with closing(open_records(url)) as records:
        facts = SqlFacts(records)
        assert facts.region() == load()
        assert facts.get("demo") == {"seed": 1}
        assert facts.movements_applied("journal") == 3
        assert facts.balances() == [Balance("H1", "H1-A", "gips", 5, 0, 1, T0)]
