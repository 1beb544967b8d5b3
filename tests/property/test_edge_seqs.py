from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweeling.wire.ranges import SeqSet
from tweeling_edge import seqs as module
from tweeling_edge.seqs import Seqs

number = st.integers(1, 60)
span = st.tuples(number, st.integers(0, 12)).map(lambda pair: (pair[0], sum(pair)))
step = st.one_of(
    st.tuples(st.just("add"), span),
    st.tuples(st.just("remove"), span),
    st.tuples(st.just("take"), st.integers(0, 10)),
    st.tuples(st.just("update"), st.lists(number).map(SeqSet.from_seqs)),
    st.tuples(st.just("subtract"), st.lists(number).map(SeqSet.from_seqs)),
)


@pytest.mark.parametrize("worn", [1, 1024])
@given(steps=st.lists(step, max_size=60), probe=st.lists(number).map(SeqSet.from_seqs))
def test_it_is_a_set_whatever_is_done_to_it(worn: int, steps: list[tuple[str, object]], probe: SeqSet) -> None:
    before, module._WORN = module._WORN, worn
    try:
        seqs, model = Seqs(), set[int]()
        for name, what in steps:
            given = getattr(seqs, name)(*what) if isinstance(what, tuple) else getattr(seqs, name)(what)
            match name, what:
                case "add", (int(first), int(last)):
                    model |= set(range(first, last + 1))
                case "remove", (int(first), int(last)):
                    model -= set(range(first, last + 1))
                case "take", int(count):
                    lowest = sorted(model)[:count]
                    assert given == SeqSet.from_seqs(lowest)
                    model -= set(lowest)
                case "update", SeqSet() as more:
                    model |= set(more)
                case "subtract", SeqSet() as less:
                    model -= set(less)
            assert seqs.copy() == SeqSet.from_seqs(model)
            assert (len(seqs), seqs.lowest) == (len(model), min(model, default=None))
        assert seqs.common(probe) == SeqSet.from_seqs(model & set(probe))
        assert [each in seqs for each in range(80)] == [each in model for each in range(80)]
    finally:
        module._WORN = before


def test_a_million_holes_cost_sixteen_megabytes_and_the_front_moves_nothing() -> None:
    seqs = Seqs((2 * each, 2 * each) for each in range(1, 1_000_001))
    assert seqs._first.buffer_info()[1] * seqs._first.itemsize <= 8_000_000
    for _ in range(1_000):
        assert len(seqs.take(1)) == 1
    assert (len(seqs), seqs.lowest, seqs._start) == (999_000, 2002, 1000)
