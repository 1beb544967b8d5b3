from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tweeling.wire.senml import Resolved
from tweeling_edge.sample import to_body
from tweeling_edge.thinning import HOUR_MS, Candidate, Pass

START = 1_790_000_000_000 // HOUR_MS * HOUR_MS
FAR = 10**9

series = st.sampled_from("abc")
moments = st.integers(0, 6 * 60).map(lambda minute: START + minute * 60_000)
readings = st.lists(st.tuples(moments, series), max_size=80)


def candidates(told: list[tuple[int, str]]) -> list[Candidate]:
    return [
        Candidate(seq, 10, to_body((Resolved(f"{name}/level", time_ms, 1, "/", None),)))
        for seq, (time_ms, name) in enumerate(told, 1)
    ]


def walk(rows: list[Candidate], *, piece: int, excess: int = FAR) -> list[int]:
    thinning, gone = Pass(), list[int]()
    while rows:
        chosen = list(thinning.choose(rows[:piece], excess))
        gone += [row.seq for row in chosen]
        excess -= sum(row.size for row in chosen)
        rows = rows[piece:]
    return gone


@given(readings, st.integers(1, 100))
def test_the_first_reading_of_each_hour_and_series_stays_however_the_walk_is_cut(
    told: list[tuple[int, str]], piece: int
) -> None:
    told = sorted(told)
    firsts = {}
    for seq, (time_ms, name) in enumerate(told, 1):
        firsts.setdefault((name, time_ms // HOUR_MS), seq)
    gone = walk(candidates(told), piece=piece)
    assert set(range(1, len(told) + 1)) - set(gone) == set(firsts.values())


@given(readings, st.integers(1, 100))
def test_no_hour_of_a_series_is_lost_even_where_time_runs_back(told: list[tuple[int, str]], piece: int) -> None:
    gone = set(walk(candidates(told), piece=piece))
    left = {(name, time_ms // HOUR_MS) for seq, (time_ms, name) in enumerate(told, 1) if seq not in gone}
    assert left == {(name, time_ms // HOUR_MS) for time_ms, name in told}


@given(readings, st.integers(0, 300))
def test_the_oldest_go_and_no_more_than_is_needed(told: list[tuple[int, str]], excess: int) -> None:
    all_gone = walk(candidates(sorted(told)), piece=7)
    gone = walk(candidates(sorted(told)), piece=7, excess=excess)
    assert gone == all_gone[: -(-excess // 10)]


def test_what_cannot_be_read_is_the_first_to_go() -> None:
    assert walk([Candidate(1, 10, "nonsense")], piece=1) == [1]
