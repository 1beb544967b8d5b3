"""Partners' signing keys as a registry holds them: each for certain roles, and valid in a span of blocks."""

from __future__ import annotations

import hashlib
import re
from enum import IntFlag
from typing import Final, NamedTuple

from tweeling.domain.signature import ED25519, ES256K
from tweeling.errors import InvariantError

ALGORITHMS: Final = {ED25519: 1, ES256K: 2}  # the registry's numbers

_GLN = re.compile(r"[0-9]{13}")
_DID = re.compile(r"did:[a-z0-9]+:(?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2})*(?:[A-Za-z0-9._-]|%[0-9A-Fa-f]{2})")
_LONGEST: Final = 2048


class Role(IntFlag):
    """What a key may sign: events that its partner brings, what it received, checkpoints it has seen."""

    CAPTURE = 1
    RECEIVE = 2
    WITNESS = 4


class PartnerKey(NamedTuple):
    """A public key, valid from block `first` up to and without block `until` (None: no end is known)."""

    algorithm: str
    public_key: bytes
    roles: Role
    first: int
    until: int | None

    @property
    def key_id(self) -> bytes:
        """How the registry names it."""
        return key_id(self.algorithm, self.public_key)

    def is_valid(self, role: Role, *, block: int) -> bool:
        """Whether it may sign in this role, as of a block."""
        return role in self.roles and self.first <= block and (self.until is None or block < self.until)


def key_id(algorithm: str, public_key: bytes) -> bytes:
    """SHA-256 of the algorithm's number and the public key; raises InvariantError where that is no key.

    public_key: 32 bytes (Ed25519) or a compressed point of 33 (ES256K).
    """
    number = ALGORITHMS.get(algorithm)
    if number is None:
        raise InvariantError(f"unknown algorithm {algorithm[:20]!r}: Ed25519 or ES256K", field="algorithm")
    if algorithm == ED25519 and len(public_key) != 32:
        raise InvariantError(f"an Ed25519 key has 32 bytes, not {len(public_key)}", field="public_key")
    if algorithm == ES256K and (len(public_key) != 33 or public_key[0] not in {2, 3}):
        raise InvariantError("an ES256K key is a compressed point: 33 bytes, the first 2 or 3", field="public_key")
    return hashlib.sha256(bytes([number]) + public_key).digest()


def partner_id(identification: str) -> bytes:
    """SHA-256 of a partner's GLN (13 digits) or DID; raises InvariantError where it is neither.

    A DID is taken letter by letter, without path, query and fragment.
    """
    if _GLN.fullmatch(identification):
        if not _check_digit_fits(identification):
            raise InvariantError(f"the check digit of {identification} does not fit", field="partner")
    elif len(identification) > _LONGEST or not _DID.fullmatch(identification):
        raise InvariantError(
            f"neither a GLN of 13 digits nor a DID (did:method:name): {identification[:60]!r}", field="partner"
        )
    return hashlib.sha256(identification.encode()).digest()


def _check_digit_fits(gln: str) -> bool:
    # GS1 General Specifications, section 7.9: weights 1 and 3 by turns, from the left in thirteen digits.
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(gln)) % 10 == 0
