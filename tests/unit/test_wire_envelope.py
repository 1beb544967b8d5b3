from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import cbor2
import pytest
from support_ingest import EPOCH, NOW, SKEW, envelope, reading, weighing

from tweeling.domain.cborscan import check
from tweeling.domain.telemetry import Direction, Identity
from tweeling.errors import WireError
from tweeling.wire import topics
from tweeling.wire.envelope import MAX_BYTES, Decoded, Envelope, decode, parse

TOPIC = topics.parse("tweeling/v1/H1/n1/up")
GOOD = {"v": 1, "node": "n1", "epoch": EPOCH, "runs": [[1, 1, 1]], "pack": [{"n": "a/b", "u": "/", "v": 1}]}


def read(payload: bytes) -> Decoded:
    return decode(TOPIC, payload, now_ms=NOW, skew_ms=SKEW)


def both(sent: Envelope) -> Decoded:
    """Read an envelope in both encodings, which must mean the same."""
    decoded = read(sent.to_json())
    assert read(sent.to_cbor()) == decoded
    return decoded


def test_readings_become_columns_in_canonical_units() -> None:
    sent = envelope(
        {3: [reading(0.5), reading(50, unit="%")], 4: [reading(250, name="H1-A/distance", unit="cm")]}, low=2
    )
    decoded = both(sent)
    assert decoded.names == ("H1-A/fillingLevel", "H1-A/fillingLevel", "H1-A/distance")
    assert decoded.values == (0.5, 0.5, 2.5)
    assert decoded.units == ("/", "/", "m")
    assert decoded.seqs == (3, 3, 4)
    assert (decoded.low, decoded.accepted.ranges, decoded.refused) == (2, ((3, 4),), ())


def test_a_weighing_becomes_a_movement_with_identity() -> None:
    more = {"grs": 5000, "tar": 3500, "par": "P", "tkt": "T-1", "lot": "L"}
    (movement,) = both(envelope({7: [reading(), weighing(1500, direction="out", **more)]})).movements
    assert movement.identity == Identity("H1", "n1", EPOCH, 7, 1)
    assert (movement.zone, movement.direction, movement.net_g) == ("H1-A", Direction.OUT, 1500)
    assert (movement.gross_g, movement.tare_g, movement.ticket) == (5000, 3500, "T-1")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"n": "a/b", "u": "furlong", "v": 1}, "unit 'furlong' is unknown"),
        ({"n": "a/b", "u": "/", "v": "1"}, "v"),
        ({"n": "a/b", "u": "/", "v": 1, "zz": 1}, "zz: Extra"),
        ({"n": "a/b", "u": "t", "v": 1e307}, "value is too large"),
        ({"n": "a/b", "u": "/", "v": 1, "t": NOW / 1000 + 301}, "time is 301 s in the future"),
        ({"n": "a/s", "u": "kg", "v": 1, "mv_": "in"}, "weighing: an integer of unit g"),
        ({"n": "a/s", "u": "g", "v": 1.5, "mv_": "in"}, "weighing: an integer of unit g"),
        ({"n": "a/s", "u": "g", "v": 1, "mv_": "up"}, "direction 'up' is neither in nor out"),
        ({"n": "a/s", "u": "g", "v": -1, "mv_": "in"}, "weighing: net_g"),
        ({"n": "a/s", "u": "g", "v": 1, "mv_": "in", "grs": 9, "tar": 1}, "weighing: movement"),
        ({"n": "a/s", "u": "g", "v": 1, "mv_": "in", "lot": "a\x00b"}, "weighing: lot"),
    ],
)
def test_one_bad_record_refuses_its_seq_alone(bad: dict[str, Any], reason: str) -> None:
    decoded = both(envelope({1: [reading(0.1), weighing(1)], 2: [reading(0.2), weighing(2), bad], 3: [weighing(3)]}))
    assert decoded.accepted.ranges == ((1, 1), (3, 3))
    ((first, last, found),) = decoded.refused
    assert (first, last) == (2, 2)
    assert reason.lower() in found.lower() or found.startswith("weighing: payload")
    assert decoded.values == (0.1,)
    assert [movement.net_g for movement in decoded.movements] == [1, 3]


def test_a_bad_record_keeps_its_base_fields_for_those_behind_it() -> None:
    pack = [{"bn": "a/", "bt": 1.7e9, "bu": "/", "n": "x", "v": "bad"}, {"n": "y", "v": 1}]
    decoded = read(json.dumps(GOOD | {"runs": [[1, 2, 1]], "pack": pack}).encode())
    assert (decoded.names, decoded.times, decoded.seqs) == (("a/y",), (1_700_000_000_000,), (2,))


def test_unreadable_base_fields_refuse_all_behind_them_rather_than_misplace_it() -> None:
    pack = [{"n": "a/x", "v": 1, "u": "/"}, {"bt": "noon", "n": "a/x", "v": 1}, {"n": "a/y", "v": 1, "u": "/"}]
    decoded = read(json.dumps(GOOD | {"runs": [[1, 3, 1]], "pack": pack}).encode())
    assert decoded.accepted.ranges == ((1, 1),)
    assert [first for first, _, _ in decoded.refused] == [2, 3]
    assert "base fields before it" in decoded.refused[1][2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"v": 2}, "v: "),
        ({"v": None}, "v: "),
        ({"node": "n2"}, "node: payload says 'n2', topic says 'n1'"),
        ({"epoch": "xyz"}, "epoch: "),
        ({"runs": [[2, 1, 1]]}, "runs: [2, 1] runs backwards"),
        ({"runs": [[1, 1, 2]]}, "runs: own 2 records, the pack holds 1"),
        ({"runs": [[1, 1, 1], [1, 1, 1]], "pack": GOOD["pack"] * 2}, "runs: overlap"),  # type: ignore[operator]  # a list
        ({"runs": [[0, 0, 1]]}, "runs.0.0: "),
        ({"runs": [[1, 2**53, 1]]}, "runs.0.1: "),
        ({"runs": [[1, 2**53 - 1, 1]]}, "runs: own 9007199254740991 records"),
        ({"dropped": [[1, 2**63 - 1, "x"]]}, "dropped.0.1: "),
        ({"dropped": [[1, 2**39, "x"], [2**39, 2**40, "y"]]}, "dropped: 1099511627777 seqs are over 1099511627776"),
        ({"dropped": [[5, 4, "x"]]}, "dropped: [5, 4] runs backwards"),
        ({"low": 0}, "low: "),
        ({"pack": "none"}, "pack: "),
        ({"more": 1}, "more: "),
    ],
)
def test_an_envelope_that_contradicts_itself_is_refused_as_a_whole(change: dict[str, Any], reason: str) -> None:
    for payload in (json.dumps(GOOD | change).encode(), cbor2.dumps(GOOD | change)):
        with pytest.raises(WireError) as caught:
            parse(TOPIC, payload)
        assert str(caught.value).startswith(reason)


def test_a_version_must_be_named() -> None:
    with pytest.raises(WireError, match="v: missing"):
        parse(TOPIC, json.dumps({key: value for key, value in GOOD.items() if key != "v"}).encode())


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"hello",
        b"\xa0",
        cbor2.dumps(GOOD) + b"\x00",
        cbor2.dumps([1]),
        b"{" + b" " * MAX_BYTES,
        b'{"v":1' + b"[" * 10_000,
        b"\x81" * 10_000,
        b"\xa1\xc2" + b"\x5a\x00\x00\xff\xff" + b"\xff" * 65535 + b"\x01",  # a map keyed by a number of 500 kbit
    ],
)
def test_bytes_without_meaning_are_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        parse(TOPIC, payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (cbor2.dumps(GOOD | {"pack": {key * (2**61 - 1): 0 for key in range(1, 100)}}), "map of more than 64 keys"),
        (cbor2.dumps(GOOD | {"pack": [{key * 2**64: 0 for key in range(1, 9)}]}), "key is neither an integer nor text"),
        (cbor2.dumps(GOOD | {"pack": [Decimal("1e9")]}), "tag 4 is not allowed"),
        (cbor2.dumps(GOOD | {"pack": [Fraction(1, 3)]}), "tag 30 is not allowed"),
        (cbor2.dumps(GOOD | {"pack": [2**64]}), "tag 2 is not allowed"),
        (cbor2.dumps(GOOD | {"pack": [{"x" * 65: 1}]}), "key of more than 64 bytes"),
        (cbor2.dumps(GOOD | {"pack": [[]] * 100_000}), "too many arrays and maps"),
        (cbor2.dumps(GOOD | {"pack": [[[[[[[[1]]]]]]]]}), "nested too deeply"),
        (b"\xbf" + cbor2.dumps(GOOD)[1:] + b"\xff", "indefinite length"),
        (b"\xa1\x61v\xf7", "value 0xf7"),
        (b"\x9b" + b"\xff" * 8, "ends too early"),
        (b"\x7a\xff\xff\xff\xff", "ends too early"),
        (cbor2.dumps(GOOD)[:-1], "ends too early"),
        (cbor2.dumps(GOOD) + b"\x00", "bytes behind"),
    ],
)
def test_cbor_that_is_dear_to_build_is_refused_before_it_is_built(payload: bytes, reason: str) -> None:
    with (
        patch.object(cbor2, "loads", side_effect=AssertionError("built")),
        pytest.raises(WireError, match=f"CBOR.*{reason}"),
    ):
        parse(TOPIC, payload)


def test_the_scan_admits_named_tags_only_and_floats_only_where_asked() -> None:
    tagged = cbor2.dumps(cbor2.CBORTag(18, [b"", {}, None, b""]))
    check(tagged, tags=frozenset({18}), max_depth=16, max_keys=64, floats=False)
    with pytest.raises(ValueError, match="tag 18"):
        check(tagged, max_depth=16, max_keys=64, floats=False)
    check(cbor2.dumps(1.5), max_depth=1, max_keys=1, floats=True)
    with pytest.raises(ValueError, match="value 0xf"):
        check(cbor2.dumps(1.5), max_depth=1, max_keys=1, floats=False)


def test_an_envelope_may_carry_a_question_only() -> None:
    decoded = both(envelope({}, ask=True, low=9, dropped=((1, 8, "quota"),)))
    assert (decoded.ask, decoded.low, decoded.dropped) == (True, 9, ((1, 8, "quota"),))
    assert not decoded.accepted


@pytest.mark.parametrize(("unit", "taken"), [("/", True), ("%", True), ("", True), ("mm", False), ("kg", False)])
def test_a_filling_level_is_a_share_and_nothing_else(unit: str, taken: bool) -> None:
    record = {"n": "H1-A/fillingLevel", "u": unit, "v": 0.5, "t": NOW / 1000}
    sent = Envelope(node="n1", epoch="0" * 16, runs=((1, 1, 1),), pack=[record])
    decoded = decode(topics.parse("tweeling/v1/H1/n1/up"), sent.to_json(), now_ms=NOW, skew_ms=0)
    assert bool(decoded.accepted) is taken
    assert taken or "fillingLevel is a share" in decoded.refused[0][2]
