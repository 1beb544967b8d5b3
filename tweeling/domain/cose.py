"""COSE receipts of inclusion (RFC 9942, RFC9162_SHA256): the proof in a form that others can verify too.

    18([<<{1: -8, 4: key id, 15: {1: origin}, 395: 1}>>, {396: {-1: [<<[size, index, [hash…]]>>]}}, null, signature])

The payload is the root and is detached: who verifies has to compute it. Issuer and key id stand under the signature,
so that a root signed for one log can never speak for another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from tweeling.domain import signature
from tweeling.domain.canonical import cbor, parse_cbor
from tweeling.domain.note import Signer
from tweeling.errors import VerificationError

_TAG = 18
_ALG, _KID, _CLAIMS, _VDS, _VDP = 1, 4, 15, 395, 396
_EDDSA = -8
_ISSUER = 1
_RFC9162_SHA256 = 1
_INCLUSION = -1
_FIELD = "cose"


@dataclass(frozen=True, slots=True)
class Inclusion:
    """A COSE receipt, read: not verified until `verify` has been called with the root its path leads to."""

    origin: str
    key_id: bytes
    size: int
    index: int
    path: tuple[bytes, ...]
    protected: bytes
    signature: bytes


def sign(signer: Signer, *, size: int, index: int, path: Sequence[bytes], root: bytes) -> bytes:
    """Sign a receipt of inclusion."""
    protected = cbor({_ALG: _EDDSA, _KID: signer.key_id, _CLAIMS: {_ISSUER: signer.name}, _VDS: _RFC9162_SHA256})
    proofs = {_VDP: {_INCLUSION: [cbor([size, index, list(path)])]}}
    signed = signer.sign(_to_be_signed(protected, root))
    return cbor(cbor2.CBORTag(_TAG, [protected, proofs, None, signed]))


def read(data: bytes) -> Inclusion:
    """Take a receipt of inclusion apart, or raise VerificationError."""
    message = parse_cbor(data, field=_FIELD)
    if not isinstance(message, cbor2.CBORTag) or message.tag != _TAG or not _is_list(message.value, 4):
        raise VerificationError("not a COSE_Sign1", field=_FIELD)
    protected, unprotected, payload, signed = message.value
    if payload is not None:
        raise VerificationError("the payload is not detached", field="cose.payload")
    if not isinstance(signed, bytes) or len(signed) != 64:
        raise VerificationError("not 64 bytes", field="cose.signature")
    origin, key_id = _protected(protected)
    size, index, path = _proof(unprotected)
    return Inclusion(origin, key_id, size, index, path, protected, signed)


def verify(receipt: Inclusion, root: bytes, public: bytes) -> None:
    """Verify the signature over a root, or raise VerificationError."""
    message = _to_be_signed(receipt.protected, root)
    signature.verify(signature.ED25519, public, receipt.signature, message, field="cose.signature")


def _to_be_signed(protected: bytes, root: bytes) -> bytes:
    return cbor(["Signature1", protected, b"", root])  # RFC 9052 §4.4


def _protected(data: object) -> tuple[str, bytes]:
    field = "cose.protected"
    header = parse_cbor(data, field=field) if isinstance(data, bytes) else None
    if not isinstance(header, Mapping) or set(header) != {_ALG, _KID, _CLAIMS, _VDS}:
        raise VerificationError("not exactly algorithm, key id, claims and data structure", field=field)
    if header[_ALG] != _EDDSA or header[_VDS] != _RFC9162_SHA256:
        raise VerificationError("not EdDSA over RFC9162_SHA256", field=field)
    key_id, claims = header[_KID], header[_CLAIMS]
    if not isinstance(key_id, bytes) or len(key_id) != 4:
        raise VerificationError("not a key id of four bytes", field=field)
    if not isinstance(claims, Mapping) or set(claims) != {_ISSUER} or not isinstance(claims[_ISSUER], str):
        raise VerificationError("not exactly the issuer", field=field)
    return claims[_ISSUER], key_id


def _proof(unprotected: object) -> tuple[int, int, tuple[bytes, ...]]:
    field = "cose.proof"
    match unprotected:
        case {396: {-1: [bytes(blob)], **more}, **others} if not more and not others:
            value = parse_cbor(blob, field=field)
        case _:
            raise VerificationError("not exactly one inclusion proof", field=field)
    if not _is_list(value, 3) or not _is_size(value[0]) or not _is_size(value[1]) or not _is_list(value[2]):
        raise VerificationError("not size, index and path", field=field)
    if len(value[2]) > 64 or any(not isinstance(item, bytes) or len(item) != 32 for item in value[2]):
        raise VerificationError("not a path of hashes", field=field)
    return value[0], value[1], tuple(value[2])


def _is_list(value: object, length: int | None = None) -> bool:
    return isinstance(value, list | tuple) and length in (None, len(value))


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**63
