"""The tree against a naive one, written as RFC 9162 is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_rfc9162 import tree_of, uniform_tree

from tweeling.domain import merkle
from tweeling.errors import VerificationError

SIZES = st.integers(min_value=1, max_value=200)


def _leaves(count: int) -> list[bytes]:
    return [merkle.leaf_hash(index.to_bytes(4)) for index in range(count)]


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
    assert edge.root() == tree_of(_leaves(size)).root(size)
    assert len(nodes) == sum(size >> level for level in range(9))
    assert merkle.frontier(size, merkle.reader(nodes)) == edge


@given(SIZES, st.data())
def test_an_inclusion_proof_is_the_rfc_s_and_any_other_bit_fails(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    edge, nodes = _tree(size)
    leaf = _leaves(size)[index]
    proof = merkle.inclusion_proof(index, size, merkle.reader(nodes))
    assert proof == tree_of(_leaves(size)).inclusion(index, size)
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
    oracle = tree_of(_leaves(new))
    edge, nodes = _tree(new)
    proof = merkle.consistency_proof(old, new, merkle.reader(nodes))
    assert proof == oracle.consistency(old, new)
    roots = {"old_root": oracle.root(old), "new_root": edge.root()}
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


def test_every_proof_of_every_small_tree_is_the_rfc_s() -> None:
    leaves = _leaves(130)
    oracle = tree_of(leaves)
    _, nodes = _tree(130)
    levels = merkle.Levels()
    levels.add(nodes)
    for size in range(1, 131):
        root = oracle.root(size)
        assert merkle.root(size, levels.read) == root
        for other in range(size):
            proof = oracle.inclusion(other, size)
            assert merkle.inclusion_proof(other, size, levels.read) == proof
            merkle.verify_inclusion(index=other, size=size, leaf=leaves[other], proof=proof, root=root)
            if other:
                proof = oracle.consistency(other, size)
                assert merkle.consistency_proof(other, size, levels.read) == proof
                merkle.verify_consistency(old=other, new=size, old_root=oracle.root(other), new_root=root, proof=proof)


@given(st.integers(1, 2**63), st.data())
def test_proofs_of_trees_of_any_size_verify_at_their_own_place_only(size: int, data: st.DataObject) -> None:
    leaf = merkle.leaf_hash(b"one of many alike")
    tree, index = uniform_tree(leaf), data.draw(st.integers(0, size - 1))
    whole = {"size": size, "leaf": leaf, "proof": tree.inclusion(index, size), "root": tree.root(size)}
    merkle.verify_inclusion(index=index, **whole)
    for wrong in (-1, -index - 1, size, size + index, 2**64 + index, -(2**64) + index):
        with pytest.raises(VerificationError, match="index"):
            merkle.verify_inclusion(index=wrong, **whole)
    old = data.draw(st.integers(1, size))
    roots = {"old_root": tree.root(old), "new_root": tree.root(size)}
    merkle.verify_consistency(old=old, new=size, proof=tree.consistency(old, size), **roots)
    for sizes in ((0, size), (0, 0), (-1, size), (size + 1, size), (-2, -1)):
        with pytest.raises(VerificationError, match="old"):
            merkle.verify_consistency(old=sizes[0], new=sizes[1], proof=[], **roots)


@given(SIZES, st.data())
def test_whatever_is_no_hash_is_refused_by_its_name(size: int, data: st.DataObject) -> None:
    index, length = data.draw(st.integers(0, size - 1)), data.draw(st.sampled_from([0, 1, 31, 33, 64]))
    edge, nodes = _tree(size)
    proof = merkle.inclusion_proof(index, size, merkle.reader(nodes))
    given_: dict[str, Any] = {"leaf": _leaves(size)[index], "root": edge.root(), "proof": proof}
    wrong = [given_ | {name: bytes(length)} for name in ("leaf", "root")]
    wrong += [given_ | {"proof": [*proof[:at], bytes(length), *proof[at + 1 :]]} for at in range(len(proof))]
    for each in wrong:
        with pytest.raises(VerificationError, match=r"^(leaf|root|proof): "):
            merkle.verify_inclusion(index=index, size=size, **each)


def test_what_is_kept_in_memory_follows_what_was_kept_before() -> None:
    levels = merkle.Levels()
    edge, first = merkle.grow(merkle.Frontier(), _leaves(3))
    levels.add(first)
    with pytest.raises(ValueError, match="subtree 0 of level 0 does not follow 3 others"):
        levels.add(first)
    with pytest.raises(KeyError):
        levels.read([(0, 2), (1, 1)])
    levels.add(merkle.grow(edge, _leaves(5)[3:])[1])
    assert merkle.root(5, levels.read) == tree_of(_leaves(5)).root(5)
