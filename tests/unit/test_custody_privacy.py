"""What an attacker learns who has every public entry, a redacted receipt, and a list that holds every hidden value."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from random import Random
from typing import Any

import pytest
from support_custody import LOT, Bench, shipping

from tweeling.domain import disclosure, entry, receipt
from tweeling.domain.canonical import jcs
from tweeling.domain.log import Disclosure
from tweeling.errors import InvariantError
from tweeling.verify import verify

SUPPLIERS = [f"urn:tweeling:party:T{number}" for number in range(1, 19)]


def _event(supplier: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    return shipping(number, sourceList=[{"type": "possessing_party", "source": supplier}], **changes)


def _receipt(bench: Bench, *redact: str, number: int = 1) -> bytes:
    return bench.custody.receipt(shipping(number)["eventID"], redact=redact)


def _material(data: bytes) -> list[bytes]:
    """Every byte string an attacker finds in a receipt."""
    read = receipt.read(data)
    known = [b"", bytes(16), bytes(32), read.entry, read.cose, read.signature, hashlib.sha256(read.entry).digest()]
    for item in read.disclosures:
        known += [item.salt, item.value.encode(), entry.digest(item)]
    return known + list(entry.read(read.entry).commitments)


def test_no_candidate_value_can_be_matched_to_a_redacted_receipt() -> None:
    bench = Bench()
    bench.capture(_event(SUPPLIERS[3]))
    bench.integrate()
    data = _receipt(bench, "sourceList")
    commitments = entry.read(receipt.read(data).entry).commitments
    for supplier in SUPPLIERS:
        event = _event(supplier)
        value = jcs(event["sourceList"])
        guesses = [
            value,
            jcs(event),
            hashlib.sha256(jcs(event)).digest(),
            hashlib.sha256(jcs(event)).hexdigest().encode(),
        ]
        assert not any(guess in data for guess in guesses)
        for salt in _material(data):
            assert entry.digest(Disclosure(salt, "sourceList", value.decode())) not in commitments
            for guess in guesses:
                assert hashlib.sha256(salt + guess).digest() not in commitments
                assert hmac.digest(salt, guess, "sha256") not in commitments


def test_receipts_of_different_hidden_values_differ_in_nothing_but_chance() -> None:
    sizes = set()
    for supplier in SUPPLIERS:
        bench = Bench(seed=SUPPLIERS.index(supplier))
        bench.capture(_event(supplier))
        bench.integrate()
        shown = receipt.read(_receipt(bench, "sourceList"))
        sizes.add(len(shown.encode()))
        lot = next(item for item in shown.disclosures if item.name == "/lot/1")
        assert set(json.loads(lot.value)) == {"id", "key", "previous"}
        known = {"/captured", "/lot/1"}  # the time and the hash of a random key
        assert {item.name: item.value for item in shown.disclosures if item.name not in known} == {
            name: jcs(value).decode() for name, value in _event(supplier).items() if name != "sourceList"
        } | {
            "/submitter": '{"by":"T1","signed":true}',
        }
    assert len(sizes) == 1


def test_whatever_is_computed_from_a_hidden_member_is_hidden_with_it() -> None:
    bench = Bench()
    nine = "ni:///sha-256;" + "ab" * 32 + "?ver=CBV2.0"
    bench.capture(_event(SUPPLIERS[0], eventID=nine))
    bench.integrate()
    everything = {item.name for item in receipt.read(bench.custody.receipt(nine)).disclosures}
    assert {disclosure.JCS, disclosure.SIGNATURE, "eventID", "/lot/1"} <= everything
    shown = {item.name for item in receipt.read(bench.custody.receipt(nine, redact=["sourceList"])).disclosures}
    assert everything - shown == {"sourceList", disclosure.JCS, disclosure.SIGNATURE, "eventID"}
    shown = {item.name for item in receipt.read(bench.custody.receipt(nine, redact=["quantityList"])).disclosures}
    assert everything - shown == {"quantityList", disclosure.JCS, disclosure.SIGNATURE, "eventID", "/lot/1"}
    shown = {item.name for item in receipt.read(bench.custody.receipt(nine, redact=["/captured"])).disclosures}
    assert everything - shown == {"/captured"}


@pytest.mark.parametrize(
    ("event_id", "hidden"),
    [
        ("ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk", True),
        ("NI:///sha-256;short", True),
        ("Ni:///sha-256;short", True),
        ("urn:x:{hex}", True),
        ("URN:X:{HEX}", True),
        ("https://id.example/{b64}", True),
        ("urn:x:{b64std}=", True),
        ("urn:uuid:6b1c0000-0000-4000-8000-000000000001", False),
        ("https://id.example/events/2026/11/24/17", False),
    ],
)
def test_an_event_id_that_is_a_hash_in_any_form_goes_with_what_it_would_betray(event_id: str, *, hidden: bool) -> None:
    raw = hashlib.sha256(jcs(_event(SUPPLIERS[0], eventID=None))).digest()
    event_id = event_id.format(
        hex=raw.hex(),
        HEX=raw.hex().upper(),
        b64=disclosure.b64(raw),
        b64std=base64.b64encode(raw).decode().rstrip("="),
    )
    bench = Bench()
    bench.capture(_event(SUPPLIERS[0], eventID=event_id))
    bench.integrate()
    shown = {item.name for item in receipt.read(bench.custody.receipt(event_id, redact=["sourceList"])).disclosures}
    assert ("eventID" not in shown) is hidden


def test_a_field_that_is_not_there_cannot_be_redacted() -> None:
    bench = Bench()
    bench.capture(shipping())
    bench.integrate()
    with pytest.raises(InvariantError, match="sauceList: no such field"):
        _receipt(bench, "sauceList")


def test_entries_of_one_lot_cannot_be_linked_without_its_key() -> None:
    bench = Bench()
    bench.capture(*(_event(SUPPLIERS[number % 3], number) for number in range(6)))
    entries = [item.entry for item in bench.store.entries(0, 6)]
    opened = [entry.read(data) for data in entries]
    for left, right in itertools.combinations(opened, 2):
        assert not left.commitments & right.commitments
    leaves = [hashlib.sha256(b"\x00" + data).digest() for data in entries]
    guesses = [LOT.encode(), hashlib.sha256(LOT.encode()).digest(), b"", bytes(32), *leaves]
    for key, message in itertools.product(guesses, [b"", *leaves]):
        assert not any(entry.link(key, message) in item.commitments for item in opened)


def test_entries_about_one_lot_or_four_signed_or_not_look_alike() -> None:
    bench = Bench()
    four = [{"epcClass": f"urn:lot:{letter}", "quantity": 1, "uom": "KGM"} for letter in "abcd"]
    bench.capture(shipping(1))
    bench.custody.capture(jcs(shipping(2)), token_id="cli")
    bench.custody.capture(jcs(shipping(3, quantityList=four, bizTransactionList=None)), token_id="cli")
    assert len({len(item.entry) for item in bench.store.entries(0, 3)}) == 1


def test_nothing_readable_stands_in_an_entry() -> None:
    bench = Bench()
    bench.capture(shipping())
    (item,) = bench.store.entries(0, 1)
    text = item.entry[item.entry.index(b"epcis/1") + 7 :]
    for word in ("shipping", "party:T1", LOT, "urn:", base64.b64encode(b"urn:").decode()):
        assert word.encode() not in text


def test_every_subset_of_eight_fields_verifies() -> None:
    bench = Bench()
    bench.capture(shipping())
    bench.integrate()
    names = [
        "bizStep",
        "disposition",
        "readPoint",
        "quantityList",
        "sourceList",
        "destinationList",
        "eventTime",
        "action",
    ]
    rng = Random(5)
    subsets = [subset for count in range(9) for subset in itertools.combinations(names, count)]
    assert len(subsets) == 256
    for subset in subsets:
        verdict = verify(_receipt(bench, *rng.sample(subset, len(subset))), [bench.trust])
        assert not set(subset) & verdict.fields.keys()
        assert (verdict.event == shipping()) is (not subset)
