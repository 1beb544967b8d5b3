"""Projection: in order, once, and through outages."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support_broker import until
from support_store import T0

from tweeling.adapters.intake import KEEP
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.domain.points import Points
from tweeling.domain.telemetry import Movement
from tweeling.errors import InvariantError, RejectedError, UnavailableError
from tweeling.services.projection import Applied, Projector, source
from tweeling.wire import senml
from tweeling.wire.columnar import Decoder
from tweeling.wire.envelope import Envelope

TOPIC = "tweeling/v1/H1/n1/up"
KEY = "H1/H1-A/fillingLevel"


class FragileStore(MemoryStore):
    """A store that does not answer for a while; `deaf` first does as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.deaf = False
        self.asked = threading.Semaphore(0)

    def apply(self, points: Points, *, source: str, through: int) -> None:
        if self.down:
            self.asked.release()
            raise UnavailableError("the store is out")
        super().apply(points, source=source, through=through)
        if self.deaf:
            raise UnavailableError("the store took it and said nothing")


class HoldingStore(MemoryStore):
    """A store that holds what it is given until it is asked, or given more; with a full disk it loses that instead."""

    def __init__(self) -> None:
        super().__init__()
        self.full = False
        self.failures = threading.Semaphore(0)
        self._held: list[tuple[Points, str, int]] = []
        self._lost = False

    def apply(self, points: Points, *, source: str, through: int) -> None:
        self._keep()
        if self._lost:
            self._lost = False
            raise UnavailableError("what was applied last is lost")
        self._held.append((points, source, through))

    def applied(self, source: str) -> int:
        self._keep()
        return super().applied(source)

    def lose(self) -> None:
        """Lose what is held, as when somebody else's question met a full disk."""
        self._held, self._lost = [], True

    def _keep(self) -> None:
        if self._held and self.full:
            self.lose()
            self.failures.release()
            raise UnavailableError("the disk is full")
        for points, whose, through in self._held:
            super().apply(points, source=whose, through=through)
        self._held = []


class FragileFacts(MemoryFacts):
    """Likewise."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False

    def apply_movements(self, movements: Sequence[Movement], *, source: str, through: int) -> None:
        if self.down:
            raise UnavailableError("the facts are out")
        super().apply_movements(movements, source=source, through=through)


class World:
    """A journal, its stores, and what the twin was told."""

    def __init__(self, journal: MemoryJournal | SqliteJournal) -> None:
        self.journal = journal
        self.store = FragileStore()
        self.holding = HoldingStore()
        self.facts = FragileFacts()
        self.told: queue.Queue[Applied] = queue.Queue()
        self.seq = 0

    def projector(self, *, stride: int = 10_000) -> Projector:
        return Projector(self.journal, self.store, self.facts, self.told.put, pace_s=0, stride=stride)

    def commit(self, number: int = 1) -> None:
        """Each batch: a level, and a load of as many grams as its number."""
        for _ in range(number):
            self.seq += 1
            time_ms = T0 + self.seq * 1000
            level = senml.Resolved("H1-A/fillingLevel", time_ms, self.seq / 1000, "/", None)
            weighing = {"mv_": "in", "mat": "gips"}
            load = senml.Resolved("H1-A/scale", time_ms, self.seq, "g", weighing)
            pack = senml.encode([level, load])
            payload = Envelope(node="n1", epoch="00" * 8, runs=((self.seq, self.seq, 2),), pack=pack).to_json()
            parcel = Decoder(skew_ms=0).read([(TOPIC, payload)], now_ms=time_ms)
            assert not parcel.suspects
            assert self.journal.commit(parcel, recorded_ms=time_ms)

    def told_all(self) -> tuple[list[float], list[int]]:
        """The levels and loads that the twin was told of so far."""
        levels: list[float] = []
        loads: list[int] = []
        while not self.told.empty():
            applied = self.told.get()
            levels += applied.points.values.tolist()
            loads += [row.net_g for row in applied.movements]
        return levels, loads

    def stored(self) -> tuple[list[float], list[int]]:
        """The levels and loads that the stores hold."""
        levels = self.store.raw(KEY, start_ms=0, end_ms=T0 * 2).values.tolist()
        return levels, [row.net_g for _, row in self.facts.movements(limit=10_000)]


@pytest.fixture
def world() -> World:
    return World(MemoryJournal())


@contextmanager
def _running(projector: Projector) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        projector.wake()
        thread.join(10)
        assert not thread.is_alive()


def _all(number: int) -> tuple[list[float], list[int]]:
    return [n / 1000 for n in range(1, number + 1)], list(range(1, number + 1))


def test_what_is_committed_is_applied_in_order_and_told_once(world: World) -> None:
    projector = world.projector()
    world.commit(3)
    assert projector.drain() == 3
    world.commit(2)
    assert projector.drain() == 5
    assert projector.drain() == 5
    assert world.stored() == world.told_all() == _all(5)
    assert (projector.status().through, projector.status().last, projector.status().lag) == (5, 5, 0)


def test_many_small_batches_become_few_when_behind(world: World) -> None:
    world.commit(300)
    world.projector().drain()
    assert world.told.qsize() == 2
    assert world.stored() == world.told_all() == _all(300)


def test_a_projector_started_again_tells_only_what_is_new(world: World) -> None:
    world.commit(3)
    world.projector().drain()
    world.told_all()
    world.commit(1)
    world.projector().drain()
    assert world.told_all() == ([0.004], [4])
    assert world.stored() == _all(4)


def test_stores_that_are_not_equally_far_each_get_what_they_lack(world: World) -> None:
    world.commit(4)
    ahead = Points.columns((KEY,), [0, 0], [T0 + 1000, T0 + 2000], [0.001, 0.002], [0, 0])
    world.store.apply(ahead, source=source(world.journal), through=2)
    world.projector().drain()
    assert world.stored() == _all(4)
    assert world.told_all() == ([0.003, 0.004], [1, 2, 3, 4])


def test_an_attempt_that_failed_half_way_is_told_whole_in_the_end(world: World) -> None:
    projector = world.projector()
    world.commit(2)
    projector.drain()
    world.commit(2)
    world.facts.down = True
    with pytest.raises(UnavailableError):
        projector.drain()
    assert world.store.applied(source(world.journal)) == 4
    world.facts.down = False
    world.commit(1)
    projector.drain()
    assert world.stored() == world.told_all() == _all(5)


def test_a_store_that_took_it_and_said_nothing_has_it_once(world: World) -> None:
    projector = world.projector()
    world.commit(2)
    world.store.deaf = True
    with pytest.raises(UnavailableError):
        projector.drain()
    world.store.deaf = False
    projector.drain()
    assert world.stored() == world.told_all() == _all(2)


def test_a_running_projector_follows_every_commit(world: World) -> None:
    projector = world.projector()
    with _running(projector):
        for number in range(1, 6):
            world.commit()
            projector.wake()
            assert world.told.get(timeout=10).through == number
    assert world.stored() == _all(5)


def test_an_outage_is_logged_once_and_caught_up_after(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tweeling")
    projector = world.projector()
    world.store.down = True
    with _running(projector):
        world.commit(3)
        projector.wake()
        for _ in range(3):
            assert world.store.asked.acquire(timeout=10)
        assert projector.status().lost == "the store is out"
        assert projector.status().lag == 3
        world.store.down = False
        assert world.told.get(timeout=10).through == 3
        world.commit(1)
        projector.wake()
        assert world.told.get(timeout=10).through == 4
        assert projector.status().lost is None
    assert [record.message for record in caplog.records] == ["store.lost", "store.back"]
    assert world.stored() == _all(4)


def test_a_store_that_takes_and_cannot_keep_is_lost_once_until_it_keeps(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="tweeling")
    projector = Projector(world.journal, world.holding, world.facts, world.told.put, pace_s=0)
    world.holding.full = True
    with _running(projector):
        for _ in range(2):
            world.commit(1)
            projector.wake()
            assert world.holding.failures.acquire(timeout=10)
        world.holding.full = False
        until(lambda: projector.status().lost is None, "the store is back")
    assert [record.message for record in caplog.records] == ["store.lost", "store.back"]
    assert world.holding.count() == 2
    assert world.told_all() == _all(2)


def test_what_a_store_lost_unnoticed_is_applied_again_without_any_news(world: World) -> None:
    projector = Projector(world.journal, world.holding, world.facts, world.told.put, pace_s=0)
    world.commit(2)
    with _running(projector):
        assert world.told.get(timeout=10).through == 2
        world.holding.lose()  # before anybody has asked whether it is kept
        until(lambda: world.holding.count() == 2, "the points are there again")


def test_the_journal_is_trimmed_behind_what_every_store_holds(world: World) -> None:
    projector = world.projector(stride=10)
    world.commit(45)
    world.facts.down = True
    with pytest.raises(UnavailableError):
        projector.drain()
    assert [batch.number for batch in world.journal.read(0, 100)] == list(range(1, 46))
    world.facts.down = False
    projector.drain()
    with pytest.raises(RejectedError, match="through 45 are trimmed"):
        world.journal.read(44, 100)


def test_a_journal_is_spared_for_as_long_as_somebody_copies_a_store(world: World) -> None:
    projector = world.projector(stride=10)
    projector.spare(3600)
    world.commit(15)
    projector.drain()
    assert len(world.journal.read(0, 100)) == 15
    projector.spare(0)
    world.commit(15)
    projector.drain()
    with pytest.raises(RejectedError, match="through 30 are trimmed"):
        world.journal.read(0, 100)


def test_a_journal_that_is_not_the_one_the_stores_followed_is_refused_loudly() -> None:
    store, facts, journal = MemoryStore(), MemoryFacts(), MemoryJournal()
    store.apply(Points.of(()), source=source(journal), through=5)
    with pytest.raises(InvariantError, match="older copy: they are at batch 5, this one ends at 0"):
        Projector(journal, store, facts).drain()


def test_a_new_journal_is_followed_from_its_beginning(world: World) -> None:
    world.commit(2)
    world.projector().drain()
    second = World(MemoryJournal())
    second.store, second.facts = world.store, world.facts
    second.commit(1)
    second.projector().drain()
    assert second.told_all() == _all(1)


@pytest.fixture
def trimmed(tmp_path: Path) -> Iterator[World]:
    """A journal in a file that holds the last of five batches, whose points and movements were applied."""
    with closing(SqliteJournal(tmp_path / "journal.db", keep=KEEP._replace(trimmed_bytes=0))) as journal:
        world = World(journal)
        world.commit(4)
        world.projector().drain()
        world.told_all()
        world.commit(1)
        yield world


def test_points_that_only_the_trimmed_journal_had_are_missed_once_and_the_rest_goes_on(
    trimmed: World, caplog: pytest.LogCaptureFixture
) -> None:
    trimmed.store = FragileStore()  # a new one: the old one is lost
    projector = trimmed.projector()
    trimmed.store.deaf = True
    with pytest.raises(UnavailableError):
        projector.drain()
    trimmed.store.deaf = False
    assert projector.drain() == 5
    assert trimmed.stored() == ([0.005], [1, 2, 3, 4, 5])
    gaps = [record for record in caplog.records if record.message == "store.gap"]
    assert [(gap.__dict__["after"], gap.__dict__["through"]) for gap in gaps] == [(0, 4)]


def test_records_older_than_the_trimmed_journal_are_told_and_the_hub_goes_on_to_commit(trimmed: World) -> None:
    trimmed.facts = FragileFacts()
    projector = trimmed.projector()
    with _running(projector):
        until(lambda: projector.status().lost is not None, "the store is told as lost")
        assert "records: the records have the weighings of batches through 0" in str(projector.status().lost)
        assert "Restore records and journal of one moment" in str(projector.status().lost)
        trimmed.commit(1)
        assert trimmed.journal.last() == 6
    assert trimmed.stored()[1] == []
