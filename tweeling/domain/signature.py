"""Detached signatures: Ed25519 (RFC 8032), and ES256K (RFC 8812) for partners whose key is a ledger key.

The arithmetic is the `cryptography` package's, loaded when first needed.
"""

from __future__ import annotations

from typing import Final

from tweeling.errors import VerificationError

ED25519: Final = "Ed25519"
ES256K: Final = "ES256K"

ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def verify(alg: str, key: bytes, signature: bytes, message: bytes, *, field: str) -> None:
    """Verify a signature, or raise VerificationError naming `field`.

    key: 32 bytes (Ed25519) or a compressed point of 33 (ES256K). signature: 64 bytes; of the two that ES256K
    allows for one message only the one with the low s is taken, so that nobody can make another of it.
    """
    from cryptography.exceptions import InvalidSignature

    try:
        if alg == ED25519:
            _ed25519(key, signature, message)
        elif alg == ES256K:
            _es256k(key, signature, message)
        else:
            raise VerificationError(f"unknown algorithm {alg[:20]!r}: Ed25519 or ES256K", field=field)
    except (InvalidSignature, ValueError) as exc:
        raise VerificationError("the signature is not this key's for this message", field=field) from exc


def _ed25519(key: bytes, signature: bytes, message: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


def _es256k(key: bytes, signature: bytes, message: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, utils
    from cryptography.hazmat.primitives.hashes import SHA256

    if len(key) != 33 or len(signature) != 64:
        raise ValueError("wrong length")
    r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    if s > ORDER // 2:
        raise ValueError("high s")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), key)
    public.verify(utils.encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
