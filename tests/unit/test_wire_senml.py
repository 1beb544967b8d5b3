"""The examples of RFC 8428, with names in the narrowed form `thing/attribute`."""

from __future__ import annotations

import json

import pytest

from tweeling.wire import senml
from tweeling.wire.senml import Resolved, Unresolved

NOW = 1_750_000_000_000


def resolve(*records: dict[str, object]) -> list[Resolved | Unresolved]:
    return senml.resolve(senml.PACK.validate_python(list(records)), now_ms=NOW)


def reasons(*records: dict[str, object]) -> list[str | None]:
    return [row.reason if isinstance(row, Unresolved) else None for row in resolve(*records)]


def test_a_single_datapoint_without_time_is_now() -> None:
    assert resolve({"n": "urn:dev:ow:10e2073a01080063/temperature", "u": "Cel", "v": 23.1}) == [
        Resolved("urn:dev:ow:10e2073a01080063/temperature", NOW, 23.1, "Cel", None)
    ]


def test_a_base_name_and_base_time_hold_for_all_behind_them() -> None:
    first = {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e9, "bu": "A", "bver": 5}
    rows = resolve(
        {**first, "n": "x/voltage", "u": "V", "v": 120.1},
        {"n": "x/current", "t": -5, "v": 1.2},
        {"n": "x/current", "v": 1.7},
    )
    base = "urn:dev:ow:10e2073a0108006:x/"
    assert rows == [
        Resolved(base + "voltage", 1_276_020_076_001, 120.1, "V", None),
        Resolved(base + "current", 1_276_020_071_001, 1.2, "A", None),
        Resolved(base + "current", 1_276_020_076_001, 1.7, "A", None),
    ]


def test_a_base_may_change_on_the_way() -> None:
    rows = resolve(
        {"bn": "a/", "bt": 1.32e9, "bu": "%RH", "n": "h", "v": 20},
        {"bn": "b/", "bu": "Cel", "n": "t", "t": 60, "v": 24.3},
    )
    assert rows[1] == Resolved("b/t", 1_320_000_060_000, 24.3, "Cel", None)


def test_a_base_value_is_added_and_an_integer_without_one_stays_exact() -> None:
    assert [row.value for row in resolve({"bn": "a/b", "bv": 10.5, "v": 2}, {"v": 3}) if isinstance(row, Resolved)] == [
        12.5,
        13.5,
    ]
    (row,) = resolve({"n": "a/b", "v": 12345678901234567})
    assert isinstance(row, Resolved)
    assert (type(row.value), row.value) == (int, 12345678901234567)


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, NOW), (-300, NOW - 300_000), (2**28 - 1, NOW + (2**28 - 1) * 1000)]
)
def test_small_times_are_relative_to_now(seconds: int, expected: int) -> None:
    (row,) = resolve({"n": "a/b", "v": 1, "t": seconds})
    assert isinstance(row, Resolved)
    assert row.time_ms == expected


def test_a_boolean_is_a_number() -> None:
    assert [row.value for row in resolve({"n": "a/b", "vb": True}) if isinstance(row, Resolved)] == [1.0]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"n": "no-attribute", "v": 1}, "is not <thing>/<attribute>"),
        ({"n": "a/b\n", "v": 1}, "is not <thing>/<attribute>"),
        ({"n": "a/b", "vs": "full"}, "no numeric or boolean value"),
        ({"n": "a/b"}, "no numeric or boolean value"),
        ({"n": "a/b", "v": 1, "t": 1e300}, "time is outside"),
        ({"n": "a/b", "v": 1, "t": -1e10}, "time is outside"),
        ({"n": "a/b", "v": 10**400}, "value is too large"),
        ({"n": "a/b", "v": 1e308, "bv": 1e308}, "value is too large"),
        ({"n": "a/b", "v": 1, "bver": 11}, "version is newer than 10"),
        ({"n": "a/b", "v": 1, "mat": "wood"}, "without its direction"),
    ],
)
def test_a_record_without_meaning_says_why(record: dict[str, object], reason: str) -> None:
    (found,) = reasons(record)
    assert found is not None
    assert reason in found


def test_a_newer_version_holds_for_all_behind_it() -> None:
    assert [bool(reason) for reason in reasons({"bver": 11, "n": "a/b", "v": 1}, {"n": "a/b", "v": 2})] == [True, True]


def test_what_is_encoded_resolves_to_the_same() -> None:
    rows = [
        Resolved("a/b", NOW, 0.5, "/", None),
        Resolved("a/b", NOW + 1, 2, "/", None),
        Resolved("a/scale", NOW - 10**9, 5, "g", {"mv_": "in", "mat": "wood"}),
    ]
    pack = senml.encode(rows)
    assert resolve(*pack) == rows
    assert resolve(*json.loads(json.dumps(pack))) == rows
    cbor = [senml.from_cbor(senml.to_cbor(record)) for record in pack]
    assert cbor == pack
