from __future__ import annotations

from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support_custody import Bench, encode, private_key, public_key, shipping

from tweeling.domain import signature
from tweeling.domain.canonical import jcs
from tweeling.domain.partners import Partners
from tweeling.errors import ConfigError, InvariantError, VerificationError
from tweeling.ports.custody_api import DetachedSignature
from tweeling.services.custody import Custody
from tweeling.verify import verify

LEDGER_KEY = ec.derive_private_key(0x5EED, ec.SECP256K1())
LEDGER_PUBLIC = LEDGER_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def _es256k(message: bytes, *, high: bool = False) -> bytes:
    r, s = utils.decode_dss_signature(LEDGER_KEY.sign(message, ec.ECDSA(SHA256())))
    if (s > signature.ORDER // 2) is not high:
        s = signature.ORDER - s
    return r.to_bytes(32) + s.to_bytes(32)


def test_ed25519_signatures_are_judged() -> None:
    good = private_key("a").sign(b"text")
    signature.verify("Ed25519", public_key("a"), good, b"text", field="x")
    for key, given, message in (
        (public_key("b"), good, b"text"),
        (public_key("a"), good, b"texts"),
        (public_key("a"), good[:-1], b"text"),
        (b"", good, b"text"),
    ):
        with pytest.raises(VerificationError, match=r"^x:"):
            signature.verify("Ed25519", key, given, message, field="x")


def test_a_ledger_key_signs_too_and_only_in_one_form() -> None:
    signature.verify("ES256K", LEDGER_PUBLIC, _es256k(b"text"), b"text", field="x")
    for given in (_es256k(b"text", high=True), _es256k(b"texts"), _es256k(b"text")[:-1], bytes(64)):
        with pytest.raises(VerificationError, match=r"^x:"):
            signature.verify("ES256K", LEDGER_PUBLIC, given, b"text", field="x")


def test_an_algorithm_nobody_knows_is_refused() -> None:
    with pytest.raises(VerificationError, match="unknown algorithm"):
        signature.verify("RSA", public_key("a"), bytes(64), b"", field="x")


def test_a_partner_may_sign_with_its_ledger_key() -> None:
    bench = Bench()
    custody = Custody(
        bench.store,
        bench.custody.signer,
        clock=bench.clock,
        random=Random(4).randbytes,
        partners=Partners({"T7": {"ES256K": LEDGER_PUBLIC.hex()}}),
    )
    given = DetachedSignature("T7", "es256k", _es256k(jcs(shipping())))
    custody.capture(encode(shipping()), token_id="cli", signature=given)
    bench.integrate()
    assert verify(bench.custody.receipt(shipping()["eventID"]), [bench.trust]).signed_by == "T7"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"[]", "dict"),
        (b'{"T1":{"Ed25519":"xyz"}}', r"T1\.Ed25519"),
        (b'{"T1":{"RSA":"' + b"ab" * 32 + b'"}}', r"T1\.RSA"),
        (b"{", "JSON"),
    ],
)
def test_a_partners_file_that_cannot_be_is_named(data: bytes, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Partners.parse(data)


def test_a_partner_is_found_by_name_and_algorithm() -> None:
    partners = Partners.parse(b'{"T1":{"Ed25519":"' + b"ab" * 32 + b'"}}')
    assert partners.key("T1", "ed25519") == ("Ed25519", b"\xab" * 32)
    with pytest.raises(InvariantError, match="registered"):
        partners.key("T2", "Ed25519")
    with pytest.raises(InvariantError, match="registered"):
        partners.key("T1", "ES256K")
