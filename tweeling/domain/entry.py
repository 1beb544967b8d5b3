"""The log's entry: public, and nothing but commitments. This format is never changed; `version` would be another.

    entry = {1: 1, 2: type, 3: commitments}        deterministic CBOR

`type` names what the commitments are about, and its own version (`epcis/1`). `commitments` are hashes of 32 bytes,
ascending, all different, their number a multiple of eight. Each is one of three things, and none can be told from
another without what it commits to:

* the digest of a disclosure (RFC 9901): SHA-256 over the ASCII of base64url(JSON [salt, name, value]);
* the link to the previous entry of a lot: HMAC-SHA256(key of the lot, leaf hash of that entry; nothing for the first);
* a decoy: the hash of random bytes (RFC 9901 §4.2.5), so that the number of commitments tells little.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from tweeling.domain.canonical import cbor, parse_cbor, quoted
from tweeling.domain.log import Disclosure
from tweeling.errors import InvariantError, VerificationError

VERSION = 1
EPCIS = "epcis/1"
PADDING = 8
SALT_SIZE = 16
LOT_KEY_SIZE = 32
MAX_BYTES = 65_535  # what a C2SP entry bundle can hold
MAX_COMMITMENTS = 2_040

_HASH = 32
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_TYPE = re.compile(r"[a-z][a-z0-9-]{0,30}/[1-9][0-9]{0,3}")

RandomBytes = Callable[[int], bytes]
"""Gives this many unguessable bytes."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, read."""

    type: str
    commitments: frozenset[bytes]

    def commits_to(self, disclosure: Disclosure) -> bool:
        """Whether a disclosure's digest stands here."""
        return digest(disclosure) in self.commitments

    def continues(self, key: bytes, previous: bytes | None) -> bool:
        """Whether a lot's link to this previous leaf (None: to nothing, it is the first) stands here."""
        return link(key, previous) in self.commitments


def digest(disclosure: Disclosure) -> bytes:
    """Hash a disclosure as RFC 9901 §4.2.3 does; the value is JCS text already."""
    salt, name, value = disclosure
    text = f'["{_b64(salt).decode()}",{quoted(name)},{value}]'
    return hashlib.sha256(_b64(text.encode())).digest()


def link(key: bytes, previous: bytes | None) -> bytes:
    """Blind the link to a lot's previous entry; who holds the lot's key finds it, nobody else."""
    return hmac.digest(key, previous or b"", "sha256")


def padded(count: int) -> int:
    """How many commitments an entry of so many has with its decoys; InvariantError where none can hold them."""
    whole = count + -count % PADDING
    if whole > MAX_COMMITMENTS:
        raise InvariantError(f"needs {whole} commitments, an entry holds {MAX_COMMITMENTS}; split the event")
    return whole


def seal(kind: str, commitments: Iterable[bytes], random: RandomBytes) -> bytes:
    """Encode an entry, padded with decoys."""
    hashes = list(commitments)
    missing = padded(len(hashes)) - len(hashes)
    noise = random(_HASH * missing)
    hashes += [hashlib.sha256(noise[at : at + _HASH]).digest() for at in range(0, len(noise), _HASH)]
    return cbor({1: VERSION, 2: kind, 3: b"".join(sorted(hashes))})


def read(data: bytes) -> Entry:
    """Read an entry, or raise VerificationError: no other bytes are an entry."""
    if len(data) > MAX_BYTES:
        raise VerificationError(f"{len(data)} bytes, at most {MAX_BYTES}", field="entry")
    value = parse_cbor(data, field="entry")
    if not isinstance(value, dict) or list(value) != [1, 2, 3]:
        raise VerificationError("not a map of version, type and commitments", field="entry")
    if value[1] != VERSION:
        raise VerificationError("not version 1", field="entry.version")
    kind, body = value[2], value[3]
    if not isinstance(kind, str) or not _TYPE.fullmatch(kind):
        raise VerificationError("not a type such as epcis/1", field="entry.type")
    if not isinstance(body, bytes) or not body or len(body) % (_HASH * PADDING):
        raise VerificationError("not a multiple of eight hashes", field="entry.commitments")
    hashes = [body[at : at + _HASH] for at in range(0, len(body), _HASH)]
    if any(left >= right for left, right in pairwise(hashes)):
        raise VerificationError("not ascending, or one stands twice", field="entry.commitments")
    return Entry(kind, frozenset(hashes))


def _b64(raw: bytes) -> bytes:
    """Write base64url without padding, twenty times an event and more: with less ado than `base64` does."""
    return b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=")
