"""What is written is read back, and what is read is the only way it could have been written."""

from __future__ import annotations

import re
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from support_custody import Bench, encode, shipping

from tweeling.domain import entry, epcis, note, receipt
from tweeling.domain.canonical import compose, jcs, parse_json
from tweeling.domain.log import Disclosure
from tweeling.domain.receipt import AnchorPlace, Receipt
from tweeling.errors import InvariantError, VerificationError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
ESCAPED = st.lists(st.sampled_from(["\\ud83d", "\\uDE00", "\\u0041", "\\\\", "\\n", "u", "d800", "é"]), max_size=4).map(
    lambda parts: f'"{"".join(parts)}"'
) | st.sampled_from(["9007199254740993", "1.5", "0.1e-999", "null"])
DISCLOSURES = st.lists(
    st.builds(Disclosure, st.binary(min_size=16, max_size=16), TEXT, TEXT), unique_by=lambda item: item.name, max_size=5
)
PLACES = st.builds(
    AnchorPlace,
    st.integers(0, 2**64 - 1),
    st.binary(min_size=20, max_size=20),
    st.integers(0, 2**64 - 1),
    st.binary(min_size=32, max_size=32),
)
RECEIPTS = st.builds(
    Receipt,
    entry=st.binary(),
    disclosures=DISCLOSURES.map(lambda items: tuple(sorted(items, key=lambda item: item.name))),
    cose=st.binary(),
    checkpoint=TEXT,
    anchor=st.none() | PLACES,
    signature=st.binary(min_size=64, max_size=64),
    lot_keys=st.dictionaries(st.integers(0, 1000), st.binary(min_size=32, max_size=32), max_size=3).map(
        lambda keys: tuple(sorted(keys.items()))
    ),
)


@given(JSON)
def test_canonical_json_is_its_own_canonical_form(value: Any) -> None:
    text = jcs(value)
    assert jcs(parse_json(text)) == text


@given(JSON)
def test_canonical_json_is_what_rfc8785_writes(value: Any) -> None:
    assert jcs(value) == rfc8785.dumps(value)


@given(st.recursive(ESCAPED, lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]")))
def test_bytes_and_text_are_read_alike_whatever_is_escaped_in_them(text: str) -> None:
    def read(data: bytes | str) -> tuple[Any, str]:
        try:
            return parse_json(data), ""
        except InvariantError as exc:
            return None, f"{exc.field}: {exc}"

    assert read(text.encode()) == read(text)


@given(st.dictionaries(TEXT, JSON, max_size=6))
def test_an_object_composed_of_canonical_members_is_canonical(value: dict[str, Any]) -> None:
    assert compose({name: jcs(item).decode() for name, item in value.items()}) == jcs(value)


@given(st.dictionaries(TEXT.map(lambda name: f"ex:x{name.strip()}".replace(" ", "")), JSON, max_size=4))
def test_extensions_of_any_kind_come_back_as_they_were(extensions: dict[str, Any]) -> None:
    named = {name: value for name, value in extensions.items() if not re.search(r"[\s\x00-\x1f\x7f]", name)}
    event = shipping(**{name: value for name, value in named.items() if value is not None})
    assert epcis.parse(encode(event))[0].canonical == jcs(event)


@given(RECEIPTS)
def test_a_receipt_is_read_as_it_was_written(made: Receipt) -> None:
    data = made.encode()
    assert receipt.read(data) == made
    assert receipt.read(data).encode() == data


@given(st.binary(max_size=200))
def test_noise_is_neither_receipt_nor_entry(data: bytes) -> None:
    for read in (receipt.read, entry.read):
        with pytest.raises(VerificationError):
            read(data)


@given(st.text(max_size=200))
def test_a_note_is_read_or_refused_and_never_half(text: str) -> None:
    try:
        parsed = note.parse(text)
    except VerificationError:
        return
    assert parsed.text.endswith("\n")
    assert parsed.signatures


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12))
def test_each_lot_s_links_form_one_unbroken_chain(lots: list[str]) -> None:
    bench = Bench()
    bench.capture(*(shipping(number, lot=f"urn:lot:{lot}") for number, lot in enumerate(lots)))
    entries = [item.entry for item in bench.store.entries(0, len(lots))]
    opened = [entry.read(data) for data in entries]
    for lot, newest in bench.store.lots([f"urn:lot:{lot}" for lot in set(lots)]).items():
        previous = None
        for data, item, touched in zip(entries, opened, lots, strict=True):
            assert item.continues(newest.key, previous) is (lot == f"urn:lot:{touched}")
            if lot == f"urn:lot:{touched}":
                previous = entry.link(newest.key, previous) and _leaf(data)
        assert newest.leaf == previous


def _leaf(data: bytes) -> bytes:
    from tweeling.domain.merkle import leaf_hash

    return leaf_hash(data)
