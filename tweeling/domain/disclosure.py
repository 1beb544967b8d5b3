"""What an entry of type `epcis/1` commits to, field by field, and what a redacted receipt must keep back.

A member of the event is disclosed under its own name. What the log adds has a name that begins with a slash, which no
member can have (EPCIS names are bare words, `@` keywords, URIs or CURIEs):

    /jcs        {members, sha256}: how many members the event has, and the hash of all of them (RFC 8785)
    /captured   the hub's own time of capture, milliseconds since 1970
    /submitter  {by, signed}: a partner whose key signed the event, or the token that brought it in
    /signature  {alg, key, sig}: the partner's detached signature over the event's canonical bytes
    /context    the @context of the document the event came in, where the event has none
    /lot/<n>    {id, key, previous}: a lot the event touches, the SHA-256 of its key, and the leaf hash of the entry
                before it (null: the first)

Names are free, so later kinds of fields (`/cbv/cbv2.0-2026`) need no other format.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tweeling.domain.canonical import jcs
from tweeling.domain.entry import SALT_SIZE
from tweeling.domain.log import Disclosure
from tweeling.errors import InvariantError

OWN = "/"
JCS = "/jcs"
CAPTURED = "/captured"
SUBMITTER = "/submitter"
SIGNATURE = "/signature"
CONTEXT = "/context"
LOT = "/lot/"

# Hashes and signatures over the whole event: with one of them a reader could try every value of a member kept back.
_REVEALING = (JCS, SIGNATURE, "/cbv")
# An eventID that is a hash of the event is another: an ni: URI, or as many digits as a hash has, in hex or base64.
_HASHED = re.compile(r"ni:|.*(?:[0-9a-f]{40}|[A-Za-z0-9_-]{43}|[A-Za-z0-9+/]{43}=)", re.IGNORECASE | re.DOTALL)


class PartnerSignature(NamedTuple):
    """A detached signature over an event's canonical bytes."""

    alg: str
    key: bytes
    signature: bytes


class Provenance(NamedTuple):
    """How an event came in. by: a partner where there is a signature, else a token."""

    captured_ms: int
    by: str
    signature: PartnerSignature | None = None


def disclose(
    members: Mapping[str, str],
    digest: bytes,
    provenance: Provenance,
    lots: Sequence[tuple[str, bytes, bytes | None]],
    random: Callable[[int], bytes],
    *,
    context: object = None,
) -> tuple[Disclosure, ...]:
    """Salt every field of an event.

    members: JCS text by name. digest: SHA-256 of the whole. lots: (id, key, previous leaf).
    """
    if any(name.startswith(OWN) for name in members):
        raise InvariantError("a member's name cannot begin with a slash")
    fields = dict(members)
    fields[JCS] = f'{{"members":{len(members)},"sha256":"{digest.hex()}"}}'
    fields[CAPTURED] = str(provenance.captured_ms)
    fields[SUBMITTER] = _text({"by": provenance.by, "signed": provenance.signature is not None})
    if given := provenance.signature:
        fields[SIGNATURE] = _text({"alg": given.alg, "key": b64(given.key), "sig": b64(given.signature)})
    if context is not None:
        fields[CONTEXT] = _text(context)
    for number, (lot, key, previous) in enumerate(lots, start=1):
        shown = {"id": lot, "key": b64(key_hash(key)), "previous": previous and b64(previous)}
        fields[f"{LOT}{number}"] = _text(shown)
    salts = random(SALT_SIZE * len(fields))
    starts = range(0, len(salts), SALT_SIZE)
    return tuple(
        [
            Disclosure(salts[at : at + SALT_SIZE], name, value)
            for at, (name, value) in zip(starts, fields.items(), strict=True)
        ]
    )


def redacted(
    disclosures: Sequence[Disclosure], redact: Collection[str], touched: Callable[[Mapping[str, Any]], Iterable[str]]
) -> tuple[Disclosure, ...]:
    """Keep back the fields named, and every other that would tell their values to one who guesses.

    touched: the lots that an event (or what is left of one) names.
    """
    names = {item.name for item in disclosures}
    if unknown := sorted(set(redact) - names):
        raise InvariantError(f"no such field; there are {', '.join(sorted(names))}", field=unknown[0])
    hidden = set(redact)
    if any(not name.startswith(OWN) for name in redact):
        hidden |= {item.name for item in disclosures if _reveals(item)}
        shown = {item.name: json.loads(item.value) for item in disclosures if item.name not in hidden}
        visible = set(touched(shown))
        hidden |= {
            item.name
            for item in disclosures
            if item.name.startswith(LOT) and json.loads(item.value)["id"] not in visible
        }
    return tuple(item for item in disclosures if item.name not in hidden)


def members(disclosures: Iterable[Disclosure]) -> Iterator[Disclosure]:
    """Those that are members of the event."""
    return (item for item in disclosures if not item.name.startswith(OWN))


def key_hash(key: bytes) -> bytes:
    """Name a key without giving it: SHA-256. Without it two lots that are new in one entry could swap their keys."""
    return hashlib.sha256(key).digest()


def b64(raw: bytes) -> str:
    """Write bytes as base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """Read base64url without padding, or raise ValueError for any but the one form of its bytes."""
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if b64(raw) != text:
        raise ValueError("not the one base64url form of its bytes")
    return raw


def _reveals(item: Disclosure) -> bool:
    if item.name == "eventID":
        return _HASHED.match(str(json.loads(item.value))) is not None
    return item.name.startswith(_REVEALING)


def _text(value: object) -> str:
    return jcs(value).decode()
