"""RFC 8785, by its own examples, and by the package that we believe where our faster way does not go."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from collections.abc import Iterator
from itertools import islice

import pytest
import rfc8785

from tweeling.domain.canonical import jcs
from tweeling.errors import InvariantError


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785, appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_a_number_is_written_as_the_rfc_s_appendix_says(bits: str, text: str) -> None:
    assert jcs(struct.unpack(">d", bytes.fromhex(bits))[0]).decode() == text


def test_an_object_is_written_as_the_rfc_s_example_says() -> None:
    came = (
        r'{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        r' "string": "\u20ac$\u000F\u000aA' + "'" + r'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}'
    )
    assert jcs(json.loads(came)).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA' + "'" + 'B\\"\\\\\\\\\\"/"}'
    )


def test_names_are_sorted_by_utf_16_as_the_rfc_s_example_says() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    in_order = ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert list(json.loads(jcs(dict.fromkeys(names, 0)))) == in_order


def test_numbers_of_every_magnitude_are_written_as_rfc8785_writes_them() -> None:
    sample = [*islice(_doubles(), 20_000), *(milli / 1000 for milli in range(-20_000, 20_000, 7))]
    assert [number for number in sample if jcs(number) != rfc8785.dumps(number)] == []


def test_every_character_is_written_as_rfc8785_writes_it() -> None:
    whole = [chr(code) for code in range(0x11000) if not 0xD800 <= code < 0xE000]
    assert [char for char in whole if jcs(char) != rfc8785.dumps(char)] == []


@pytest.mark.parametrize(
    "value",
    [
        "\ud800",
        {"\udfff": 1},
        {"a": ["\ud83d"]},
        {"é\ud800": 1},
        math.nan,
        [math.inf],
        2**53,
        {1: 2},
        {"a": 1, 2: 3},
        {"a": {2: 3}},
        b"bytes",
        object(),
    ],
)
def test_what_has_no_form_is_refused(value: object) -> None:
    with pytest.raises(InvariantError):
        jcs(value)


def _doubles() -> Iterator[float]:
    """Doubles of any bits, the sequence by which implementations of RFC 8785 are compared: a chain of SHA-256."""
    block = bytes(32)
    while True:
        block = hashlib.sha256(block).digest()
        yield from (number for number in struct.unpack("<4d", block) if number and math.isfinite(number))
