"""Merkle trees as RFC 9162 defines them, recursively and without thought for cost: an oracle shares no code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

EMPTY_ROOT = hashlib.sha256(b"").digest()


class Tree:
    """A tree known by the hash of any span of its leaves."""

    def __init__(self, span: Callable[[int, int], bytes]) -> None:
        self._span = span

    def root(self, size: int) -> bytes:
        """Section 2.1.1: MTH of the first entries."""
        return self._span(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Section 2.1.3.1: PATH(index, D_size)."""
        return self._path(index, 0, size)

    def consistency(self, m: int, n: int) -> list[bytes]:
        """Section 2.1.4.1: PROOF(m, D_n); empty from size 0."""
        return self._subproof(m, 0, n, whole=True) if m else []

    def _path(self, index: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        middle = start + split(stop - start)
        if index < middle:
            return [*self._path(index, start, middle), self._span(middle, stop)]
        return [*self._path(index, middle, stop), self._span(start, middle)]

    def _subproof(self, m: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
        if m == stop - start:
            return [] if whole else [self._span(start, stop)]
        k = split(stop - start)
        if m <= k:
            return [*self._subproof(m, start, start + k, whole=whole), self._span(start + k, stop)]
        return [*self._subproof(m - k, start + k, stop, whole=False), self._span(start, start + k)]


def tree_of(leaves: Sequence[bytes]) -> Tree:
    """The tree over these leaf hashes."""

    def span(start: int, stop: int) -> bytes:
        if stop - start == 1:
            return leaves[start]
        middle = start + split(stop - start)
        return node(span(start, middle), span(middle, stop))

    return Tree(span)


def uniform_tree(leaf: bytes) -> Tree:
    """A tree of any size whose leaves are all alike, so that only the length of a span counts."""

    @cache
    def of_length(n: int) -> bytes:
        return leaf if n == 1 else node(of_length(split(n)), of_length(n - split(n)))

    return Tree(lambda start, stop: of_length(stop - start))


def extends(m: int, old_root: bytes, n: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that (n, new_root) extends (m, old_root), by taking the proof's definition apart."""
    if m == 0:
        return not proof
    nodes = list(proof)

    def rebuild(m: int, n: int, *, whole: bool) -> tuple[bytes, bytes]:
        if m == n:
            known = old_root if whole else nodes.pop()
            return known, known
        sibling = nodes.pop()
        k = split(n)
        if m <= k:
            old, new = rebuild(m, k, whole=whole)
            return old, node(new, sibling)
        old, new = rebuild(m - k, n - k, whole=False)
        return node(sibling, old), node(sibling, new)

    try:
        rebuilt = rebuild(m, n, whole=True)
    except IndexError:
        return False
    return not nodes and rebuilt == (old_root, new_root)


def includes(index: int, leaf: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that (size, root) holds a leaf at an index, by taking the proof's definition apart."""
    nodes = list(proof)

    def rebuild(index: int, size: int) -> bytes:
        if size == 1:
            return leaf
        sibling = nodes.pop()
        k = split(size)
        if index < k:
            return node(rebuild(index, k), sibling)
        return node(sibling, rebuild(index - k, size - k))

    if not 0 <= index < size:
        return False
    try:
        rebuilt = rebuild(index, size)
    except IndexError:
        return False
    return not nodes and rebuilt == root


def leaf(entry: bytes) -> bytes:
    """The hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(n: int) -> int:
    """The largest power of two below n."""
    return 1 << ((n - 1).bit_length() - 1)
