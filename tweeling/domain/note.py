"""Signed notes and checkpoints: C2SP signed-note and tlog-checkpoint, with Ed25519 (signature type 0x01)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tweeling.domain import signature
from tweeling.errors import VerificationError

MAX_BYTES = 128 * 1024  # sixteen signatures of the largest kind there is, of nearly 5 kB each, have to be taken
_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+]+")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")


@dataclass(frozen=True, slots=True)
class Signer:
    """A log's key: its name (the origin), its public half, and the act of signing."""

    name: str
    public: bytes
    sign: Callable[[bytes], bytes]

    @property
    def key_id(self) -> bytes:
        """The four bytes that name this key in a note."""
        return key_id(self.name, self.public)


class Signature(NamedTuple):
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes


class Note(NamedTuple):
    """A note in its parts; the text is to be ignored until a signature of a trusted key has been verified."""

    text: str
    signatures: tuple[Signature, ...]


class TreeHead(NamedTuple):
    """What a checkpoint's text says."""

    origin: str
    size: int
    root: bytes


def key_id(name: str, public: bytes) -> bytes:
    """Name an Ed25519 key: SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key), first four bytes."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]


def verifier_key(name: str, public: bytes) -> str:
    """Write a public key as tlog tools read it: `name+keyid+base64(0x01 ‖ key)`."""
    return f"{name}+{key_id(name, public).hex()}+{base64.b64encode(_ED25519 + public).decode()}"


def checkpoint_text(head: TreeHead) -> str:
    """Write a checkpoint's three lines."""
    if not _NAME.fullmatch(head.origin) or not head.origin.isprintable():
        raise ValueError(f"an origin has no spaces and no plus: {head.origin!r}")
    return f"{head.origin}\n{head.size}\n{base64.b64encode(head.root).decode()}\n"


def sign(text: str, signer: Signer) -> str:
    """Sign a text into a note."""
    raw = signer.key_id + signer.sign(text.encode())
    return f"{text}\n— {signer.name} {base64.b64encode(raw).decode()}\n"


def parse(note: str) -> Note:
    """Take a note apart, or raise VerificationError."""
    if len(note) > MAX_BYTES or any(char < " " and char != "\n" for char in note):
        raise VerificationError("too long, or holds control characters", field="checkpoint")
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or not text or lines.pop() != "" or not lines:
        raise VerificationError("no text, blank line and signature lines", field="checkpoint")
    return Note(text + "\n", tuple(_signature(line) for line in lines))


def verify(note: Note, *, name: str, public: bytes) -> None:
    """Verify that this key has signed the note; signatures of other keys are ignored, as C2SP says."""
    wanted = key_id(name, public)
    mine = [line for line in note.signatures if line.name == name and line.key_id == wanted]
    if not mine:
        raise VerificationError(f"no signature by {name}+{wanted.hex()}", field="checkpoint.signature")
    for line in mine:
        signature.verify(signature.ED25519, public, line.signature, note.text.encode(), field="checkpoint.signature")


def tree_head(note: Note) -> TreeHead:
    """Read the three lines of a checkpoint; further ones are nobody's to audit, so ours have none."""
    lines = note.text.split("\n")
    if len(lines) != 4 or not all(lines[:3]):
        raise VerificationError("a checkpoint has three lines: origin, size, root", field="checkpoint")
    origin, size, root = lines[:3]
    if not _NAME.fullmatch(origin) or not origin.isprintable():
        raise VerificationError("an origin has no spaces, no plus and no control characters", field="checkpoint.origin")
    if not _SIZE.fullmatch(size):
        raise VerificationError("not a decimal number", field="checkpoint.size")
    raw = _base64(root, "checkpoint.root")
    if len(raw) != 32:
        raise VerificationError("not 32 bytes", field="checkpoint.root")
    return TreeHead(origin, int(size), raw)


def _signature(line: str) -> Signature:
    match = _LINE.fullmatch(line)
    if not match:
        raise VerificationError("not a signature line", field="checkpoint.signature")
    raw = _base64(match[2], "checkpoint.signature")
    if len(raw) < 5:
        raise VerificationError("too short", field="checkpoint.signature")
    return Signature(match[1], raw[:4], raw[4:])


def _base64(text: str, field: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise VerificationError("not base64", field=field) from exc
    if base64.b64encode(raw).decode() != text:
        raise VerificationError("not the one base64 form of its bytes", field=field)
    return raw
