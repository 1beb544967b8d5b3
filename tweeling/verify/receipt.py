"""What makes a receipt true, in numbered steps. Each check returns nothing or raises VerificationError with its field.

    (1) the file is a receipt in its one encoding, and holds a well-formed entry, COSE receipt and checkpoint
    (2) every disclosure shown stands in the entry
    (3) the entry's leaf leads, by the inclusion proof, to the checkpoint's root, at its size
    (4) COSE receipt and checkpoint name the same log and key
    (5) that log is trusted (if not: UndecidedError, for all of this a forger can do too)
    (6) its key has signed the COSE receipt, the checkpoint and the receipt
    (7) the anchor, where there is one, is on a chain and contract pinned for the log, or on one in which the log went
        on after that was retired, where a chain can be asked (if not: UndecidedError, for the log may have moved)
    (8) the entry's type is one this verifier can judge (if not: UndecidedError, a newer one may know it)
    (9) what is shown agrees with itself: the event with its hash, the partner's signature, the lots with their keys

What the anchor says of block and transaction is the log's word until `check_anchor` has asked the chain.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tweeling.domain import cose, disclosure, entry, merkle, note, signature
from tweeling.domain import receipt as format_
from tweeling.domain.canonical import compose, jcs, parse_json
from tweeling.domain.log import Anchor, Disclosure
from tweeling.domain.receipt import AnchorPlace
from tweeling.errors import ConfigError, InvariantError, TweelingError, UndecidedError, VerificationError
from tweeling.verify.trust import TrustedContract, TrustedLog, find

AnchorReader = Callable[[TrustedLog, int, int], Anchor | None]
"""Reads from a chain the anchor of a log at exactly this size, said to be in this block (0: in any).

Raises UndecidedError where it cannot know yet, for its node has not seen that block.
"""

Successors = Callable[[TrustedLog], Iterable[TrustedContract]]
"""Reads from a chain in which contracts a log went on after the pinned one, each of which continues the one before."""

_NAME = re.compile(r"[\w.:/@-]+")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a valid receipt shows. fields: what is disclosed, by name, with parsed values.

    event: all of it, where all of it is disclosed. signed_key: the key whose signature over it was verified.
    signed_by: the partner whom the log names as its holder.
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
    signed_key: bytes | None
    anchor: AnchorPlace | None
    checked: bool = False

    @property
    def signed_key_id(self) -> str | None:
        """The first 16 hex digits of the SHA-256 of the signer's key, to compare with what the partner says it is."""
        return None if self.signed_key is None else hashlib.sha256(self.signed_key).hexdigest()[:16]

    @property
    def signed(self) -> str:
        """Who signed the event, and on whose word, in a line. Names in it are the log's, and untrusted text."""
        submitter = self.fields.get(disclosure.SUBMITTER)
        by = _name(submitter["by"]) if submitter else ""
        if self.signed_key_id is not None:
            if self.signed_by is None:
                return f"signed with key {self.signed_key_id}; whose it is, is not shown"
            return f"signed by {by} with key {self.signed_key_id} (the log's word for the name)"
        if submitter is None:
            return "who brought it in is not shown"
        if not submitter["signed"]:
            return f"not signed: brought in by {by}"
        if disclosure.SIGNATURE in self.fields:
            return f"the log says {by} signed it; the event is not shown whole, so nobody can check"
        return f"the log says {by} signed it; the signature is not shown"

    @property
    def words(self) -> str:
        """The verdict in a line."""
        text = f"valid as of size {self.size} of {self.log.origin}, later changes not excluded"
        if self.anchor is None:
            return f"{text}; not anchored yet"
        place = f"in block {self.anchor.block} of chain {self.anchor.chain_id}, contract 0x{self.anchor.contract.hex()}"
        return f"{text}; anchored {place}" if self.checked else f"{text}; by the log's word anchored {place}"


def verify(data: bytes, trusted: Sequence[TrustedLog], successors: Successors | None = None) -> Verdict:
    """Verify a receipt.

    successors: without it, no other contract than a pinned one is taken.
    Raises VerificationError (it is false) or UndecidedError (its log or contract is not trusted, or its type is not
    known here).
    """
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
    logs = find(trusted, head.origin, inclusion.key_id)
    log = logs[0]
    # (6)
    cose.verify(inclusion, head.root, log.public)
    note.verify(signed_note, name=log.origin, public=log.public)
    signature.verify(signature.ED25519, log.public, receipt.signature, receipt.signed_bytes(), field="signature")
    # (7)
    if receipt.anchor is not None:
        log = _placed(receipt.anchor, logs, successors)
    # (8)
    if opened.type != entry.EPCIS:
        raise UndecidedError(
            f"{log.origin} commits to it, but what an entry of type {opened.type} says is for a newer verifier to judge"
        )
    # (9)
    fields = {item.name: _value(item) for item in receipt.disclosures}
    members = {item.name: item.value for item in disclosure.members(receipt.disclosures)}
    canonical = _whole_event(members, fields)
    submitter = _check_submitter(fields)
    signed_key = _check_partner(canonical, fields, submitter)
    _check_lots(opened, fields, dict(receipt.lot_keys))
    return Verdict(
        log=log,
        index=inclusion.index,
        size=head.size,
        root=head.root,
        leaf=leaf,
        type=opened.type,
        fields=fields,
        event=None if canonical is None else {name: fields[name] for name in members},
        signed_by=submitter if signed_key is not None else None,
        signed_key=signed_key,
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
    found = read(verdict.log, verdict.size, verdict.anchor.block if verdict.anchor else 0)
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
    _check_pinned(place, pinned)
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


def _placed(place: AnchorPlace, logs: Sequence[TrustedLog], successors: Successors | None) -> TrustedLog:
    """The log at the contract that a receipt names: one pinned for it, or one in which it went on."""
    for log in logs:
        if log.anchor is None or _is_at(place, log.anchor):
            return log
    problems: list[TweelingError] = []
    for log in logs if successors is not None else ():
        try:
            for contract in successors(log):  # type: ignore[misc]  # not None, see above
                if _is_at(place, contract):
                    return log.model_copy(update={"anchor": contract})
        except (UndecidedError, ConfigError) as exc:  # another pinned one may lead there
            problems.append(exc)
    if problems:
        raise problems[0]
    pinned = ", ".join(f"{each.contract} on chain {each.chain_id}" for log in logs if (each := log.anchor) is not None)
    hint = "; if the log was retired in a pinned one, --rpc follows it" if successors is None else ""
    raise UndecidedError(
        f"consistent, but anchored in contract 0x{place.contract.hex()} on chain {place.chain_id}; pinned for "
        f"{logs[0].origin} is {pinned}. Add its trust file for that contract by its fingerprint{hint}"
    )


def _is_at(place: AnchorPlace, pinned: TrustedContract) -> bool:
    return (place.chain_id, place.contract) == pinned.place


def _check_pinned(place: AnchorPlace, pinned: TrustedContract) -> None:
    if place.chain_id != pinned.chain_id:
        raise VerificationError(f"{place.chain_id}, pinned is {pinned.chain_id}", field="anchor.chain_id")
    if not _is_at(place, pinned):
        raise VerificationError(f"0x{place.contract.hex()}, pinned is {pinned.contract}", field="anchor.contract")


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


def _name(text: str) -> str:
    # Quoted, unless it can be nothing but a name: words of its own would read as ours.
    return text if _NAME.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _check_submitter(fields: Mapping[str, Any]) -> str | None:
    """Give who signed the event by the log's word."""
    match fields.get(disclosure.SUBMITTER, {}):
        case {"by": str(by), "signed": bool(signed), **more} if not more:
            return by if signed else None
        case {} if disclosure.SUBMITTER not in fields:
            return None
        case _:
            raise VerificationError("not a name and whether it signed", field=disclosure.SUBMITTER)


def _check_partner(canonical: bytes | None, fields: Mapping[str, Any], submitter: str | None) -> bytes | None:
    """Give the key whose signature over the whole event is shown."""
    field = disclosure.SIGNATURE
    given = fields.get(field)
    if given is None:
        return None
    if submitter is None and disclosure.SUBMITTER in fields:
        raise VerificationError("there is one, and the log says that nobody signed", field=field)
    match given:
        case {"alg": str(alg), "key": str(key), "sig": str(sig), **more} if not more:
            public, signed = _unb64(key, field), _unb64(sig, field)
        case _:
            raise VerificationError("not algorithm, key and signature", field=field)
    if canonical is None:
        return None
    signature.verify(alg, public, signed, canonical, field=field)
    return public


def _check_lots(opened: entry.Entry, fields: Mapping[str, Any], keys: Mapping[int, bytes]) -> None:
    shown = {name: _lot(value, name) for name, value in fields.items() if name.startswith(disclosure.LOT)}
    for number, key in keys.items():
        name = f"{disclosure.LOT}{number}"
        if name not in shown:
            raise VerificationError("a key for a lot that is not shown", field="lot_keys")
        expected, previous = shown[name]
        if disclosure.key_hash(key) != expected:
            raise VerificationError(f"not the key of {name}: it has another hash", field="lot_keys")
        if not opened.continues(key, previous):
            raise VerificationError(f"not the key of {name}: the entry holds no such link", field="lot_keys")


def _lot(value: object, name: str) -> tuple[bytes, bytes | None]:
    """Give the hash of a lot's key and its previous leaf."""
    match value:
        case {"id": str(), "key": str(key), "previous": str() | None as previous, **more} if not more:
            return _unb64(key, name, 32), None if previous is None else _unb64(previous, name, 32)
        case _:
            raise VerificationError("not a lot, its key's hash and the entry before it", field=name)


def _unb64(text: str, field: str, length: int | None = None) -> bytes:
    try:
        raw = disclosure.unb64(text)
    except ValueError as exc:
        raise VerificationError("not base64url", field=field) from exc
    if length not in (None, len(raw)):
        raise VerificationError(f"{len(raw)} bytes, and {length} are needed", field=field)
    return raw
