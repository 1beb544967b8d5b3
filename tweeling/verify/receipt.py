"""What makes a receipt true, in numbered steps. Each check returns nothing or raises VerificationError with its field.

    (1) the file is a receipt in its one encoding, and holds a well-formed entry, COSE receipt and checkpoint
    (2) every disclosure shown stands in the entry
    (3) the entry's leaf leads, by the inclusion proof, to the checkpoint's root, at its size
    (4) COSE receipt and checkpoint name the same log and key
    (5) that log is trusted (if not: UndecidedError, for all of this a forger can do too)
    (6) its key has signed the COSE receipt, the checkpoint and the receipt
    (7) the anchor, where there is one, is on the chain and contract pinned for the log
    (8) what is shown agrees with itself: the event with its hash, the partner's signature, the lots with their keys

What the anchor says of block and transaction is the log's word until `check_anchor` has asked the chain.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tweeling.domain import cose, disclosure, entry, merkle, note, signature
from tweeling.domain import receipt as format_
from tweeling.domain.canonical import compose, jcs, parse_json
from tweeling.domain.log import Anchor, Disclosure
from tweeling.domain.receipt import AnchorPlace
from tweeling.errors import InvariantError, UndecidedError, VerificationError
from tweeling.verify.trust import TrustedLog, find

AnchorReader = Callable[[TrustedLog, int], Anchor | None]
"""Reads from a chain the anchor of a log at exactly this size."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a valid receipt shows. fields: what is disclosed, by name, with parsed values.

    event: all of it, where all of it is disclosed. signed_by: the partner whose signature over it was verified.
    anchor: where the log says it is anchored; checked: the chain has confirmed it.
    """

    log: TrustedLog
    index: int
    size: int
    root: bytes
    leaf: bytes
    type: str
    fields: Mapping[str, Any]
    event: Mapping[str, Any] | None
    signed_by: str | None
    anchor: AnchorPlace | None
    checked: bool = False

    @property
    def words(self) -> str:
        """The verdict in a line."""
        text = f"valid as of size {self.size} of {self.log.origin}, later changes not excluded"
        if self.anchor is None:
            return f"{text}; not anchored yet"
        place = f"in block {self.anchor.block} of chain {self.anchor.chain_id}, contract 0x{self.anchor.contract.hex()}"
        return f"{text}; anchored {place}" if self.checked else f"{text}; by the log's word anchored {place}"


def verify(data: bytes, trusted: Sequence[TrustedLog]) -> Verdict:
    """Verify a receipt. Raises VerificationError (it is false) or UndecidedError (its log is not trusted)."""
    # (1)
    receipt = format_.read(data)
    opened = entry.read(receipt.entry)
    inclusion = cose.read(receipt.cose)
    signed_note = note.parse(receipt.checkpoint)
    head = note.tree_head(signed_note)
    # (2)
    for item in receipt.disclosures:
        _check_disclosure(opened, item)
    # (3)
    leaf = merkle.leaf_hash(receipt.entry)
    _check_inclusion(leaf, inclusion, head)
    # (4)
    _check_same_log(inclusion, signed_note, head)
    # (5)
    log = find(trusted, head.origin, inclusion.key_id)
    # (6)
    cose.verify(inclusion, head.root, log.public)
    note.verify(signed_note, name=log.origin, public=log.public)
    signature.verify(signature.ED25519, log.public, receipt.signature, receipt.signed_bytes(), field="signature")
    # (7)
    if receipt.anchor is not None:
        _check_pinned(receipt.anchor, log)
    # (8)
    fields = {item.name: _value(item) for item in receipt.disclosures}
    members = {item.name: item.value for item in disclosure.members(receipt.disclosures)}
    canonical = _whole_event(members, fields)
    signed_by = _check_partner(canonical, fields)
    for number, key in receipt.lot_keys:
        _check_lot(opened, fields, number, key)
    return Verdict(
        log=log,
        index=inclusion.index,
        size=head.size,
        root=head.root,
        leaf=leaf,
        type=opened.type,
        fields=fields,
        event=None if canonical is None else {name: fields[name] for name in members},
        signed_by=signed_by,
        anchor=receipt.anchor,
    )


def check_anchor(verdict: Verdict, read: AnchorReader) -> Verdict:
    """Ask the chain for the anchor, and give the verdict with what it answers.

    `read` looks under the contract and log id pinned in `verdict.log`, never under what the receipt says. Raises
    VerificationError where the chain says otherwise, UndecidedError where it has nothing to say. A block other than the
    receipt's is no lie: a chain that was reorganised records the same checkpoint anew, and its own word is what counts.
    """
    pinned = verdict.log.anchor
    if pinned is None:
        raise UndecidedError("the trust file names no contract to ask")
    found = read(verdict.log, verdict.size)
    if found is None:
        if verdict.anchor is None:
            raise UndecidedError(
                f"the checkpoint of size {verdict.size} is not anchored itself; ask for a newer receipt"
            )
        raise VerificationError(f"the chain holds no anchor of size {verdict.size}", field="anchor")
    if found.size != verdict.size or found.root != verdict.root:
        raise VerificationError("the chain holds another root for this size", field="anchor.root")
    if "0x" + found.log_id.hex() != pinned.log_id:
        raise VerificationError("the chain answers for another log", field="anchor.log_id")
    place = AnchorPlace(
        found.chain_id, bytes.fromhex(found.contract.removeprefix("0x")), found.block, found.transaction
    )
    _check_pinned(place, verdict.log)
    return replace(verdict, anchor=place, checked=True)


def _check_disclosure(opened: entry.Entry, item: Disclosure) -> None:
    if not opened.commits_to(item):
        raise VerificationError("the entry does not commit to this", field=item.name or "disclosures")


def _check_inclusion(leaf: bytes, inclusion: cose.Inclusion, head: note.TreeHead) -> None:
    if inclusion.size != head.size:
        raise VerificationError(f"{inclusion.size}, and the checkpoint says {head.size}", field="cose.size")
    try:
        merkle.verify_inclusion(
            index=inclusion.index, size=inclusion.size, leaf=leaf, proof=inclusion.path, root=head.root
        )
    except VerificationError as exc:
        field = "inclusion" if exc.field == "root" else f"cose.{exc.field}"
        raise VerificationError("entry, inclusion proof and the checkpoint's root do not agree", field=field) from exc


def _check_same_log(inclusion: cose.Inclusion, signed_note: note.Note, head: note.TreeHead) -> None:
    if inclusion.origin != head.origin:
        raise VerificationError(f"{inclusion.origin!r}, and the checkpoint's is {head.origin!r}", field="cose.origin")
    if not any(line[:2] == (head.origin, inclusion.key_id) for line in signed_note.signatures):
        raise VerificationError("not signed by the key of the COSE receipt", field="checkpoint.signature")


def _check_pinned(place: AnchorPlace, log: TrustedLog) -> None:
    if log.anchor is None:
        return
    if place.chain_id != log.anchor.chain_id:
        raise VerificationError(f"{place.chain_id}, pinned is {log.anchor.chain_id}", field="anchor.chain_id")
    if place.contract.hex() != log.anchor.contract[2:].lower():
        raise VerificationError(f"0x{place.contract.hex()}, pinned is {log.anchor.contract}", field="anchor.contract")


def _value(item: Disclosure) -> Any:
    try:
        value = parse_json(item.value)
        canonical = jcs(value).decode()
    except InvariantError as exc:
        raise VerificationError(str(exc), field=item.name) from exc
    if canonical != item.value:
        raise VerificationError("not canonical JSON (RFC 8785)", field=item.name)
    return value


def _whole_event(members: Mapping[str, str], fields: Mapping[str, Any]) -> bytes | None:
    """The event's canonical bytes, if every member is shown; then they have to hash to /jcs."""
    claim = fields.get(disclosure.JCS)
    if claim is None:
        return None
    match claim:
        case {"members": int(count), "sha256": str(expected)} if len(claim) == 2:
            pass
        case _:
            raise VerificationError("not a number of members and a hash", field=disclosure.JCS)
    if len(members) < count:
        return None
    canonical = compose(members)
    if hashlib.sha256(canonical).hexdigest() != expected:
        raise VerificationError("the event shown does not hash to it", field=disclosure.JCS)
    return canonical


def _check_partner(canonical: bytes | None, fields: Mapping[str, Any]) -> str | None:
    given, submitter = fields.get(disclosure.SIGNATURE), fields.get(disclosure.SUBMITTER)
    if canonical is None or given is None or submitter is None:
        return None
    match given, submitter:
        case {"alg": str(alg), "key": str(key), "sig": str(sig)}, {"by": str(by), "signed": True}:
            field = disclosure.SIGNATURE
            signature.verify(alg, _unb64(key, field), _unb64(sig, field), canonical, field=field)
            return by
        case _:
            raise VerificationError("not a signature of who submitted the event", field=disclosure.SIGNATURE)


def _check_lot(opened: entry.Entry, fields: Mapping[str, Any], number: int, key: bytes) -> None:
    name = f"{disclosure.LOT}{number}"
    match fields.get(name):
        case {"id": str(), "previous": None}:
            previous = None
        case {"id": str(), "previous": str(text)}:
            previous = _unb64(text, name)
        case _:
            raise VerificationError("a key for a lot that is not shown", field="lot_keys")
    if not opened.continues(key, previous):
        raise VerificationError(f"not the key of {name}: the entry holds no such link", field="lot_keys")


def _unb64(text: str, field: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as exc:
        raise VerificationError("not base64url", field=field) from exc
