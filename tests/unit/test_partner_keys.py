from __future__ import annotations

import hashlib

import pytest

from tweeling.domain.partner_keys import PartnerKey, Role, key_id, partner_id
from tweeling.errors import InvariantError

ED, K1 = bytes(range(32)), b"\x03" + bytes(range(32))


@pytest.mark.parametrize("text", ["4012345000009", "0000000000000", "did:web:example.org", "did:key:z6Mk-a_b.c%3A:d"])
def test_a_partner_is_the_hash_of_its_gln_or_did(text: str) -> None:
    assert partner_id(text) == hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4012345000008",  # check digit
        "401234500000",
        "40123450000090",
        " 4012345000009",
        "4012345000009\n",
        "urn:epc:id:pgln:4012345.00000.",
        "٤٠١٢٣٤٥٠٠٠٠٠٩",
        "did:web:",
        "did:web:example.org:",
        "did:WEB:example.org",
        "did:web:example.org#key-1",
        "did:web:example.org/path",
        "did:web:example.org?versionId=1",
        "did:web:%zz",
        "did:web:" + "a" * 2048,
        "Jan Jansen",
    ],
)
def test_what_names_no_partner_is_refused_by_field(text: str) -> None:
    with pytest.raises(InvariantError) as caught:
        partner_id(text)
    assert caught.value.field == "partner"


def test_a_keys_id_is_the_hash_of_its_algorithm_and_bytes() -> None:
    assert key_id("Ed25519", ED) == hashlib.sha256(b"\x01" + ED).digest()
    assert key_id("ES256K", K1) == hashlib.sha256(b"\x02" + K1).digest()
    assert PartnerKey("Ed25519", ED, Role.CAPTURE, 5, None).key_id == key_id("Ed25519", ED)


def test_a_key_holds_in_its_window_and_roles() -> None:
    key = PartnerKey("Ed25519", ED, Role.CAPTURE | Role.RECEIVE, 5, 8)
    assert [block for block in range(10) if key.is_valid(Role.CAPTURE, block=block)] == [5, 6, 7]
    assert key.is_valid(Role.CAPTURE | Role.RECEIVE, block=5)
    assert not key.is_valid(Role.CAPTURE | Role.WITNESS, block=5)
    assert key._replace(until=None).is_valid(Role.CAPTURE, block=1 << 40)
