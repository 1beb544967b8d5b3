"""The Merkle tree of RFC 9162 §2.1 over SHA-256: hashes, growth, proofs and their strict verification.

A complete subtree has a name, (level, index): it covers the leaves [index << level, (index + 1) << level). Its hash
never changes once the tree has grown past it, so a store keeps exactly these, and every root and proof is made of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tweeling.errors import VerificationError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

NodeKey = tuple[int, int]
"""(level, index) of a complete subtree."""

Reader = Callable[[Sequence[NodeKey]], Sequence[bytes]]
"""Gives the hashes of complete subtrees, in the order asked."""

_sha256 = hashlib.sha256


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry; the 0x00 prefix keeps a leaf from posing as a node."""
    return _sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two subtrees into their parent."""
    return _sha256(b"\x01" + left + right).digest()


def reader(nodes: Mapping[NodeKey, bytes]) -> Reader:
    """Read from a mapping."""
    return lambda keys: [nodes[key] for key in keys]


# ------------------------------------------------------------------ growth


@dataclass(frozen=True, slots=True)
class Frontier:
    """A tree as its right edge remembers it: `hashes` are the complete subtrees of `size`, largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def root(self) -> bytes:
        """The root hash (MTH)."""
        return _join(self.hashes)


def frontier_keys(size: int) -> list[NodeKey]:
    """Name the complete subtrees that make a tree of this size, largest first."""
    return _cover(0, size)


def frontier(size: int, read: Reader) -> Frontier:
    """Read the right edge of a tree."""
    return Frontier(size, tuple(read(frontier_keys(size))))


def grow(edge: Frontier, leaves: Sequence[bytes]) -> tuple[Frontier, dict[NodeKey, bytes]]:
    """Append leaf hashes; return the new right edge and every subtree they complete, the leaves included."""
    size = edge.size + len(leaves)
    nodes: dict[NodeKey, bytes] = {}
    waiting = dict(zip((level for level, _ in frontier_keys(edge.size)), edge.hashes, strict=True))
    level, first, hashes = 0, edge.size, list(leaves)
    while hashes or waiting:
        nodes.update(zip(((level, index) for index in range(first, first + len(hashes))), hashes, strict=True))
        if level in waiting:  # the edge's lone left child at this level finds its sibling, or waits on
            hashes.insert(0, waiting.pop(level))
            first -= 1
        if len(hashes) % 2:
            waiting[level] = hashes[-1]  # kept for the new edge
        pairs = iter(hashes)
        hashes = [_sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=False)]
        first >>= 1
        if not hashes and all(above <= level for above in waiting):
            break
        level += 1
    return Frontier(size, tuple(waiting[above] for above, _ in frontier_keys(size))), nodes


class Levels:
    """All of a tree in memory, level by level: what a dictionary finds in two places of memory, it finds in one."""

    def __init__(self) -> None:
        self._levels: list[list[bytes]] = []

    def add(self, nodes: Mapping[NodeKey, bytes]) -> None:
        """Take what `grow` completed, after what it completed before."""
        for (level, index), value in nodes.items():
            if level == len(self._levels):
                self._levels.append([])
            if index != len(self._levels[level]):
                raise ValueError(f"subtree {index} of level {level} does not follow {len(self._levels[level])} others")
            self._levels[level].append(value)

    def read(self, keys: Sequence[NodeKey]) -> list[bytes]:
        """Give hashes of complete subtrees, in the order asked; KeyError for one that there is not."""
        levels = self._levels
        try:
            return [levels[level][index] for level, index in keys]
        except IndexError:
            lost = (key for key in keys if key[0] >= len(levels) or key[1] >= len(levels[key[0]]))
            raise KeyError(next(lost)) from None


def root(size: int, read: Reader) -> bytes:
    """Compute the root of any size up to what the reader holds."""
    return frontier(size, read).root()


# ------------------------------------------------------------------ proofs


def inclusion_proof(index: int, size: int, read: Reader) -> list[bytes]:
    """Prove that leaf `index` is in the tree of `size` (RFC 9162 §2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _path(0, index, size, read)


def consistency_proof(old: int, new: int, read: Reader) -> list[bytes]:
    """Prove that the tree of `new` leaves extends the one of `old` (RFC 9162 §2.1.4.1); empty from size 0."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} cannot extend one of {old}")
    if old in (0, new):
        return []
    level = (old & -old).bit_length() - 1
    index = (old - 1) >> level
    if index == 0:  # the old tree is one complete subtree, and its root is known to who verifies
        return _path(level, index, new, read)
    return [*read([(level, index)]), *_path(level, index, new, read)]


def verify_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Verify RFC 9162 §2.1.3.2; raise VerificationError naming `index`, `leaf`, `proof` or `root`."""
    _check_hash(root, "root")
    if root_from_inclusion(index=index, size=size, leaf=leaf, proof=proof) != root:
        raise VerificationError("the path does not lead to this root", field="root")


def root_from_inclusion(*, index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """Compute the root that an inclusion proof leads to; its shape is judged, the root is for the caller to judge."""
    if not 0 <= index < size:
        raise VerificationError(f"no leaf {index} in a tree of {size}", field="index")
    _check_hash(leaf, "leaf")
    inner, border = _shape(index, size)
    _check_proof(proof, inner + border.bit_count())
    running = leaf
    for sibling in proof[:inner]:
        running = _sha256(b"\x01" + (sibling + running if index & 1 else running + sibling)).digest()
        index >>= 1
    for sibling in proof[inner:]:
        running = _sha256(b"\x01" + sibling + running).digest()
    return running


def verify_consistency(*, old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Verify RFC 9162 §2.1.4.2; raise VerificationError naming `old`, `proof`, `old_root` or `new_root`.

    From size 0 nothing can be shown, not even to itself: every tree extends the empty one.
    """
    if not 0 <= old <= new:
        raise VerificationError(f"a tree of {new} cannot extend one of {old}", field="old")
    if old == 0:
        raise VerificationError("consistency with the empty tree proves nothing", field="old")
    if old == new:
        _check_proof(proof, 0)
        if old_root != new_root:
            raise VerificationError("two roots for one size", field="new_root")
        return
    _check_hash(old_root, "old_root")
    _check_hash(new_root, "new_root")
    level = (old & -old).bit_length() - 1
    index = (old - 1) >> level
    inner, border = _shape(index, ((new - 1) >> level) + 1)
    path = list(proof)
    _check_proof(path, inner + border.bit_count() + (index > 0))
    seed = path.pop(0) if index else old_root
    before = after = seed
    for height, sibling in enumerate(path[:inner]):
        if index >> height & 1:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
        else:
            after = node_hash(after, sibling)
    for sibling in path[inner:]:
        before, after = node_hash(sibling, before), node_hash(sibling, after)
    if before != old_root:
        raise VerificationError("the proof does not lead to the old root", field="old_root")
    if after != new_root:
        raise VerificationError("the proof does not lead to the new root", field="new_root")


# ------------------------------------------------------------------ how a path runs


def _shape(index: int, size: int) -> tuple[int, int]:
    """How far a path shares no ancestor with the last leaf, and the bits of its left turns above that."""
    inner = (index ^ (size - 1)).bit_length()
    return inner, index >> inner


def _path(level: int, index: int, size: int, read: Reader) -> list[bytes]:
    """The siblings of subtree (level, index) up to the root of a tree of `size`."""
    inner, border = _shape(index, ((size - 1) >> level) + 1)
    keys = []
    for above in range(level, level + inner - 1):
        keys.append((above, index ^ 1))
        index >>= 1
    if inner:  # here the sibling holds the last leaf, so it may be ragged
        whole = len(keys)
        keys += _cover((index | 1) << (level + inner - 1), size)
        ragged = len(keys)
    above = level + inner
    while border:
        if border & 1:
            keys.append((above, border - 1))
        border >>= 1
        above += 1
    found = list(read(keys))
    if inner and ragged - whole > 1:
        found[whole:ragged] = [_join(found[whole:ragged])]
    return found


def _cover(begin: int, end: int) -> list[NodeKey]:
    """Complete subtrees that make [begin, end), largest first; begin is aligned to the largest."""
    keys = []
    rest = end - begin
    while rest:
        level = rest.bit_length() - 1
        keys.append((level, begin >> level))
        begin += 1 << level
        rest -= 1 << level
    return keys


def _join(hashes: Sequence[bytes]) -> bytes:
    """Hash complete subtrees, largest first, into the root above them."""
    if not hashes:
        return EMPTY_ROOT
    running = hashes[-1]
    for item in hashes[-2::-1]:
        running = _sha256(b"\x01" + item + running).digest()
    return running


def _check_hash(value: bytes, field: str) -> None:
    if len(value) != HASH_SIZE:
        raise VerificationError(f"{len(value)} bytes, a hash has {HASH_SIZE}", field=field)


def _check_proof(proof: Sequence[bytes], length: int) -> None:
    if len(proof) != length:
        raise VerificationError(f"{len(proof)} hashes, this path has {length}", field="proof")
    if any(len(item) != HASH_SIZE for item in proof):
        raise VerificationError(f"an item is no hash of {HASH_SIZE} bytes", field="proof")
