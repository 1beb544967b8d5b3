"""The tree against a naive one, written as RFC 9162 is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweeling.domain import merkle
from tweeling.errors import VerificationError

SIZES = st.integers(min_value=1, max_value=200)


def _leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(index.to_bytes(4)) for index in range(count)]


def _split(size: int) -> int:
    return 1 << ((size - 1).bit_length() - 1)


def _mth(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = _split(len(leaves))
    return merkle.node_hash(_mth(leaves[:k]), _mth(leaves[k:]))


def _path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if m < k:
        return [*_path(m, leaves[:k]), _mth(leaves[k:])]
    return [*_path(m - k, leaves[k:]), _mth(leaves[:k])]


def _subproof(m: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [_mth(leaves)]
    k = _split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], whole=whole), _mth(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], whole=False), _mth(leaves[:k])]


def _tree(size: int, cuts: Sequence[int] = ()) -> tuple[merkle.Frontier, dict[merkle.NodeKey, bytes]]:
    leaves, edge, nodes = _leaves(size), merkle.Frontier(), {}
    bounds = [0, *sorted(min(cut, size) for cut in cuts), size]
    for start, stop in pairwise(bounds):
        edge, new = merkle.grow(edge, leaves[start:stop])
        assert not new.keys() & nodes.keys()
        nodes |= new
    return edge, nodes


@given(st.integers(min_value=0, max_value=200), st.lists(st.integers(min_value=0, max_value=200), max_size=6))
def test_growing_in_any_steps_gives_the_same_root_and_every_complete_subtree(size: int, cuts: list[int]) -> None:
    edge, nodes = _tree(size, cuts)
    assert edge.root() == _mth(_leaves(size))
    assert len(nodes) == sum(size >> level for level in range(9))
    assert merkle.frontier(size, merkle.reader(nodes)) == edge


@given(SIZES, st.data())
def test_an_inclusion_proof_is_the_rfc_s_and_any_other_bit_fails(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    edge, nodes = _tree(size)
    leaf = _leaves(size)[index]
    proof = merkle.inclusion_proof(index, size, merkle.reader(nodes))
    assert proof == _path(index, _leaves(size))
    merkle.verify_inclusion(index=index, size=size, leaf=leaf, proof=proof, root=edge.root())
    if proof:
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[at]) ^ 1 << bit).to_bytes(32)
        with pytest.raises(VerificationError):
            merkle.verify_inclusion(
                index=index, size=size, leaf=leaf, proof=[*proof[:at], flipped, *proof[at + 1 :]], root=edge.root()
            )
    with pytest.raises(VerificationError):
        merkle.verify_inclusion(index=index, size=size, leaf=leaf, proof=[*proof, leaf], root=edge.root())


@given(SIZES, st.data())
def test_a_consistency_proof_is_the_rfc_s_and_any_other_bit_fails(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(min_value=1, max_value=new))
    leaves = _leaves(new)
    edge, nodes = _tree(new)
    proof = merkle.consistency_proof(old, new, merkle.reader(nodes))
    assert proof == _subproof(old, leaves, whole=True)
    roots = {"old_root": _mth(leaves[:old]), "new_root": edge.root()}
    merkle.verify_consistency(old=old, new=new, proof=proof, **roots)
    which, bit = data.draw(st.sampled_from(["old_root", "new_root"])), data.draw(st.integers(0, 255))
    other = roots | {which: (int.from_bytes(roots[which]) ^ 1 << bit).to_bytes(32)}
    with pytest.raises(VerificationError):
        merkle.verify_consistency(old=old, new=new, proof=proof, **other)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        flipped = (int.from_bytes(proof[at]) ^ 1 << bit).to_bytes(32)
        with pytest.raises(VerificationError):
            merkle.verify_consistency(old=old, new=new, proof=[*proof[:at], flipped, *proof[at + 1 :]], **roots)


def test_no_proof_is_made_for_what_is_not_there() -> None:
    _, nodes = _tree(5)
    read = merkle.reader(nodes)
    with pytest.raises(ValueError, match="no leaf 5"):
        merkle.inclusion_proof(5, 5, read)
    with pytest.raises(ValueError, match="cannot extend"):
        merkle.consistency_proof(6, 5, read)
    assert merkle.consistency_proof(0, 5, read) == merkle.consistency_proof(5, 5, read) == []
