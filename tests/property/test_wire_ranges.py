from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tweeling.wire.ranges import SeqSet

SETS = st.sets(st.integers(1, 60))
RANGES = st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)).map(lambda pair: (pair[0], sum(pair))))


def plain(ranges: SeqSet) -> set[int]:
    """A Python set as the oracle, after checking that the form is the canonical one."""
    flat = [bound for span in ranges.ranges for bound in span]
    assert all(first <= last for first, last in ranges.ranges)
    assert all(before + 1 < after for before, after in zip(flat[1::2], flat[2::2], strict=False))
    return set(ranges)


@given(SETS, SETS)
def test_the_algebra_is_that_of_sets(a: set[int], b: set[int]) -> None:
    left, right = SeqSet.from_seqs(a), SeqSet.from_seqs(b)
    assert plain(left | right) == a | b
    assert plain(left & right) == a & b
    assert plain(left - right) == a - b
    assert (left == right) == (a == b)
    assert (len(left), bool(left), left.highest) == (len(a), bool(a), max(a, default=0))
    assert [seq in left for seq in range(70)] == [seq in a for seq in range(70)]
    assert list(left) == sorted(a)


@given(st.sets(st.integers(1, 400), min_size=60), st.sets(st.integers(1, 400), max_size=12))
def test_the_algebra_holds_for_many_ranges_and_a_few(many: set[int], few: set[int]) -> None:
    left, right = SeqSet.from_seqs(many), SeqSet.from_seqs(few)
    assert plain(left | right) == plain(right | left) == many | few
    assert plain(left & right) == plain(right & left) == many & few
    assert (plain(left - right), plain(right - left)) == (many - few, few - many)


@given(RANGES)
def test_any_ranges_make_the_set_of_their_members(ranges: list[tuple[int, int]]) -> None:
    assert plain(SeqSet.of(ranges)) == {seq for first, last in ranges for seq in range(first, last + 1)}


@given(SETS, st.integers(1, 70))
def test_holes_are_what_is_missing_from_low_to_the_highest(members: set[int], low: int) -> None:
    assert plain(SeqSet.from_seqs(members).holes(low)) == set(range(low, max(members, default=0) + 1)) - members
