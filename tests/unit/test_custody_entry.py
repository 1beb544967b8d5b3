from __future__ import annotations

import base64
import hashlib
import hmac
import json
from random import Random

import pytest

from tweeling.domain import entry
from tweeling.domain.canonical import cbor
from tweeling.domain.log import Disclosure
from tweeling.errors import InvariantError, VerificationError

RANDOM = Random(1)


def _hashes(count: int) -> list[bytes]:
    return sorted(hashlib.sha256(bytes([index])).digest() for index in range(count))


def _raw(version: object = 1, kind: object = "epcis/1", body: object = b"".join(_hashes(8))) -> bytes:
    return cbor({1: version, 2: kind, 3: body})


def test_a_digest_is_the_one_of_rfc_9901() -> None:
    item = Disclosure(b"\x00\xff" * 8, "readPoint", '{"id":"urn:plaats:café"}')
    array = [base64.urlsafe_b64encode(item.salt).decode().rstrip("="), item.name, json.loads(item.value)]
    text = json.dumps(array, ensure_ascii=False, separators=(",", ":"))
    expected = hashlib.sha256(base64.urlsafe_b64encode(text.encode()).rstrip(b"=")).digest()
    assert entry.digest(item) == expected


def test_a_link_needs_the_lot_s_key() -> None:
    key, leaf = b"k" * 32, b"l" * 32
    assert entry.link(key, leaf) == hmac.new(key, leaf, hashlib.sha256).digest()
    assert entry.link(key, None) == hmac.new(key, b"", hashlib.sha256).digest()


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16])
def test_an_entry_holds_its_commitments_among_decoys_and_tells_neither_number_nor_order(count: int) -> None:
    shuffled = _hashes(count)
    RANDOM.shuffle(shuffled)
    read = entry.read(entry.seal(entry.EPCIS, shuffled, RANDOM.randbytes))
    assert read.type == "epcis/1"
    assert read.commitments >= set(shuffled)
    assert len(read.commitments) == -(-count // 8) * 8


def test_an_entry_that_no_bundle_can_hold_is_refused() -> None:
    fullest = entry.seal(
        entry.EPCIS, _hashes(256) * 0 + [Random(n).randbytes(32) for n in range(2040)], RANDOM.randbytes
    )
    assert len(fullest) <= entry.MAX_BYTES
    with pytest.raises(InvariantError, match="split"):
        entry.seal(entry.EPCIS, [Random(n).randbytes(32) for n in range(2041)], RANDOM.randbytes)


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (_raw(version=2), "entry.version"),
        (_raw(version=True), "entry"),
        (_raw(kind="epcis"), "entry.type"),
        (_raw(kind=5), "entry.type"),
        (_raw(body=b""), "entry.commitments"),
        (_raw(body=b"".join(_hashes(7))), "entry.commitments"),
        (_raw(body=b"".join(reversed(_hashes(8)))), "entry.commitments"),
        (_raw(body=_hashes(1)[0] * 8), "entry.commitments"),
        (_raw(body="text"), "entry.commitments"),
        (cbor({1: 1, 2: "epcis/1"}), "entry"),
        (cbor([1, "epcis/1", b""]), "entry"),
        (_raw() + b"\x00", "entry"),
        (b"\xa3\x01\x18\x01" + _raw()[3:], "entry"),
        (bytes(70_000), "entry"),
    ],
)
def test_no_other_bytes_are_an_entry(data: bytes, field: str) -> None:
    with pytest.raises(VerificationError) as refused:
        entry.read(data)
    assert refused.value.field == field
