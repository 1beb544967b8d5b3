"""Corrections: a compensating entry goes the way of every weighing."""

from __future__ import annotations

import pytest
from support_ingest import EPOCH, NOW, HandClock, message, reading, weighing

from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.domain.correction import OFFICE, Correction, Instead
from tweeling.domain.telemetry import Identity
from tweeling.errors import InvariantError, RejectedError, UnavailableError
from tweeling.services.corrections import Corrections, Weighed
from tweeling.services.ingest import Ingest
from tweeling.services.projection import Projector
from tweeling.services.twin import Twin


class FullJournal(MemoryJournal):
    full = False

    def commit(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]  # passed through
        if self.full:
            raise UnavailableError("the disk is full")
        return super().commit(*args, **kwargs)  # type: ignore[arg-type]  # likewise


class Bench:
    def __init__(self) -> None:
        self.journal, self.facts, store = FullJournal(), MemoryFacts(), MemoryStore()
        self.clock, self.real = HandClock(NOW + 5000), HandClock(77)
        self.twin = Twin(store, self.facts)
        self.projector = Projector(
            self.journal, store, self.facts, lambda news: self.twin.apply(news.points, news.movements)
        )
        self.ingest = Ingest(self.journal, self.clock)
        self.told: list[int] = []
        self.corrections = Corrections(
            self.journal,
            self.facts,
            clock=self.clock,
            real=self.real,
            skew_ms=1000,
            on_batch=lambda: self.told.append(1),
        )
        load = weighing(12_000, par="P01", tkt="T-7", lot="L", grs=20_000, tar=8_000)
        self.ingest.handle([message({1: [reading(), load, weighing(12_000)]})])
        self.projector.drain()

    def correct(self, number: int, *, reason: str = "typed wrong", **instead: object) -> None:
        self.corrections.correct(
            number,
            by="anna",
            token="maintainer",
            reason=reason,
            instead=Instead(**instead),  # type: ignore[arg-type]
        )
        self.projector.drain()

    def stock(self, zone: str = "H1-A") -> dict[str, int]:
        thing = next(thing for thing in self.twin.things() if thing.thing == zone)
        return dict(thing.stock_g)

    def rows(self) -> list[Weighed]:
        return list(self.corrections.page(20))


def test_a_weighing_that_was_none_is_taken_back_to_the_gram() -> None:
    bench = Bench()
    assert bench.stock() == {"wood": 24_000}
    bench.correct(1)
    assert bench.stock() == {"wood": 12_000}
    (balance,) = bench.facts.balances()
    assert (balance.in_g, balance.out_g, balance.loads) == (24_000, 12_000, 3)  # nothing is gone from the books
    entry = bench.rows()[0].movement
    assert (entry.identity.node, entry.direction, entry.net_g, entry.time_ms) == (OFFICE, "out", 12_000, NOW)
    assert (entry.partner, entry.ticket, entry.lot, entry.gross_g) == ("P01", "T-7", None, None)
    assert bench.told == [1]


def test_a_weighing_that_was_wrong_is_taken_back_and_entered_right_in_one_commit() -> None:
    bench = Bench()
    before = bench.journal.last()
    bench.correct(1, net_g=21_000, material="steel")
    assert bench.journal.last() == before + 1
    assert bench.stock() == {"wood": 12_000, "steel": 21_000}
    assert [row.movement.net_g for row in bench.rows()] == [21_000, 12_000, 12_000, 12_000]


def test_a_load_in_the_wrong_zone_is_moved() -> None:
    bench = Bench()
    bench.ingest.handle([message({9: [reading(name="H1-B/fillingLevel")]})])
    bench.correct(1, zone="H1-B")
    assert (bench.stock("H1-A"), bench.stock("H1-B")) == ({"wood": 12_000}, {"wood": 12_000})


def test_who_when_and_why_stand_beside_the_weighing_and_its_entries() -> None:
    bench = Bench()
    bench.correct(1, net_g=1)
    said = Correction("anna", "maintainer", "typed wrong", 77)
    assert [(row.number, row.corrected, row.correction) for row in bench.rows()] == [
        (4, False, said),
        (3, False, said),
        (2, False, None),
        (1, True, said),
    ]


def test_a_weighing_is_corrected_once_and_its_successor_once_more() -> None:
    bench = Bench()
    bench.correct(1, net_g=21_000)
    with pytest.raises(RejectedError, match=r"weighing 1 is corrected already: typed wrong \(anna\)"):
        bench.correct(1, reason="again")
    with pytest.raises(InvariantError, match="only takes another weighing back"):
        bench.correct(3)
    assert bench.stock() == {"wood": 33_000}
    bench.correct(4, net_g=20_999)
    assert bench.stock() == {"wood": 32_999}


def test_of_two_equal_loads_in_one_millisecond_one_is_corrected() -> None:
    bench = Bench()
    assert [row.movement.identity for row in bench.rows()] == [
        Identity("H1", "n1", EPOCH, 1, index) for index in (2, 1)
    ]
    bench.correct(2)
    assert [row.corrected for row in bench.rows()] == [False, True, False]
    assert bench.stock() == {"wood": 12_000}


@pytest.mark.parametrize(
    ("number", "instead", "why"),
    [
        (99, {}, "number: no weighing has the number 99"),
        (1, {"zone": "no such/zone"}, "correction: name"),
        (1, {"net_g": 10**13}, "correction: weighing: net_g"),
        (1, {"material": "x" * 65}, "correction: weighing: material"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(number: int, instead: dict[str, object], why: str) -> None:
    bench = Bench()
    with pytest.raises(InvariantError, match=why):
        bench.correct(number, **instead)
    assert (len(bench.rows()), bench.journal.quarantine(), bench.told) == (2, [], [])


def test_a_correction_that_the_journal_did_not_take_is_asked_again() -> None:
    bench = Bench()
    bench.journal.full = True
    with pytest.raises(UnavailableError):
        bench.correct(1, reason="first try")
    assert not bench.rows()[1].corrected
    bench.journal.full = False
    bench.correct(1, reason="second try")
    bench.ingest.handle([message({2: [weighing(1)]})])
    assert bench.rows()[2].correction == Correction("anna", "maintainer", "second try", 77)
    assert bench.stock() == {"wood": 12_000}
