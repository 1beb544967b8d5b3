"""A receipt: one file that proves a custody event to who has nothing but the log's name and key.

    {1: 1, 2: entry, 3: [[salt, name, value]…], 4: COSE receipt, 5: checkpoint, 6: anchor / null, 7: signature
     ? 8: [[n, key]…]}                                                                     deterministic CBOR

The log's key signs all but the disclosures (3) and the lot keys (8). Each disclosure is bound by its digest in the
entry, each key by the link it makes, so a holder may leave any of them out, and change none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from tweeling.domain.canonical import cbor, parse_cbor
from tweeling.domain.entry import LOT_KEY_SIZE, MAX_COMMITMENTS, SALT_SIZE
from tweeling.domain.log import Disclosure
from tweeling.domain.note import Signer
from tweeling.errors import VerificationError

VERSION = 1
MAX_BYTES = 4 << 20
# A note never holds a NUL and a COSE signature never begins with one, so no signature can pass for another kind's.
_DOMAIN = b"\x00tweeling receipt v1\x00"


class AnchorPlace(NamedTuple):
    """Where the checkpoint stands on a chain. contract: 20 bytes; transaction: 32."""

    chain_id: int
    contract: bytes
    block: int
    transaction: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt, read: its shape is right, and nothing of it has been verified."""

    entry: bytes
    disclosures: tuple[Disclosure, ...]
    cose: bytes
    checkpoint: str
    anchor: AnchorPlace | None
    signature: bytes
    lot_keys: tuple[tuple[int, bytes], ...] = ()

    def encode(self) -> bytes:
        """Encode in the one form; disclosures by name."""
        body = _signed_part(self.entry, self.cose, self.checkpoint, self.anchor)
        body[3] = [list(item) for item in sorted(self.disclosures, key=lambda item: item.name)]
        body[7] = self.signature
        if self.lot_keys:
            body[8] = [list(item) for item in sorted(self.lot_keys)]
        return cbor(body)

    def signed_bytes(self) -> bytes:
        """The bytes under the log's signature."""
        return _DOMAIN + cbor(_signed_part(self.entry, self.cose, self.checkpoint, self.anchor))


def issue(
    signer: Signer,
    *,
    entry: bytes,
    disclosures: Sequence[Disclosure],
    cose: bytes,
    checkpoint: str,
    anchor: AnchorPlace | None,
    lot_keys: Sequence[tuple[int, bytes]] = (),
) -> Receipt:
    """Sign a receipt."""
    unsigned = Receipt(entry, tuple(disclosures), cose, checkpoint, anchor, b"", tuple(lot_keys))
    signature = signer.sign(unsigned.signed_bytes())
    return Receipt(entry, unsigned.disclosures, cose, checkpoint, anchor, signature, unsigned.lot_keys)


def read(data: bytes) -> Receipt:
    """Read a receipt in its one encoding, or raise VerificationError naming the field."""
    if len(data) > MAX_BYTES:
        raise VerificationError(f"{len(data)} bytes, at most {MAX_BYTES}", field="receipt")
    body = parse_cbor(data, field="receipt")
    if not isinstance(body, dict) or set(body) - {8} != {1, 2, 3, 4, 5, 6, 7}:
        raise VerificationError("not a map of the fields 1 to 7 or 8", field="receipt")
    if body[1] != VERSION:
        raise VerificationError("not version 1", field="version")
    return Receipt(
        entry=_bytes(body[2], "entry"),
        disclosures=_disclosures(body[3]),
        cose=_bytes(body[4], "cose"),
        checkpoint=_str(body[5], "checkpoint"),
        anchor=_anchor(body[6]),
        signature=_bytes(body[7], "signature", 64),
        lot_keys=_lot_keys(body[8]) if 8 in body else (),
    )


def _signed_part(entry: bytes, cose: bytes, checkpoint: str, anchor: AnchorPlace | None) -> dict[int, Any]:
    place = None if anchor is None else dict(enumerate(anchor, start=1))
    return {1: VERSION, 2: entry, 4: cose, 5: checkpoint, 6: place}


def _disclosures(value: object) -> tuple[Disclosure, ...]:
    found = []
    for index, item in enumerate(_committed(value, "disclosures")):
        field = f"disclosures[{index}]"
        salt, name, text = _list(item, field, 3)
        name = _str(name, f"{field}.name")
        found.append(Disclosure(_bytes(salt, f"{name}.salt", SALT_SIZE), name, _str(text, f"{name}.value")))
    for left, right in pairwise(found):
        if left.name >= right.name:
            raise VerificationError("out of order, or twice", field=right.name or "disclosures")
    return tuple(found)


def _anchor(value: object) -> AnchorPlace | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {1, 2, 3, 4}:
        raise VerificationError("not chain, contract, block and transaction", field="anchor")
    return AnchorPlace(
        chain_id=_uint(value[1], "anchor.chain_id"),
        contract=_bytes(value[2], "anchor.contract", 20),
        block=_uint(value[3], "anchor.block"),
        transaction=_bytes(value[4], "anchor.transaction", 32),
    )


def _lot_keys(value: object) -> tuple[tuple[int, bytes], ...]:
    found = []
    for item in _committed(value, "lot_keys"):
        number, key = _list(item, "lot_keys", 2)
        found.append((_uint(number, "lot_keys"), _bytes(key, "lot_keys", LOT_KEY_SIZE)))
    numbers = [number for number, _ in found]
    if not numbers or numbers != sorted(set(numbers)):
        raise VerificationError("out of order, twice, or none", field="lot_keys")
    return tuple(found)


def _committed(value: object, field: str) -> list[Any]:
    found = _list(value, field)
    if len(found) > MAX_COMMITMENTS:
        raise VerificationError(f"{len(found)}, and an entry can commit to {MAX_COMMITMENTS}", field=field)
    return found


def _list(value: object, field: str, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or length not in (None, len(value)):
        raise VerificationError("not a list of the right length", field=field)
    return value


def _bytes(value: object, field: str, length: int | None = None) -> bytes:
    if not isinstance(value, bytes) or length not in (None, len(value)):
        raise VerificationError("not a byte string" + (f" of {length}" if length else ""), field=field)
    return value


def _str(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise VerificationError("not text", field=field)
    return value


def _uint(value: object, field: str) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**64:
        raise VerificationError("not an unsigned number", field=field)
    return value
