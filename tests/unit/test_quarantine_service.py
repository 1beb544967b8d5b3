from __future__ import annotations

import pytest
from support_fsck import FURLONG
from support_ingest import EPOCH, NOW, SKEW, HandClock, message, reading, weighing

from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.domain import units
from tweeling.errors import InvariantError
from tweeling.ports.inbox import Message
from tweeling.ports.journal import Again, NodeEpoch, Replayed
from tweeling.services import quarantine
from tweeling.services.ingest import Ingest
from tweeling.services.quarantine import Progress, Quarantine, Words

N1 = NodeEpoch("H1", "n1", EPOCH)
UP = "tweeling/v1/H1/n1/up"
HOUR = 3_600_000


class Desk:
    """A journal, what goes into it, and its quarantine."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.journal = MemoryJournal()
        self.told = 0
        self.ingest = Ingest(self.journal, self.clock)
        self.quarantine = Quarantine(self.journal, self.clock, skew_ms=SKEW, on_batch=self._tell)

    def _tell(self) -> None:
        self.told += 1


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that knows one unit more."""
    monkeypatch.setitem(units._CONVERSIONS, "furlong", units.Conversion("m", 201.168))


@pytest.mark.usefixtures("fixed")
def test_after_a_fix_a_message_is_committed_and_the_projection_told() -> None:
    desk = Desk()
    with pytest.MonkeyPatch.context() as before:
        before.delitem(units._CONVERSIONS, "furlong")
        desk.ingest.handle([message({1: [FURLONG], 2: [weighing(7)]})])
        (kept,) = desk.quarantine.page(9)
        assert desk.quarantine.replay(kept.id) == Progress(1, 0, 0, 1, None)
        assert desk.told == 0
    assert desk.quarantine.replay(kept.id) == Progress(1, 1, 0, 0, None)
    assert desk.told == 1
    assert desk.journal.settled(N1).committed.ranges == ((1, 2),)
    (_, batch) = desk.journal.read(0, 9)
    assert batch.points.values.tolist() == [402.336]
    assert desk.quarantine.replay(kept.id) is None


def test_a_time_relative_to_when_it_came_keeps_its_meaning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.ingest.handle([message({1: [{"n": "H1-B/distance", "u": "furlong", "v": 1, "t": -60}]})])
    desk.clock.at = NOW + HOUR
    monkeypatch.setitem(units._CONVERSIONS, "furlong", units.Conversion("m", 201.168))
    desk.quarantine.replay_page()
    (batch,) = desk.journal.read(0, 9)
    assert batch.points.times.tolist() == [NOW - 60_000]
    assert batch.recorded_ms == NOW + HOUR


def test_what_lay_in_the_future_is_judged_by_the_time_that_it_is_now(desk: Desk) -> None:
    desk.ingest.handle([message({1: [reading(at=NOW + HOUR)], 2: [reading(at=NOW + 3 * HOUR)]})])
    desk.clock.at = NOW + HOUR
    assert desk.quarantine.replay_page()[:4] == (1, 1, 0, 1)
    assert [each.suspect.reason for each in desk.quarantine.page(9)] == ["seq 2: time is 10800 s in the future"]
    desk.clock.at = NOW + 3 * HOUR
    assert desk.quarantine.replay_page()[:4] == (1, 1, 0, 0)
    assert list(desk.quarantine.page(9)) == []


def test_a_clock_that_went_back_refuses_as_before(desk: Desk) -> None:
    desk.ingest.handle([message({1: [reading(at=NOW + HOUR)]})])
    desk.clock.at = NOW - HOUR
    assert desk.quarantine.replay_page()[:4] == (1, 0, 0, 1)


def test_pages_come_to_an_end_though_the_suspect_stay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "PAGE", 2)
    desk.ingest.handle([Message(UP, b"junk %d" % number) for number in range(5)])
    sums, before = [], None
    while (done := desk.quarantine.replay_page(before=before)).replayed:
        sums.append(done[:4])
        before = done.before
    assert sums == [(2, 0, 0, 2), (2, 0, 0, 2), (1, 0, 0, 1)]
    assert desk.quarantine.replay_page(words=Words(topic="n2")) == Progress()


def test_one_message_that_cannot_be_kept_stays_and_blocks_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [message({1: [reading(at=NOW + HOUR)]}, node=node) for node in ("n1", "n2", "n3")]
    desk.ingest.handle(sent)
    honest = desk.journal.replay

    def wicked(messages: list[Again], *, recorded_ms: int) -> Replayed:
        if any(each.parcel.arrivals and each.parcel.arrivals[0].head.node == "n2" for each in messages):
            raise InvariantError("cannot be kept: too large", field="journal")
        return honest(messages, recorded_ms=recorded_ms)

    monkeypatch.setattr(desk.journal, "replay", wicked)
    desk.clock.at = NOW + HOUR
    assert desk.quarantine.replay_page()[:4] == (3, 2, 0, 1)
    (kept,) = desk.quarantine.page(9)
    assert kept.suspect == (sent[1].topic, sent[1].payload, "journal: cannot be kept: too large")


def test_presence_that_is_understood_later_leaves_and_commits_nothing(desk: Desk) -> None:
    topic = "tweeling/v1/H1/n1/state"
    desk.ingest.handle([Message(topic, b"{")])
    assert desk.quarantine.page(1)[0].suspect.reason.startswith("state:")
    assert desk.quarantine.replay_page()[:4] == (1, 0, 0, 1)
