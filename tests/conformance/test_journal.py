from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support_ingest import EPOCH, NOW, arrival, of, reading, weighing

from tweeling.adapters.intake import KEEP, Keep
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.domain.telemetry import Quality
from tweeling.errors import RejectedError
from tweeling.ports.journal import Batch, Journal, NodeEpoch
from tweeling.wire.parcel import Suspect

N1 = NodeEpoch("H1", "n1", EPOCH)


@pytest.fixture
def journal(make: Callable[[Keep], Journal]) -> Journal:
    return make(KEEP._replace(trimmed_bytes=0))


def same(one: Batch, other: Batch) -> bool:
    columns = ("series", "times", "values", "quality")
    return (
        (one.number, one.recorded_ms, one.points.names, one.movements)
        == (other.number, other.recorded_ms, other.points.names, other.movements)
        and all(np.array_equal(getattr(one.points, name), getattr(other.points, name)) for name in columns)
        and all(getattr(one.points, name).dtype == getattr(other.points, name).dtype for name in columns)
    )


def test_an_empty_journal_knows_nothing(journal: Journal) -> None:
    assert journal.last() == 0
    assert journal.read(0, 10) == ()
    assert not any(journal.settled(N1))
    assert set(journal.counts().values()) == {0}
    assert journal.quarantine() == []


def test_a_journal_tells_how_much_it_holds_and_since_when_something_waits(journal: Journal) -> None:
    assert journal.extent(0)[::2] == (0, None)
    for number in range(1, 5):
        journal.commit(of([arrival({number: [reading()]})]), recorded_ms=NOW + number)
    assert journal.extent(0)[::2] == (4, NOW + 1)
    assert journal.extent(2)[::2] == (4, NOW + 3)
    assert journal.extent(4)[::2] == (4, None)
    journal.trim(3)
    assert journal.extent(3)[::2] == (1, NOW + 4)
    assert journal.extent(4)[::2] == (1, None)
    assert journal.extent(0).bytes > 4096 or isinstance(journal, MemoryJournal)


def test_a_commit_returns_its_points_and_movements(journal: Journal) -> None:
    batch = journal.commit(of([arrival({1: [reading(0.25)], 2: [weighing(1500)]})]), recorded_ms=NOW)
    assert batch is not None
    assert (batch.number, batch.recorded_ms) == (1, NOW)
    assert [tuple(row) for row in batch.points.rows()] == [("H1/H1-A/fillingLevel", NOW, 0.25, Quality.GOOD)]
    (movement,) = batch.movements
    assert (movement.net_g, movement.identity.seq, movement.identity.index) == (1500, 2, 0)
    assert journal.settled(N1).committed.ranges == ((1, 2),)


def test_a_repeat_changes_nothing_but_its_count(journal: Journal) -> None:
    sent = arrival({1: [reading()], 2: [weighing()]})
    journal.commit(of([sent]), recorded_ms=NOW)
    before = journal.counts()
    assert journal.commit(of([sent]), recorded_ms=NOW + 1) is None
    assert journal.counts() == before | {"repeated": 2}
    assert journal.last() == 1


def test_a_repeat_within_one_commit_counts_once(journal: Journal) -> None:
    sent = arrival({1: [reading()], 2: [weighing()]})
    batch = journal.commit(of([sent, sent]), recorded_ms=NOW)
    assert batch is not None
    assert (len(batch.points), len(batch.movements)) == (1, 1)


def test_of_an_envelope_partly_known_only_the_new_seqs_are_kept(journal: Journal) -> None:
    journal.commit(of([arrival({2: [reading(0.2), weighing(2)]})]), recorded_ms=NOW)
    second = {seq: [reading(seq / 10), weighing(seq)] for seq in (1, 2, 3)}
    batch = journal.commit(of([arrival(second)]), recorded_ms=NOW)
    assert batch is not None
    assert batch.points.values.tolist() == [0.1, 0.3]
    assert [movement.net_g for movement in batch.movements] == [1, 3]
    assert journal.settled(N1).committed.ranges == ((1, 3),)


def test_nodes_and_epochs_are_strangers_to_each_other(journal: Journal) -> None:
    sent = [
        arrival({1: [reading()]}),
        arrival({1: [reading()]}, node="n2"),
        arrival({1: [reading()]}, hub="H2"),
        arrival({1: [reading()]}, epoch="00000000000000bb"),
    ]
    batch = journal.commit(of(sent), recorded_ms=NOW)
    assert batch is not None
    assert len(batch.points) == 4


def test_two_equal_weighings_in_one_millisecond_are_two(journal: Journal) -> None:
    batch = journal.commit(of([arrival({1: [weighing(), weighing()], 2: [weighing()]})]), recorded_ms=NOW)
    assert batch is not None
    assert len({movement.identity for movement in batch.movements}) == 3
    assert journal.counts()["movements"] == 3


def test_a_reading_that_comes_late_is_historical(journal: Journal) -> None:
    hour = 3_600_000
    sent = arrival({1: [reading(at=NOW - hour), reading(at=NOW - hour - 1)]})
    batch = journal.commit(of([sent]), recorded_ms=NOW)
    assert batch is not None
    assert batch.points.quality.tolist() == [Quality.GOOD, Quality.HISTORICAL]


def test_a_refused_seq_stays_refused_and_its_envelope_is_quarantined(journal: Journal) -> None:
    early = arrival({1: [reading(at=NOW + 3_600_000)], 2: [reading()]})
    journal.commit(of([early]), recorded_ms=NOW)
    later = arrival({1: [reading(at=NOW + 3_600_000)]}, now_ms=NOW + 3_600_000)
    assert journal.commit(of([later]), recorded_ms=NOW + 3_600_000) is None
    settled = journal.settled(N1)
    assert (settled.committed.ranges, settled.refused.ranges) == (((2, 2),), ((1, 1),))
    (kept,) = journal.quarantine()
    assert kept.suspect.payload == early.arrivals[0].payload
    assert kept.suspect.reason == "seq 1: time is 3600 s in the future"


def test_a_seq_announced_as_dropped_is_kept_when_it_comes_after_all(journal: Journal) -> None:
    journal.commit(of([arrival({5: [reading()]}, dropped=((1, 4, "quota"),))]), recorded_ms=NOW)
    assert journal.settled(N1).dropped.ranges == ((1, 4),)
    batch = journal.commit(of([arrival({2: [reading()]})]), recorded_ms=NOW)
    assert batch is not None
    settled = journal.settled(N1)
    assert settled.dropped.ranges == ((1, 1), (3, 4))
    assert settled.committed.ranges == ((2, 2), (5, 5))
    assert journal.counts()["dropped"] == 3


def test_the_last_possible_seq_is_a_seq(journal: Journal) -> None:
    last, many = 2**53 - 1, 2**40
    sent = arrival({last: [weighing()]}, dropped=((last - many, last - 1, "gone"),))
    journal.commit(of([sent]), recorded_ms=NOW)
    settled = journal.settled(N1)
    assert (settled.committed.ranges, settled.dropped.ranges) == (((last, last),), ((last - many, last - 1),))


def test_suspects_are_kept_as_they_came_and_the_same_one_only_counts(journal: Journal) -> None:
    odd = Suspect("a/b\x00\n", b"\x00\xff", "unknown topic")
    assert journal.commit(of([], [odd, odd, Suspect("c", b"", "why not")]), recorded_ms=NOW) is None
    journal.commit(of([], [odd]), recorded_ms=NOW + 5)
    newest, oldest = journal.quarantine()
    assert newest.suspect == Suspect("c", b"", "why not")
    assert (oldest.suspect, oldest.seen, oldest.recorded_ms) == (odd, 3, NOW)
    assert journal.counts()["quarantined"] == 4
    assert [each.id for each in journal.quarantine(limit=1)] == [newest.id]


@pytest.mark.parametrize("keep", [Keep(rows=3), Keep(bytes=3 * 8)])
def test_of_quarantine_the_newest_are_kept_and_those_that_go_are_counted(
    keep: Keep, make: Callable[[Keep], Journal]
) -> None:
    journal = make(keep)
    for number in range(4):
        journal.commit(of([], [Suspect("t", b"%03d" % number, "why!")]), recorded_ms=NOW)
    journal.commit(of([], [Suspect("t", b"%03d" % number, "why!") for number in range(3, 6)]), recorded_ms=NOW)
    kept = journal.quarantine()
    assert [(each.suspect.payload, each.seen) for each in kept] == [(b"005", 1), (b"004", 1), (b"003", 2)]
    assert len({each.id for each in kept}) == 3
    counts = journal.counts()
    assert (counts["quarantined"], counts["quarantine_dropped"]) == (7, 3)


def test_batches_are_read_back_in_order_behind_a_number(journal: Journal) -> None:
    made = [journal.commit(of([arrival({seq: [reading(seq / 10)]})]), recorded_ms=NOW + seq) for seq in (1, 2, 3)]
    assert journal.last() == 3
    read = journal.read(1, 10)
    assert [batch.number for batch in read] == [2, 3]
    assert all(batch is not None and same(batch, again) for batch, again in zip(made[1:], read, strict=True))
    assert [batch.number for batch in journal.read(0, 2)] == [1, 2]
    assert list(journal.read(3, 10)) == []


def test_trimmed_batches_are_refused_by_name_and_the_rest_stays(journal: Journal) -> None:
    for seq in (1, 2, 3):
        journal.commit(of([arrival({seq: [reading(), weighing()]})]), recorded_ms=NOW)
    before = journal.counts()
    journal.trim(2)
    journal.trim(1)
    assert [batch.number for batch in journal.read(2, 10)] == [3]
    with pytest.raises(RejectedError, match="through 2 are trimmed"):
        journal.read(1, 10)
    assert journal.counts() == before
    assert journal.settled(N1).committed.ranges == ((1, 3),)
    journal.trim(99)
    batch = journal.commit(of([arrival({4: [reading()]})]), recorded_ms=NOW)
    assert batch is not None
    assert batch.number == 4


def test_a_commit_of_nothing_is_nothing(journal: Journal) -> None:
    assert journal.commit(of([]), recorded_ms=NOW) is None
    assert journal.commit(of([arrival({}, ask=True)]), recorded_ms=NOW) is None
    assert set(journal.counts().values()) == {0}
