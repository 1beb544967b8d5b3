"""A reader of tiled logs, written from C2SP's pages alone (tlog-tiles, tlog-checkpoint, signed-note) and RFC 9162.

It shares no code with what it judges, and computes everything the long way.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from support_rfc9162 import leaf, node, split

Fetch = Callable[[str], bytes]
"""Gives what stands below the log's prefix."""


class Head(NamedTuple):
    """What a checkpoint says."""

    origin: str
    size: int
    root: bytes


def opened(note: bytes, vkey: str) -> Head:
    """Verify a checkpoint with a verifier key, and read it."""
    name, key_id, encoded = vkey.split("+", 2)
    key = base64.b64decode(encoded)
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id
    assert key[0] == 1, "Ed25519"
    text, signatures = note.decode().rsplit("\n\n", 1)
    text += "\n"
    lines = [line.split(" ") for line in signatures.splitlines()]
    ours = [base64.b64decode(value) for dash, who, value in lines if (dash, who) == ("\u2014", name)]
    (ours,) = (value for value in ours if value[:4].hex() == key_id)
    Ed25519PublicKey.from_public_bytes(key[1:]).verify(ours[4:], text.encode())
    origin, size, root = text.splitlines()
    assert origin == name
    assert size == str(int(size))
    return Head(origin, int(size), base64.b64decode(root, validate=True))


def path_of(level: int | str, number: int, width: int) -> str:
    """Where a tile stands."""
    digits = str(number).zfill((len(str(number)) + 2) // 3 * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    place = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{place}" + (f".p/{width}" if width < 256 else "")


def widths(size: int, level: int) -> list[int]:
    """How wide the tiles of a level are."""
    count = size // 256**level
    return [256] * (count // 256) + ([count % 256] if count % 256 else [])


def hashes(fetch: Fetch, size: int, level: int) -> list[bytes]:
    """Every hash of a level."""
    found = []
    for number, width in enumerate(widths(size, level)):
        tile = fetch(path_of(level, number, width))
        assert len(tile) == 32 * width
        found += [tile[at : at + 32] for at in range(0, len(tile), 32)]
    return found


def entries(fetch: Fetch, start: int, size: int) -> list[bytes]:
    """Every entry of the log from one that begins a bundle."""
    assert start % 256 == 0
    found = []
    for number, width in list(enumerate(widths(size, 0)))[start // 256 :]:
        bundle = fetch(path_of("entries", number, width))
        for _ in range(width):
            length = int.from_bytes(bundle[:2])
            found.append(bundle[2 : 2 + length])
            assert len(found[-1]) == length
            bundle = bundle[2 + length :]
        assert bundle == b""
    return found


class Tiles:
    """A tree known by its tiles, each fetched once."""

    def __init__(self, fetch: Fetch, size: int) -> None:
        self._fetch, self._size = fetch, size
        self._tiles: dict[tuple[int, int], bytes] = {}

    def span(self, start: int, stop: int) -> bytes:
        """The hash of a span of leaves that a tree of RFC 9162 has."""
        length = stop - start
        level = 0
        while length >= 256 ** (level + 1):
            level += 1
        if length == 256**level and start % length == 0:
            return self._hash(level, start // length)
        middle = start + split(length)
        return node(self.span(start, middle), self.span(middle, stop))

    def _hash(self, level: int, index: int) -> bytes:
        number, place = divmod(index, 256)
        if (level, number) not in self._tiles:
            width = widths(self._size, level)[number]
            self._tiles[level, number] = self._fetch(path_of(level, number, width))
        return self._tiles[level, number][32 * place : 32 * place + 32]


def tile_above(below: Sequence[bytes]) -> list[bytes]:
    """The hashes of a level, from those of the level below: each of a full tile."""
    return [_joined(below[at : at + 256]) for at in range(0, len(below) - len(below) % 256, 256)]


def root_of(leaves: Sequence[bytes]) -> bytes:
    """MTH of some leaf hashes."""
    return _joined(leaves)


def leaves_of(bodies: Sequence[bytes]) -> list[bytes]:
    """The hashes of entries."""
    return [leaf(body) for body in bodies]


def _joined(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return node(_joined(leaves[:k]), _joined(leaves[k:]))
