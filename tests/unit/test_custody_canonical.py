from __future__ import annotations

import time

import pytest

from tweeling.domain.canonical import cbor, jcs, parse_cbor, parse_json
from tweeling.errors import InvariantError, VerificationError


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a":[1,{"b":9007199254740993}]}', "a[1].b"),
        ('{"a":12345678901234567890}', "a"),
        ('{"a":0.12345678901234567891}', "a"),
        ('{"a":1e400}', "a"),
        ('{"a":1e-400}', "a"),
        ('{"a":"\\ud800"}', "a"),
        ('{"a":1,"a":2}', "a"),
    ],
)
def test_what_would_change_when_written_again_is_refused_by_its_path(text: str, path: str) -> None:
    with pytest.raises(InvariantError) as refused:
        parse_json(text)
    assert refused.value.field == path


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1,]",
        "NaN",
        '{"a":Infinity}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16-le"),
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-be"),
        "[" * 100_000,
        '{"a":' * 70 + "1" + "}" * 70,
        f"1e{'0' * 5000}1",
        f"1e{'0' * 20}1",
        "1" * 5000,
        f"0.{'0' * 400}",
    ],
)
def test_what_is_no_strict_json_is_refused(text: str) -> None:
    with pytest.raises(InvariantError):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" + "[]," * 65 + '"' + '\\"' * 500_000,
        "[" + "[]," * 65 + '"' + '\\"' * 500_000 + "\\",
        '"' + '\\"[' * 333_000,
        f'{{"{"n" * 500_000}":[{"0," * 250_000}0.12345678901234567891]}}',
    ],
    ids=["unterminated", "cut in an escape", "brackets inside", "a long name over a long list"],
)
def test_a_megabyte_made_to_be_slow_is_refused_at_once(text: str) -> None:
    before = time.process_time()
    with pytest.raises(InvariantError):
        parse_json(text)
    assert time.process_time() - before < 0.5


def test_brackets_in_a_string_are_no_nesting() -> None:
    assert parse_json('["' + '[\\"{' * 100 + '"]') == ['["{' * 100]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1.50", "1.5"),
        ("100e-2", "1"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1E+2", "100"),
        ("1e20", "100000000000000000000"),
        ("100000000000000000000", "100000000000000000000"),
        ("9007199254740992", "9007199254740992"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("0.1", "0.1"),
        ("9007199254740991", "9007199254740991"),
        ('{"\\u20ac":1,"\\r":2,"\\ud83d\\ude00":3,"\\ufb33":4}', '{"\\r":2,"\u20ac":1,"\U0001f600":3,"\ufb33":4}'),
    ],
)
def test_what_is_taken_keeps_its_value_in_canonical_form(text: str, canonical: str) -> None:
    assert jcs(parse_json(text)).decode() == canonical


def test_only_the_deterministic_encoding_of_a_value_is_read() -> None:
    value = {1: 1, 2: b"xy", 3: ["a", None]}
    assert parse_cbor(cbor(value), field="x") == value
    for other in (
        b"\x18\x01",  # 1 in two bytes
        b"\xa2\x02\x01\x01\x01",  # keys out of order
        b"\xa2\x01\x01\x01\x01",  # a key twice
        b"\x9f\x01\xff",  # indefinite length
        b"\x01\x01",  # something behind
        b"\xc2\x41\x01",  # a bignum for a small number
        b"\x81" * 40 + b"\x01",  # too deep
        b"\x62\xff\xff",  # no UTF-8
        b"\xa1\xe4\x01",  # the simple value 4, which Python finds equal to 4
        b"\xa1\xf9\x40\x00\x01",  # 2.0 for 2
        b"\xa1\xf5\x01",  # true for 1
        b"\xf7",  # undefined
        b"\xd9\x01\x02\x81\x01",  # a set
        b"\xc4\x82\x01\x02",  # a decimal fraction
        b"\xa1\x41\x00\x01",  # bytes for a key
        b"\xa1\xc2\x49\x01" + bytes(8) + b"\x01",  # a huge number for a key
        b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01",  # 10^1,000,000,000
        b"",
    ):
        with pytest.raises(VerificationError) as refused:
            parse_cbor(other, field="x")
        assert refused.value.field == "x"


def test_keys_made_to_collide_are_refused_before_anything_is_built_of_them() -> None:
    # Negative and positive integers that are equal modulo 2^61 - 1 have one hash in Python.
    modulus = 2**61 - 1
    pairs = b"".join(b"\xc2\x4f" + (number * modulus).to_bytes(15) + b"\x00" for number in range(1, 20_001))
    data = b"\xb9" + (20_000).to_bytes(2) + pairs
    before = time.process_time()
    with pytest.raises(VerificationError):
        parse_cbor(data, field="x")
    assert time.process_time() - before < 0.2
