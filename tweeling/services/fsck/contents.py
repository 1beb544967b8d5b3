"""What is kept behind an entry against what the entry commits to: nothing in it can be another and agree."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tweeling.domain import epcis
from tweeling.domain.canonical import parse_cbor
from tweeling.domain.entry import EPCIS, Entry
from tweeling.errors import VerificationError
from tweeling.ports.audit import EntryRow, EventRow
from tweeling.services.fsck.report import Check


class Touch(NamedTuple):
    """A lot that an entry touches, as its disclosure says. key: the lot's key, hashed. previous: a leaf, None first."""

    lot: str
    key: bytes
    previous: bytes | None


class Contents(NamedTuple):
    """What is left to be compared of an entry. lots: None where they are erased, or nobody here can read them."""

    said: Entry
    lots: tuple[Touch, ...] | None


def check_contents(check: Check, row: EntryRow, event: EventRow | None, said: Entry) -> Contents:
    """Open an entry to what is kept behind it, and name what is another."""
    where = f"entry {row.place}"
    unread = Contents(said, None)
    if event is None:
        check.add("event", where, expected="a row, erased or not", found=None)
        return unread
    if event.event is None or event.disclosures is None:
        if event.event is not event.disclosures:
            lacks = "disclosures" if event.event is not None else "event"
            check.add("erasure", where, expected="event and disclosures erased together", found=f"only no {lacks}")
        return unread
    check.compare("event", where, expected=event.jcs, found=hashlib.sha256(event.event).digest())
    try:
        fields = _opened(check, where, event.disclosures, said)
        if said.type != EPCIS:
            return unread
        return Contents(said, _compared(check, row, event, event.event, fields))
    except VerificationError as exc:
        check.add("disclosures", where, expected="salted fields", found=exc)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        check.add("disclosures", where, expected="those of its event", found=f"{type(exc).__name__}: {exc}")
    return unread


def link(key: bytes, previous: bytes | None) -> bytes:
    """Compute the link that a lot's key makes to the entry before."""
    return hmac.digest(key, previous or b"", "sha256")


def _opened(check: Check, where: str, disclosures: bytes, said: Entry) -> dict[str, str]:
    """The fields that are kept, each of which the entry has to commit to."""
    fields: dict[str, str] = {}
    for salt, name, value in parse_cbor(disclosures, field="disclosures"):
        if not isinstance(salt, bytes) or _digest(salt, name, value) not in said.commitments:
            check.add("disclosure", where, expected="committed to by the entry", found=f"{name} is not")
        if name in fields:
            check.add("disclosure", where, expected=f"{name} once", found="twice")
        fields[name] = value
    return fields


def _digest(salt: bytes, name: str, value: str) -> bytes:
    text = f'["{_b64(salt)}",{json.dumps(name, ensure_ascii=False)},{value}]'
    return hashlib.sha256(_b64(text.encode()).encode()).digest()


def _compared(
    check: Check, row: EntryRow, event: EventRow, body: bytes, fields: Mapping[str, str]
) -> tuple[Touch, ...]:
    """Compare event and columns with the fields that the entry commits to; return the lots it touches."""
    where = f"entry {row.place}"
    members = {name: value for name, value in fields.items() if not name.startswith("/")}
    check.compare("event's fields", where, expected=body, found=_composed(members))
    jcs = json.loads(fields["/jcs"])
    check.compare("/jcs", where, expected=(len(members), event.jcs.hex()), found=(jcs["members"], jcs["sha256"]))
    check.compare("captured_ms", where, expected=fields["/captured"], found=str(row.captured_ms))
    submitter = json.loads(fields["/submitter"])
    check.compare("submitter", where, expected=submitter["by"], found=event.submitter)
    check.compare("/signature", where, expected=submitter["signed"], found="/signature" in fields)
    said = json.loads(body)
    check.compare("event_id", where, expected=said.get("eventID") or event.jcs.hex(), found=row.event_id)
    touched = list(dict.fromkeys(epcis.touched(said)))
    lots = tuple(_touch(json.loads(value)) for name, value in fields.items() if name.startswith("/lot/"))
    check.compare("/lot/…", where, expected=touched, found=[each.lot for each in lots])
    return lots


def _composed(members: Mapping[str, str]) -> bytes:
    """The event of its members, each of which is canonical already (RFC 8785 §3.2.3 sorts by UTF-16)."""
    names = sorted(members, key=lambda name: name.encode("utf-16-be"))
    return f"{{{','.join(f'{json.dumps(name, ensure_ascii=False)}:{members[name]}' for name in names)}}}".encode()


def _touch(value: Mapping[str, Any]) -> Touch:
    previous = value["previous"]
    return Touch(str(value["id"]), _unb64(value["key"]), None if previous is None else _unb64(previous))


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
