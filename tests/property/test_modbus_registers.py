"""Registers are decoded as they were coded, and read with as few questions as possible, none of them forbidden."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tweeling_edge.drivers.modbus import _look
from tweeling_edge.drivers.registers import LIMITS, Register, alone, questions

ORDERS = ["ABCD", "CDAB", "BADC", "DCBA"]
KINDS = {
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
}
CODES = dict(zip(KINDS, "hHiIqQfd", strict=True))


def register(**told: Any) -> Register:
    return Register.model_validate({"name": "a/b", "address": 0, **told})


@given(st.data(), st.sampled_from(sorted(KINDS)), st.sampled_from(ORDERS))
def test_every_type_reads_back_in_every_order(data: st.DataObject, kind: str, order: str) -> None:
    value = data.draw(KINDS[kind])
    raw = struct.pack(f">{CODES[kind]}", value)
    words = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    told = register(type=kind, order=order)
    assert told.words == len(words)
    read = told.value([int.from_bytes(word, "big") for word in words])
    if kind == "float32" and math.isfinite(value):
        assert struct.pack(">f", read) == raw, "the same float32"
    else:
        assert read == value or (math.isnan(read) and math.isnan(value))


@pytest.mark.parametrize(("value", "told"), [(12.3, 12.3), (0.1, 0.1), (1e30, 1e30), (16_777_217.0, 16_777_216.0)])
def test_a_float32_is_told_as_short_as_it_can_be(value: float, told: float) -> None:
    words = struct.unpack(">HH", struct.pack(">f", value))
    assert repr(register(type="float32").value(words)) == repr(told)


def test_the_largest_float32_does_not_round_beyond_it() -> None:
    largest = struct.unpack(">f", b"\x7f\x7f\xff\xff")[0]
    assert register(type="float32").value([0x7F7F, 0xFFFF]) == pytest.approx(largest, rel=1e-8)


PLACES = st.builds(
    lambda device, table, address, kind: register(
        device=device, table=table, address=address, **({} if table in {"coil", "discrete"} else {"type": kind})
    ),
    st.integers(1, 2),
    st.sampled_from(sorted(LIMITS)),
    st.one_of(st.integers(0, 40), st.integers(0, 3000)),
    st.sampled_from(sorted(KINDS)),
)
RUNS = st.lists(PLACES, max_size=60)
LONG = st.integers(1, 400).map(lambda count: [register(address=at) for at in range(count)])


@given(st.one_of(RUNS, LONG))
def test_all_is_read_once_within_limits_and_nothing_else(registers: list[Register]) -> None:
    asked = questions(registers)
    answered = [each for question in asked for each in question.registers]
    assert sorted(map(repr, answered)) == sorted(map(repr, registers))
    for question in asked:
        assert 1 <= question.size <= LIMITS[question.table]
        span = set(range(question.address, question.address + question.size))
        own = {at for each in question.registers for at in range(each.address, each.address + each.words)}
        assert span == own, "no address that nobody asked for"
        memory = list(range(question.address, question.address + question.size))
        for each, words in question.answers(memory):
            assert list(words) == list(range(each.address, each.address + each.words))
        assert [each.registers for each in alone(question)] == [(each,) for each in question.registers]


@given(st.integers(1, 400))
def test_neighbours_are_read_with_as_few_questions_as_the_limit_allows(count: int) -> None:
    assert len(questions([register(address=at) for at in range(count)])) == -(-count // 125)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ({"table": "coil", "type": "int16"}, "a coil has no int16"),
        ({"table": "holding", "type": "bit"}, "a holding has no bit"),
        ({"address": 65_535, "type": "float32"}, "ends beyond register 65535"),
        ({"address": 40_101, "type": "float16"}, "int16"),
        ({"name": "level"}, "no thing/attribute"),
    ],
)
def test_a_register_that_cannot_be_is_refused(told: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        register(**told)


@pytest.mark.parametrize(("kind", "says"), [("uint64", 2**64 - 1), ("int64", 2**63 - 1), ("int64", -(2**63) + 1)])
def test_a_value_of_64_bits_that_means_nothing_is_named_exactly(kind: str, says: int) -> None:
    told = register(type=kind, invalid=[says])
    assert _look(told, says).wrong == "says that it has no value"
    assert not _look(told, says - 1).wrong
    assert not _look(told, says + 1).wrong


def test_a_float_that_means_nothing_is_named_with_or_without_a_point() -> None:
    for invalid in (-9999, -9999.0):
        assert _look(register(type="float32", invalid=[invalid]), -9999.0).wrong
    assert _look(register(type="float32", invalid=[0.1]), 0.1).wrong
