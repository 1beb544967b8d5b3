"""However the bytes of a line come in pieces, and whatever is between them, the loads are the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from tweeling_edge.scale.frames import MAX_FRAME, Frame, Framer, Framing, Noise
from tweeling_edge.scale.protocols import PUBLISHED
from tweeling_edge.scale.reading import GRAMS, NotUnderstood, NoWeight, Reading, grams
from tweeling_edge.scale.weighing import Memory, Rules, Watch

FRAMINGS = [protocol.framing for protocol in PUBLISHED.values()] + [Framing(ends=(b"\r\n\r\n",))]
NOISY = st.lists(
    st.one_of(
        st.binary(max_size=40), st.sampled_from([b"\x02", b"\r", b"\n", b"\r\n", b"\x03", b"ST,GS,+00012.5kg\r\n"])
    )
).map(b"".join)


def cut(raw: bytes, places: Sequence[int]) -> list[bytes]:
    ends = sorted({place % (len(raw) + 1) for place in places} | {0, len(raw)})
    return [raw[a:b] for a, b in pairwise(ends)]


@given(NOISY, st.lists(st.integers(0, 10**6), max_size=20), st.sampled_from(FRAMINGS))
def test_frames_do_not_depend_on_how_the_bytes_come(raw: bytes, places: list[int], framing: Framing) -> None:
    whole, pieces = Framer(framing), Framer(framing)
    assert [found for piece in cut(raw, places) for found in pieces.feed(piece)] == list(whole.feed(raw))


@given(NOISY, st.sampled_from(sorted(PUBLISHED)))
def test_noise_is_never_an_error_and_never_held_without_bound(raw: bytes, name: str) -> None:
    framer = Framer(PUBLISHED[name].framing)
    for found in framer.feed(raw * 20):
        assert len(found.body if isinstance(found, Frame) else found.raw) <= MAX_FRAME + 1
        if isinstance(found, Frame):
            assert isinstance(PUBLISHED[name].read(found), Reading | NoWeight | NotUnderstood)
    assert len(framer._body) <= MAX_FRAME + 1


@given(st.binary(min_size=MAX_FRAME + 1, max_size=2000).filter(lambda raw: not re.search(rb"[\r\n]", raw)))
def test_a_line_that_does_not_end_is_told_once_and_the_next_is_whole(raw: bytes) -> None:
    found = list(Framer(Framing()).feed(raw + b"\r\nS S 1 kg\r\n"))
    assert isinstance(found[0], Noise)
    assert found[1:] == [Frame(b"S S 1 kg")]


@given(st.decimals(min_value=0, max_value=99_999, places=3, allow_nan=False), st.sampled_from(["g", "kg", "t"]))
def test_printed_weights_are_exact_grams(value: object, unit: str) -> None:
    exact = round(grams(f"{value}", "t")) * GRAMS[unit] / GRAMS["t"]
    assert abs(grams(f"{value}", unit) - exact) <= (0.5 if unit == "g" else 0)


# What a day on a weighbridge is: a load rolls on, rests, rolls off, and there is a pause.
LOAD = st.tuples(st.integers(500, 40_000), st.integers(8, 20), st.integers(0, 3), st.integers(4, 8))


@given(st.lists(LOAD, max_size=8), st.integers(0, 80), st.lists(st.integers(12, 60)))
def test_every_load_is_weighed_once_over_restarts_at_any_moment(
    loads: list[tuple[int, int, int, int]], dirt: int, lives: list[int]
) -> None:
    told: list[tuple[int, bool]] = [(0, True)] * 4
    for weight, rest, rolling, pause in loads:
        roll = [(weight * (step + 1) // (rolling + 2), False) for step in range(rolling)]
        told += [*roll, *[(weight, True)] * rest, *reversed(roll), *[(dirt, True)] * pause]
    restarts = set(accumulate(lives))
    watch = Watch(Rules(above_g=500_000, below_g=100_000, hold_ms=100), Memory())
    weighed: list[int] = []
    for at, (weight, stable) in enumerate(told):
        if at in restarts:
            watch = Watch(watch._rules, watch.memory)
        if (weighing := watch.see(Reading(weight * 1000, stable), 50 * at)) is not None:
            weighed.append(weighing.net_g // 1000)
    assert weighed == [weight for weight, *_ in loads]
