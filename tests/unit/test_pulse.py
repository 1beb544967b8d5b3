"""The pulse of a hub, with clocks and disk in our hands."""

from __future__ import annotations

import pytest
from support_custody import Bench as Log
from support_custody import shipping
from support_ingest import NOW, HandClock, arrival, message, of, reading

from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.adapters.memory_ledger import MemoryLedger
from tweeling.domain.vitals import Disk
from tweeling.errors import UnavailableError
from tweeling.ports.inbox import Message
from tweeling.services.anchoring import Anchoring, Batching
from tweeling.services.ingest import Ingest
from tweeling.services.projection import Projector
from tweeling.services.pulse import Pulse

GB = 10**9


class SilentJournal(MemoryJournal):
    silent = False

    def counts(self) -> dict[str, int]:
        if self.silent:
            raise UnavailableError("the journal does not answer")
        return super().counts()


class Bench:
    def __init__(self, *, speed: float = 1.0) -> None:
        self.journal, self.clock, self.seconds, self.disk = SilentJournal(), HandClock(), 0.0, Disk(GB, 500 * GB)
        self.ingest = Ingest(self.journal, self.clock, monotonic=lambda: self.seconds)
        self.projector = Projector(self.journal, MemoryStore(), MemoryFacts())
        self.log = Log()
        self.anchoring = Anchoring(
            self.log.store,
            MemoryLedger(bytes(32)),
            MemoryFacts(),
            clock=self.log.clock,
            batching=Batching(max_entries=1),
        )
        self.pulse = Pulse(
            journal=self.journal,
            projector=self.projector,
            ingested=self.ingest.ingested,
            custody=self.log.custody,
            anchoring=self.anchoring,
            disk=lambda: self.disk,
            clock=self.clock,
            real=self.log.clock,
            speed=speed,
            monotonic=lambda: self.seconds,
        )

    def live(self, seconds: int, *, readings: int = 0, grows: int = 0) -> None:
        """Time goes on; so many readings a second come, and so many bytes."""
        for _ in range(seconds):
            self.seconds += 1
            self.disk = Disk(self.disk.used + grows, self.disk.free - grows)
            if readings:
                seq = self.journal.counts()["readings"] + 1
                rows = {seq: [reading(at=NOW + seq * 1000 + row) for row in range(readings)]}
                self.journal.commit(of([arrival(rows, now_ms=NOW + 10**9)]), recorded_ms=self.clock.at)
            self.pulse.look()


def test_before_anything_was_seen_twice_no_rate_is_known() -> None:
    vitals = Bench().pulse.vitals()
    assert (vitals.readings_per_s, vitals.disk_growth, vitals.disk_days, vitals.anchor_age_s) == (None,) * 4
    assert (vitals.lag_batches, vitals.lag_s, vitals.gaps.seqs, vitals.quarantined, vitals.pending) == (0, 0, 0, 0, 0)


def test_readings_a_second_are_those_of_now_and_of_the_minute() -> None:
    bench = Bench()
    bench.live(61, readings=6)
    bench.live(20)
    vitals = bench.pulse.vitals()
    assert vitals.readings_per_s == 0
    assert vitals.readings_per_s_minute == pytest.approx(4)


def test_the_disk_is_told_in_days_once_its_growth_was_watched_for_ten_minutes() -> None:
    bench = Bench()
    bench.live(590, grows=10_000)
    assert bench.pulse.vitals().disk_days is None
    bench.live(20, grows=10_000)
    vitals = bench.pulse.vitals()
    assert vitals.disk_growth == pytest.approx(864e6)
    assert vitals.disk_days == pytest.approx(bench.disk.free / 864e6)
    assert bench.pulse.disk().ok
    assert "days at 864 MB a day" in bench.pulse.disk().detail
    bench.disk = Disk(bench.disk.used, 6 * 864 * 10**6)
    part = bench.pulse.disk()
    assert (part.ok, part.detail) == (False, "5.2 GB free, 6 days at 864 MB a day")


def test_a_disk_whose_data_does_not_grow_lasts_without_a_number_of_days() -> None:
    bench = Bench()
    bench.live(700)
    vitals = bench.pulse.vitals()
    assert (vitals.disk_growth, vitals.disk_days) == (0, None)
    bench.disk = Disk(GB, 10**8)
    assert not bench.pulse.disk().ok


@pytest.mark.parametrize("speed", [1, 600])
def test_lag_is_the_age_of_the_oldest_batch_that_waits_in_the_machines_own_seconds(speed: float) -> None:
    bench = Bench(speed=speed)
    bench.projector.drain()
    bench.live(3, readings=1)
    bench.clock.at += round(4000 * speed)
    vitals = bench.pulse.vitals()
    assert (vitals.lag_batches, vitals.lag_s, vitals.journal_batches) == (3, 4, 3)
    bench.projector.drain()
    assert bench.pulse.vitals().lag_s == 0


def test_what_is_missing_and_what_had_no_meaning_is_told() -> None:
    bench = Bench()
    bench.ingest.handle([message({1: [reading()], 5: [reading()]}), Message("elsewhere", b"junk")])
    assert bench.pulse.vitals().gaps.seqs == 0  # it may be mere reordering
    bench.seconds += 30
    vitals = bench.pulse.vitals()
    assert (vitals.gaps.seqs, vitals.gaps.outboxes, vitals.gaps.oldest_s) == (3, 1, 30)
    assert vitals.quarantined == 1
    assert "topic" in vitals.quarantine_reason
    assert (sum(vitals.commit_s.counts), vitals.commit_messages.total) == (1, 2)
    bench.ingest.handle([message({seq: [reading()] for seq in (2, 3, 4)})])
    assert bench.pulse.vitals().gaps.seqs == 0


def test_pending_events_and_the_age_of_the_anchored_head_are_told() -> None:
    bench = Bench()
    bench.log.capture(shipping(1))
    bench.log.integrate()
    assert bench.pulse.vitals().pending == 1
    bench.anchoring.step()
    bench.log.capture(shipping(2))
    bench.log.clock.ms += 9000
    vitals = bench.pulse.vitals()
    assert (vitals.pending, vitals.anchor_age_s) == (1, 9)


def test_a_journal_that_does_not_answer_is_no_reason_to_stop_looking() -> None:
    bench = Bench()
    bench.journal.silent = True
    bench.live(5)
    with pytest.raises(UnavailableError):
        bench.pulse.vitals()
    bench.journal.silent = False
    bench.live(5)
    assert bench.pulse.vitals().readings_per_s == 0
