import random

from hypothesis import given
from hypothesis import strategies as st

from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.domain.points import Point, Points
from tweeling.domain.telemetry import Direction, Identity, Movement, Quality
from tweeling.services.twin import Twin

POINTS = st.lists(
    st.builds(
        Point,
        st.sampled_from(["H1/A/fillingLevel", "H1/B/fillingLevel"]),
        st.integers(0, 9),
        st.floats(0, 1),
        st.sampled_from(Quality),
    ),
    max_size=30,
)
LOADS = st.lists(st.tuples(st.sampled_from(Direction), st.integers(0, 10**9), st.sampled_from("pq")), max_size=20)


def movements(loads: list[tuple[Direction, int, str]]) -> list[Movement]:
    return [
        Movement(
            identity=Identity("H1", "n", "0" * 16, seq, 0),
            time_ms=seq,
            zone="A",
            direction=direction,
            net_g=net_g,
            material=material,
        )
        for seq, (direction, net_g, material) in enumerate(loads, start=1)
    ]


@given(rows=POINTS, loads=LOADS, cut=st.integers(0, 30), seed=st.integers(0, 99))
def test_the_state_is_the_same_however_facts_are_cut_into_batches_and_after_a_restart(
    rows: list[Point], loads: list[tuple[Direction, int, str]], cut: int, seed: int
) -> None:
    store, facts, moved = MemoryStore(), MemoryFacts(), movements(loads)
    live = Twin(store, facts)
    live.load()
    halves = ((rows[:cut], moved[:cut]), (rows[cut:], moved[cut:]))
    for number, (points, weighed) in enumerate(halves, start=1):
        shuffled = weighed.copy()
        random.Random(seed).shuffle(shuffled)
        store.apply(Points.of(points), source="journal", through=number)
        facts.apply_movements(weighed, source="journal", through=number)
        live.apply(Points.of(points), shuffled)
    restarted = Twin(store, facts)
    restarted.load()
    assert live.things() == restarted.things()
    for row in live.things():
        if row.thing == "A":
            signed = [(kind, grams if way is Direction.IN else -grams) for way, grams, kind in loads]
            assert all(
                total == sum(grams for kind, grams in signed if kind == name) for name, total in row.stock_g.items()
            )
