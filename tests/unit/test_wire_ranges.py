from __future__ import annotations

import pytest

from tweeling.wire.ranges import SeqSet


def test_touching_and_overlapping_ranges_become_one() -> None:
    assert SeqSet.of([(5, 6), (1, 2), (3, 3), (6, 9)]).ranges == ((1, 3), (5, 9))


def test_a_backward_range_is_refused() -> None:
    with pytest.raises(ValueError, match="runs backwards"):
        SeqSet.of([(2, 1)])


def test_holes_lie_between_low_and_the_highest_member() -> None:
    held = SeqSet.of([(3, 4), (8, 9)])
    assert held.holes(1).ranges == ((1, 2), (5, 7))
    assert held.holes(6).ranges == ((6, 7),)
    assert not held.holes(10)
    assert not SeqSet().holes(1)


def test_huge_ranges_cost_nothing() -> None:
    most = SeqSet.of([(1, 2**63 - 1)])
    assert (most - SeqSet.of([(7, 7)])).ranges == ((1, 6), (8, 2**63 - 1))
    assert len(most) == 2**63 - 1
    assert most.highest == 2**63 - 1
