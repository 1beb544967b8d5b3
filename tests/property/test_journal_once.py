from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_ingest import EPOCH, NOW, arrival, of, reading, weighing

from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.ports.journal import Journal, NodeEpoch
from tweeling.wire.parcel import Parcel

N1 = NodeEpoch("H1", "n1", EPOCH)
SEQS = st.integers(1, 24)


@st.composite
def deliveries(draw: st.DrawFn) -> list[list[Parcel]]:
    """Commits of envelopes: any order, any splitting, any repetition; value and mass tell whose they are."""
    sets = draw(st.lists(st.lists(st.sets(SEQS, min_size=1, max_size=8), max_size=4), max_size=6))
    return [
        [
            arrival({seq: [reading(seq), weighing(seq), weighing(seq)] for seq in sorted(seqs)}, low=min(seqs))
            for seqs in commit
        ]
        for commit in sets
    ]


def check(journal: Journal, commits: list[list[Parcel]]) -> None:
    sent = {seq for commit in commits for each in commit for seq in each.arrivals[0].head.accepted}
    batches = [journal.commit(of(commit), recorded_ms=NOW) for commit in commits]
    points = Counter(value for batch in batches if batch for value in batch.points.values.tolist())
    weighed = Counter((m.identity.seq, m.identity.index) for batch in batches if batch for m in batch.movements)
    assert points == Counter(dict.fromkeys((float(seq) for seq in sent), 1))
    assert weighed == Counter(dict.fromkeys(((seq, index) for seq in sent for index in (1, 2)), 1))
    assert set(journal.settled(N1).committed) == sent
    counts = journal.counts()
    assert (counts["readings"], counts["movements"]) == (len(sent), 2 * len(sent))
    read = journal.read(0, 100)
    assert [batch.number for batch in read] == list(range(1, journal.last() + 1))
    assert sum(len(batch.points) for batch in read) == len(sent)


@given(deliveries())
def test_each_seq_and_index_ends_up_in_memory_once(commits: list[list[Parcel]]) -> None:
    check(MemoryJournal(), commits)


@given(deliveries(), st.integers(0, 6))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_seq_and_index_ends_up_in_the_file_once_even_if_it_is_reopened(
    commits: list[list[Parcel]], reopened_at: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal.sqlite"
        first = SqliteJournal(path)
        for commit in commits[:reopened_at]:
            first.commit(of(commit), recorded_ms=NOW)
        first.close()
        second = SqliteJournal(path)
        for commit in commits:
            second.commit(of(commit), recorded_ms=NOW)
        sent = {seq for commit in commits for each in commit for seq in each.arrivals[0].head.accepted}
        kept = second.read(0, 100)
        second.close()
        assert Counter(value for batch in kept for value in batch.points.values.tolist()) == Counter(
            dict.fromkeys((float(seq) for seq in sent), 1)
        )
        assert sum(len(batch.movements) for batch in kept) == 2 * len(sent)
