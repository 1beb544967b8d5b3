from __future__ import annotations

from typing import Any

import pytest
from support_ingest import EPOCH, NOW, HandClock, message, reading, weighing

from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.ports.inbox import Answer, Message
from tweeling.services.ingest import Ingest, IngestSettings
from tweeling.services.overload import Limits
from tweeling.wire.ack import Ack, State

TOPIC = "tweeling/v1/H1/n1/ack"


class Bench:
    """An ingest over memory, with clocks in our hands."""

    def __init__(self, **settings: Any) -> None:
        self.journal = MemoryJournal()
        self.clock = HandClock()
        self.seconds = 0.0
        made = IngestSettings(**{"gap_s": 2.0, **settings})
        self.ingest = Ingest(self.journal, self.clock, made, monotonic=lambda: self.seconds)

    def acks(self, *messages: Message) -> list[Ack]:
        return [answer.ack for answer in self.ingest.handle(messages).answers]

    def wanted(self) -> list[tuple[tuple[int, int], ...]]:
        return [answer.ack.want for answer in self.ingest.gaps()]


def test_what_is_committed_is_answered_on_the_nodes_own_topic() -> None:
    outcome = Bench().ingest.handle([message({1: [reading()], 2: [weighing()]})])
    assert outcome.batch is not None
    assert (len(outcome.batch.points), len(outcome.batch.movements)) == (1, 1)
    assert outcome.answers == (Answer(TOPIC, Ack(epoch=EPOCH, committed=((1, 2),))),)


def test_one_answer_speaks_for_all_envelopes_of_a_node() -> None:
    outcome = Bench().ingest.handle(
        [message({1: [reading()]}), message({2: [reading()]}, node="n2"), message({3: [reading()]}, low=3)]
    )
    assert [(answer.topic[-6:], answer.ack.committed) for answer in outcome.answers] == [
        ("n1/ack", ((1, 1), (3, 3))),
        ("n2/ack", ((2, 2),)),
    ]


def test_a_repeat_is_acknowledged_again_and_commits_nothing() -> None:
    bench = Bench()
    sent = message({4: [reading()], 5: [reading()]}, low=4)
    first = bench.acks(sent)
    again = bench.ingest.handle([sent])
    assert again.batch is None
    assert [answer.ack for answer in again.answers] == first


def test_an_answer_names_only_what_came() -> None:
    bench = Bench()
    bench.acks(message({seq: [reading()] for seq in (1, 2, 3)}))
    assert bench.acks(message({4: [reading()]}))[0].committed == ((4, 4),)


def test_a_refusal_is_told_with_its_reason_and_remembered() -> None:
    bench = Bench()
    sent = message({1: [reading(unit="furlong")], 2: [reading()]})
    (ack,) = bench.acks(sent)
    assert (ack.committed, ack.refused) == (((2, 2),), ((1, 1, "unit 'furlong' is unknown"),))
    (again,) = bench.acks(message({1: [reading()]}))  # the same seq, meaningful now: it is settled already
    assert again.committed == ()
    assert [(first, last) for first, last, _ in again.refused] == [(1, 1)]
    assert "refused before" in again.refused[0][2]


def test_a_committed_seq_is_not_refused_later() -> None:
    bench = Bench()
    bench.acks(message({1: [reading()]}))
    (ack,) = bench.acks(message({1: [reading(unit="furlong")]}))
    assert (ack.committed, ack.refused) == (((1, 1),), ())


def test_a_reading_from_the_future_is_refused_beyond_the_skew() -> None:
    bench = Bench(skew_ms=1000)
    (ack,) = bench.acks(message({1: [reading(at=NOW + 1000)], 2: [reading(at=NOW + 2001)]}))
    assert (ack.committed, ack.refused) == (((1, 1),), ((2, 2, "time is 2 s in the future"),))


def test_a_question_is_answered_with_everything_known_of_that_epoch() -> None:
    bench = Bench()
    bench.acks(message({seq: [reading()] for seq in (1, 2, 5)}), message({3: [reading(unit="?")]}))
    (ack,) = bench.acks(message({}, ask=True))
    assert ack.known
    assert ack.committed == ((1, 2), (5, 5))
    assert [(first, last) for first, last, _ in ack.refused] == [(3, 3)]
    (fresh,) = bench.acks(message({}, ask=True, epoch="00000000000000bb"))
    assert (fresh.known, fresh.committed) == (True, ())


def test_a_gap_is_asked_for_once_it_is_no_mere_reordering() -> None:
    bench = Bench()
    assert bench.acks(message({1: [reading()], 5: [reading()]}))[0].want == ()
    bench.seconds = 1.0
    assert bench.wanted() == []
    bench.acks(message({3: [reading()]}))
    bench.seconds = 2.5
    assert bench.wanted() == [((2, 2), (4, 4))]
    bench.acks(message({2: [reading()], 4: [reading()]}))
    bench.seconds = 10.0
    assert bench.wanted() == []


def test_a_gap_is_wanted_in_the_next_answer_too() -> None:
    bench = Bench()
    bench.acks(message({1: [reading()], 3: [reading()]}))
    bench.seconds = 2.0
    assert bench.acks(message({4: [reading()]}))[0].want == ((2, 2),)


def test_what_lies_below_low_or_was_dropped_or_refused_is_no_gap() -> None:
    bench = Bench()
    bench.acks(
        message({3: [reading(unit="?")], 9: [reading()]}, low=3, dropped=((4, 6, "quota"),)),
        message({7: [reading()], 8: [reading()]}, low=2),  # older, and overtaken
    )
    bench.seconds = 5.0
    assert bench.wanted() == []


def test_a_node_that_does_not_answer_is_asked_less_and_less() -> None:
    bench = Bench()
    bench.acks(message({1: [reading()], 3: [reading()]}))
    asked = []
    for second in range(60):
        bench.seconds = float(second)
        if bench.wanted():
            asked.append(second)
    assert asked == [2, 6, 14, 30]


def test_malformed_and_unknown_messages_are_quarantined_and_block_nothing() -> None:
    bench = Bench()
    odd = [
        Message("tweeling/v1/H1/n1/up", b"\x00junk"),
        Message("tweeling/v9/H1/n1/up", b"{}"),
        Message("tweeling/v1/H1/n1/state", b"offline"),
        Message("tweeling/v1/H1/n1/cmd", b"{}"),
    ]
    outcome = bench.ingest.handle([odd[0], message({1: [reading()]}), *odd[1:]])
    assert outcome.batch is not None
    assert [answer.ack.committed for answer in outcome.answers] == [((1, 1),)]
    kept = {(each.suspect.topic, each.suspect.payload): each.suspect.reason for each in bench.journal.quarantine()}
    assert set(kept) == set(odd)
    assert all(kept.values())
    assert [suspect.topic for suspect in outcome.suspects] == [each.topic for each in odd]


def test_presence_is_told_and_remembered_by_node() -> None:
    bench = Bench()
    state = State(online=True, since_ms=5, epoch=EPOCH, queued=7)
    outcome = bench.ingest.handle(
        [
            Message("tweeling/v1/H2/n9/state", state.encode()),
            Message("tweeling/v1/H1/n1/state", state.encode()),
            Message("tweeling/v1/H1/n1/state", state.model_copy(update={"online": False}).encode()),
            Message("tweeling/v1/H1/n3/state", b""),  # forgotten at the broker
        ]
    )
    assert outcome.batch is None
    nodes = bench.ingest.nodes()
    assert [(node.hub, node.node, node.online, node.queued) for node in nodes] == [
        ("H1", "n1", False, 7),
        ("H2", "n9", True, 7),
    ]
    assert set(outcome.presence) == set(nodes)


def test_who_sends_more_than_its_budget_is_told_in_its_acknowledgements() -> None:
    bench = Bench(limits=Limits(sustained=1, burst=2, rate=50))
    sent = [message({seq: [reading()]}) for seq in range(1, 6)]
    (calm,) = bench.ingest.handle(sent[:2]).answers
    (busy,) = bench.ingest.handle(sent[2:]).answers
    assert (calm.ack.rate, calm.ack.retry_after) == (50, 0)
    assert (busy.ack.rate, busy.ack.retry_after) == (1, 3)
    assert busy.ack.committed == ((3, 5),)


def test_an_answer_stays_small_however_torn_the_ranges_are() -> None:
    bench = Bench()
    bench.acks(message({seq: [reading()] for seq in range(1, 4001, 2)}))
    (ack,) = bench.acks(message({}, ask=True))
    assert len(ack.committed) == 1000
    assert ack.committed[-1] == (3999, 3999)


def test_of_epochs_with_a_gap_the_oldest_is_forgotten_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tweeling.services.ingest._MAX_WATCHED", 3)
    bench = Bench()
    for epoch in range(5):
        bench.acks(message({1: [reading()], 3: [reading()]}, epoch=f"{epoch:016x}"))
    bench.seconds = 2.0
    assert [int(answer.ack.epoch, 16) for answer in bench.ingest.gaps()] == [2, 3, 4]


def test_a_presence_message_that_no_screen_could_show_is_quarantined() -> None:
    bench = Bench()
    state = b'{"online":true,"since_ms":999999999999999999999999999999,"epoch":"00000000000000aa"}'
    outcome = bench.ingest.handle([Message("tweeling/v1/H1/n1/state", state)])
    assert (bench.ingest.nodes(), len(outcome.suspects)) == ((), 1)


def test_an_alarm_of_a_node_is_logged_once_and_shown_until_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def tell(alarm: str) -> None:
        state = State(online=True, since_ms=5, epoch=EPOCH, alarm=alarm)
        bench.ingest.handle([Message("tweeling/v1/H1/n1/state", state.encode())])

    for alarm in ("outbox: disk full", "outbox: disk full", "", "outbox: disk full"):
        tell(alarm)
        assert [node.alarm for node in bench.ingest.nodes()] == [alarm]
    assert [record.message for record in caplog.records] == ["node.alarm"] * 2


def test_what_a_node_holds_no_more_and_this_journal_lacks_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for low in (4, 4, 6):
        bench.acks(message({seq: [reading()] for seq in range(low, low + 2)}, low=low, dropped=((2, 2, "quota"),)))
    bench.acks(message({1: [reading()]}, node="n2"))
    told = [record for record in caplog.records if record.message == "node.lacking"]
    assert [(record.__dict__["node"], record.__dict__["readings"]) for record in told] == [("n1", 2)]
    assert (told[0].__dict__["first"], told[0].__dict__["last"]) == (1, 3)
