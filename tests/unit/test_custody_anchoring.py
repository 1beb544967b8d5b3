from __future__ import annotations

import logging
import threading

import pytest
from support_custody import Bench, shipping

from tweeling.adapters.memory_ledger import MemoryLedger
from tweeling.domain.log import Anchor, Head
from tweeling.errors import RejectedError, UnavailableError, VerificationError
from tweeling.services.anchoring import Anchoring, Batching

EACH = Batching(max_entries=1)


def _anchoring(bench: Bench, batching: Batching = EACH) -> Anchoring:
    return Anchoring(bench.store, bench.ledger, clock=bench.clock, batching=batching)


def _grow(bench: Bench, first: int, last: int) -> None:
    bench.capture(*(shipping(number) for number in range(first, last)))
    bench.integrate()


def test_each_checkpoint_is_anchored_as_an_extension_of_the_last() -> None:
    bench = Bench()
    anchoring = _anchoring(bench)
    assert anchoring.step() is None
    for last in (3, 4, 11):
        _grow(bench, bench.store.size(), last)
        anchor = anchoring.step()
        assert anchor is not None
        assert bench.ledger.head() == Head(last, anchor.root)
        assert bench.store.anchor() == anchor
        assert anchoring.step() is None


def test_a_batch_waits_for_number_or_age_whichever_comes_first() -> None:
    bench = Bench()
    anchoring = _anchoring(bench, Batching(max_entries=5, max_age_ms=10_000))
    _grow(bench, 0, 3)
    bench.clock.ms += 8_000
    assert anchoring.step() is None
    _grow(bench, 3, 5)
    assert anchoring.step() is not None
    _grow(bench, 5, 6)
    assert anchoring.step() is None
    bench.clock.ms += 10_000
    assert anchoring.step() is not None


def test_what_only_the_answer_was_lost_of_is_found_on_the_chain() -> None:
    bench = Bench()
    _grow(bench, 0, 3)
    _anchoring(bench).step()
    bench.store.drop_anchors(above=0)
    assert _anchoring(bench).step() is None
    assert bench.store.anchor() == bench.ledger.find(3)


def test_a_chain_that_has_forgotten_is_anchored_again() -> None:
    bench = Bench()
    anchoring = _anchoring(bench)
    _grow(bench, 0, 3)
    anchoring.step()
    _grow(bench, 3, 7)
    anchoring.step()
    bench.ledger.restart()
    assert bench.custody.counts()["anchored"] == 7
    anchoring.step()
    assert bench.ledger.head().size == 7
    newest = bench.store.anchor()
    assert newest is not None
    assert newest.block == 1
    assert bench.store.anchor(covering=0) == newest


@pytest.mark.parametrize("size", [2, 3, 9])
def test_a_head_that_is_not_in_this_log_is_told_aloud_and_nothing_goes_over_it(size: int) -> None:
    bench = Bench()
    _grow(bench, 0, 5)
    bench.ledger.anchor(size, b"\x13" * 32, [])
    with pytest.raises(VerificationError) as refused:
        _anchoring(bench).step()
    assert refused.value.field in {"head.size", "head.root"}
    assert bench.ledger.head().size == size


def test_the_ledger_in_memory_judges_as_the_contract_does() -> None:
    bench = Bench()
    _grow(bench, 0, 5)
    _anchoring(bench).step()
    head = bench.ledger.head()
    assert bench.ledger.anchor(*head, []) == bench.ledger.find(5)
    with pytest.raises(RejectedError):
        bench.ledger.anchor(4, bytes(32), [])
    with pytest.raises(RejectedError):
        bench.ledger.anchor(6, bytes(32), [bytes(32)])


def test_a_ledger_that_is_down_leaves_entries_pending_and_says_why_once_and_once_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Signalling(MemoryLedger):
        def __init__(self) -> None:
            super().__init__(bytes(32))
            self.asked, self.anchored = threading.Semaphore(0), threading.Event()

        def head(self) -> Head:
            self.asked.release()
            return super().head()

        def anchor(self, *args: object, **kwargs: object) -> Anchor:
            made = super().anchor(*args, **kwargs)  # type: ignore[arg-type]  # passed through
            self.anchored.set()
            return made

    caplog.set_level(logging.INFO, "tweeling.anchoring")
    bench, ledger, stop = Bench(), Signalling(), threading.Event()
    ledger.reachable = False
    anchoring = Anchoring(bench.store, ledger, clock=bench.clock, batching=EACH, backoff_s=(0.01, 0.02))
    thread = threading.Thread(target=anchoring.run, args=(stop,))
    _grow(bench, 0, 2)
    thread.start()
    anchoring.wake()
    for _ in range(3):
        assert ledger.asked.acquire(timeout=10)
    health = anchoring.health()
    assert not health.ok
    assert "does not answer" in health.detail
    assert "2 pending" in health.detail
    _grow(bench, 2, 3)  # capture goes on
    ledger.reachable = True
    assert ledger.anchored.wait(10)
    while not anchoring.health().ok:
        anchoring.wake()
        assert ledger.asked.acquire(timeout=10)
    stop.set()
    anchoring.wake()
    thread.join(10)
    said = [record.message for record in caplog.records]
    assert said.count("ledger.lost") == said.count("ledger.back") == 1


def test_an_account_that_will_soon_be_empty_is_no_good_news() -> None:
    class Dear(MemoryLedger):
        left: int | None = 250

        def affords(self) -> int | None:
            return self.left

    bench, ledger = Bench(), Dear(bytes(32))
    anchoring = Anchoring(bench.store, ledger, clock=bench.clock, batching=EACH)
    anchoring.step()
    assert (anchoring.left, anchoring.health().ok) == (250, True)
    _grow(bench, 0, 2)
    ledger.left = 99
    anchoring.step()
    assert not anchoring.health().ok
    assert "can pay 99 more anchors" in anchoring.health().detail
    ledger.left = 400  # somebody has filled it up
    anchoring.step()
    assert anchoring.health().ok


def test_an_answer_of_no_is_told_and_capture_goes_on() -> None:
    class Refusing(MemoryLedger):
        def anchor(self, *_: object) -> Anchor:
            raise RejectedError("not the operator")

    bench = Bench()
    _grow(bench, 0, 2)
    with pytest.raises(RejectedError):
        Anchoring(bench.store, Refusing(bytes(32)), clock=bench.clock, batching=EACH).step()
    down = MemoryLedger(bytes(32))
    down.reachable = False
    with pytest.raises(UnavailableError):
        Anchoring(bench.store, down, clock=bench.clock).step()
