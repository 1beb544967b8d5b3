"""Values of the custody log: what is sequenced, integrated and anchored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Checkpoint(NamedTuple):
    """A signed head of the log (C2SP tlog-checkpoint). note: the signed note, as published."""

    size: int
    root: bytes
    note: str
    time_ms: int


class Head(NamedTuple):
    """The newest size and root that the contract holds."""

    size: int
    root: bytes


class Anchor(NamedTuple):
    """A checkpoint as the chain recorded it."""

    size: int
    root: bytes
    chain_id: int
    contract: str  # 0x, checksummed
    log_id: bytes  # 32
    block: int
    block_hash: bytes
    transaction: bytes


class Account(NamedTuple):
    """What the account can pay. price: of a unit of gas now; most: the dearest we pay, None for any; both in wei.

    left: how many more anchors its balance pays for at that price, None where they cost nothing.
    """

    price: int
    most: int | None
    left: int | None


class Disclosure(NamedTuple):
    """One salted field (RFC 9901): its digest stands in the entry, the rest is shown to whom it concerns.

    salt: at least 16 random bytes. value: the field as JCS text (RFC 8785).
    """

    salt: bytes
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Sequenced:
    """An entry with its place in the log."""

    index: int
    entry: bytes
    event_id: str
    captured_ms: int


@dataclass(frozen=True, slots=True)
class LotLink:
    """The newest entry that touched a lot, and the secret that blinds its links."""

    lot: str
    key: bytes  # 32
    index: int
    leaf: bytes  # leaf hash of that entry
