"""What every journal promises of messages that are read again from its quarantine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from support_ingest import EPOCH, NOW, SKEW, arrival, message, of, reading, weighing

from tweeling.adapters import intake
from tweeling.adapters.intake import KEEP, Keep
from tweeling.ports.inbox import Message
from tweeling.ports.journal import Again, Journal, NodeEpoch, Quarantined, Replayed
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Parcel, Suspect

N1 = NodeEpoch("H1", "n1", EPOCH)
LATER = NOW + 3_600_000
UP = "tweeling/v1/H1/n1/up"


@pytest.fixture
def journal(make: Callable[[Keep], Journal]) -> Journal:
    return make(KEEP)


def read(*sent: Message, now_ms: int = NOW) -> Parcel:
    return Decoder(skew_ms=SKEW).read(sent, now_ms=now_ms)


def again(journal: Journal, kept: Sequence[Quarantined], *, now_ms: int = LATER) -> Replayed:
    messages = [Again(each.id, read(Message(*each.suspect[:2]), now_ms=now_ms)) for each in kept]
    return journal.replay(messages, recorded_ms=now_ms)


def early(seq: int) -> Message:
    """Of the future now, and of the present later; its seqs above are of now."""
    return message({seq: [reading(seq / 10, at=LATER)], seq + 1: [reading(0.5), weighing(seq)]})


def test_what_was_refused_is_committed_once_and_leaves(journal: Journal) -> None:
    journal.commit(read(early(1), early(3)), recorded_ms=NOW)
    assert journal.settled(N1).refused.ranges == ((1, 1), (3, 3))
    done = again(journal, journal.quarantine())
    assert done.batch is not None
    assert done.suspect == ()
    assert sorted(done.batch.points.values.tolist()) == [0.1, 0.3]
    assert done.batch.movements == ()
    settled = journal.settled(N1)
    assert (settled.committed.ranges, settled.refused.ranges) == (((1, 4),), ())
    assert journal.quarantine() == []
    counts = journal.counts()
    assert (counts["readings"], counts["refused"], counts["quarantined"], counts["replayed"]) == (4, 0, 2, 2)
    assert [batch.number for batch in journal.read(0, 9)] == [1, 2]


def test_a_replay_of_what_left_already_changes_nothing(journal: Journal) -> None:
    journal.commit(read(early(1)), recorded_ms=NOW)
    kept = journal.quarantine()
    again(journal, kept)
    before = journal.counts()
    assert again(journal, kept) == Replayed(None, ())
    assert journal.counts() == before


def test_what_is_suspect_still_stays_with_the_reason_of_today(journal: Journal) -> None:
    journal.commit(read(early(1), Message(UP, b"junk")), recorded_ms=NOW)
    seq, junk = journal.quarantine()
    messages = [Again(junk.id, Parcel(suspects=(Suspect(UP, b"junk", "no better"),)))]
    messages.append(Again(seq.id, read(early(1), now_ms=NOW + 60_000)))
    assert journal.replay(messages, recorded_ms=NOW) == Replayed(None, (junk.id, seq.id))
    assert [each.suspect.reason for each in journal.quarantine()] == [
        "seq 1: time is 3540 s in the future",
        "no better",
    ]
    assert journal.settled(N1).refused.ranges == ((1, 1),)
    assert journal.counts()["replayed"] == 0


def test_of_one_transaction_each_message_is_judged_by_itself(journal: Journal) -> None:
    journal.commit(read(early(1), Message(UP, b"junk")), recorded_ms=NOW)
    _, junk = kept = journal.quarantine()
    done = again(journal, kept)
    assert done.batch is not None
    assert done.suspect == (junk.id,)
    assert [each.id for each in journal.quarantine()] == [junk.id]


def test_a_message_of_a_node_nobody_knew_is_committed(journal: Journal) -> None:
    journal.commit(Parcel(suspects=(Suspect(*message({5: [weighing(7)]}), "not understood then"),)), recorded_ms=NOW)
    done = again(journal, journal.quarantine())
    assert done.batch is not None
    assert [each.net_g for each in done.batch.movements] == [7]
    assert journal.settled(N1).committed.ranges == ((5, 5),)


def test_what_came_in_the_meantime_is_not_committed_twice(journal: Journal) -> None:
    journal.commit(Parcel(suspects=(Suspect(*message({5: [weighing(7)]}), "not understood then"),)), recorded_ms=NOW)
    journal.commit(of([arrival({5: [weighing(7)]})]), recorded_ms=NOW)
    assert again(journal, journal.quarantine()) == Replayed(None, ())
    assert (journal.counts()["movements"], journal.quarantine()) == (1, [])


def test_messages_that_share_a_seq_commit_it_once(journal: Journal) -> None:
    one, other = message({1: [weighing(7)]}), message({1: [weighing(7)]}, low=1, ask=True)
    suspects = [Suspect(*sent, "not understood then") for sent in (one, other)]
    journal.commit(Parcel(suspects=tuple(suspects)), recorded_ms=NOW)
    done = again(journal, journal.quarantine())
    assert done.batch is not None
    assert len(done.batch.movements) == 1
    assert journal.quarantine() == []


def test_a_message_seen_often_counts_as_often_when_it_leaves_or_goes(make: Callable[[Keep], Journal]) -> None:
    journal = make(KEEP._replace(rows=2))
    for _ in range(3):
        journal.commit(read(early(1)), recorded_ms=NOW)
    junk = Suspect(UP, b"junk", "why")
    journal.commit(Parcel(suspects=(junk, junk)), recorded_ms=NOW)
    again(journal, journal.quarantine(topic=UP, reason="seq 1"))
    counts = journal.counts()
    assert (counts["quarantined"], counts["replayed"]) == (3, 1)  # a repeat of what is refused is no new suspect
    journal.commit(Parcel(suspects=(Suspect("a", b"", "x"), Suspect("b", b"", "x"))), recorded_ms=NOW)
    assert journal.counts()["quarantine_dropped"] == 2


def test_the_room_of_what_left_is_free_again(make: Callable[[Keep], Journal]) -> None:
    journal = make(KEEP._replace(rows=2))
    journal.commit(read(early(1), Message(UP, b"junk")), recorded_ms=NOW)
    again(journal, journal.quarantine())
    journal.commit(Parcel(suspects=(Suspect("a", b"", "x"),)), recorded_ms=NOW)
    assert [each.suspect.payload for each in journal.quarantine()] == [b"", b"junk"]


def test_suspects_are_found_by_words_of_reason_and_topic(journal: Journal) -> None:
    rows = [("H1/n1", "no unit"), ("H1/n2", "no unit"), ("H1/n2", "100% junk_")]
    journal.commit(Parcel(suspects=tuple(Suspect(t, b"%d" % i, r) for i, (t, r) in enumerate(rows))), recorded_ms=NOW)

    def found(**words: str) -> list[bytes]:
        return [each.suspect.payload for each in journal.quarantine(**words)]  # type: ignore[arg-type]  # words only

    assert found(reason="unit") == [b"1", b"0"]
    assert found(reason="unit", topic="n2") == [b"1"]
    assert found(reason="%") == [b"2"]
    assert found(reason="k_") == [b"2"]
    assert found(reason="UNIT") == []
    assert [each.suspect.payload for each in journal.quarantine(1, before=2, topic="n")] == [b"0"]


def test_a_page_of_large_messages_holds_fewer(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "PAGE_BYTES", 100)
    large = [Suspect("t", b"%d" % number * 60, "why") for number in range(5)]
    journal.commit(Parcel(suspects=tuple(large)), recorded_ms=NOW)
    pages, before = [], None
    while page := journal.quarantine(before=before):
        pages.append(len(page))
        before = page[-1].id
    assert pages == [2, 2, 1]
