from __future__ import annotations

import logging
import threading

import pytest
from support_custody import Bench, shipping

from tweeling.adapters.memory_ledger import MemoryLedger
from tweeling.domain.log import Account, Anchor, Head
from tweeling.errors import ConfigError, LedgerError, RejectedError, Trouble, UnavailableError, VerificationError
from tweeling.services.anchoring import Anchoring, Batching

EACH = Batching(max_entries=1)


def _anchoring(bench: Bench, batching: Batching = EACH) -> Anchoring:
    return Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=batching)


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
    assert bench.custody.counts()["anchored"] == 3, "as it was before, size by size"
    anchoring.step()
    assert [(anchor.size, anchor.block) for anchor in bench.store.anchors()] == [(3, 1), (7, 2)]


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
    anchoring = Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH, backoff_s=(0.01, 0.02))
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


def test_a_chain_is_not_asked_for_every_checkpoint_but_when_something_is_due() -> None:
    class Counting(MemoryLedger):
        def __init__(self) -> None:
            super().__init__(bytes(32))
            self.asked, self.first, self.anchored = 0, threading.Event(), threading.Event()

        def head(self) -> Head:
            self.asked += 1
            self.first.set()
            return super().head()

        def anchor(self, *args: object) -> Anchor:
            made = super().anchor(*args)  # type: ignore[arg-type]  # passed through
            self.anchored.set()
            return made

    bench, ledger, stop = Bench(), Counting(), threading.Event()
    batching = Batching(max_entries=5, max_age_ms=60_000)
    anchoring = Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, batching=batching)
    thread = threading.Thread(target=anchoring.run, args=(stop,))
    thread.start()
    assert ledger.first.wait(10)
    for size in range(1, 5):
        _grow(bench, size - 1, size)
        anchoring.wake()
    asked = ledger.asked
    _grow(bench, 4, 5)
    anchoring.wake()
    assert ledger.anchored.wait(10)
    assert asked == 1
    stop.set()
    anchoring.end()
    thread.join(10)
    assert not thread.is_alive()


def test_an_account_that_will_soon_be_empty_is_no_good_news() -> None:
    class Dear(MemoryLedger):
        left: int | None = 250

        def account(self) -> Account:
            return Account(1, None, self.left)

    bench, ledger = Bench(), Dear(bytes(32))
    anchoring = Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH)
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
        Anchoring(bench.store, Refusing(bytes(32)), bench.facts, clock=bench.clock, batching=EACH).step()
    down = MemoryLedger(bytes(32))
    down.reachable = False
    with pytest.raises(UnavailableError):
        Anchoring(bench.store, down, bench.facts, clock=bench.clock).step()


def _deep(bench: Bench, confirmations: int) -> Anchoring:
    return Anchoring(
        bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH, confirmations=confirmations
    )


def test_an_anchor_counts_when_enough_blocks_confirm_it_and_until_then_it_is_seen() -> None:
    bench = Bench()
    anchoring = _deep(bench, 3)
    _grow(bench, 0, 2)
    seen = anchoring.step()
    assert seen is not None
    assert bench.store.anchor() is None
    assert bench.custody.counts()["anchored"] == 0
    assert anchoring.health().detail == (
        "nothing anchored yet, size 2 seen in block 1, 1 of 3 confirmations, 2 pending"
    )
    bench.ledger.mine()
    anchoring.step()
    assert "2 of 3 confirmations" in anchoring.health().detail
    signs = anchoring.signs()
    assert (signs.unconfirmed, signs.confirmations, signs.wanted) == (1, 2, 3)
    bench.ledger.mine()
    anchoring.step()
    assert bench.store.anchor() == seen
    assert anchoring.health().detail == "anchored to size 2 in block 1, 0 pending"


def test_later_anchors_do_not_wait_for_those_before_to_be_confirmed() -> None:
    bench = Bench()
    anchoring = _deep(bench, 3)
    for last in (2, 3, 5):
        _grow(bench, bench.store.size(), last)
        assert anchoring.step() is not None
    assert [anchor.size for anchor in bench.store.anchors()] == [2], "three blocks deep, under two more"
    bench.ledger.mine(2)
    anchoring.step()
    assert [anchor.size for anchor in bench.store.anchors()] == [2, 3, 5]


def test_what_was_seen_before_a_restart_is_seen_again_from_the_chain() -> None:
    bench = Bench()
    for last in (2, 3):
        _grow(bench, bench.store.size(), last)
        _deep(bench, 3).step()
    bench.ledger.mine()
    again = _deep(bench, 3)
    assert again.step() is None
    assert [anchor.size for anchor in bench.store.anchors()] == [2]
    assert again.signs().unconfirmed == 1
    bench.ledger.mine()
    _deep(bench, 3).step()
    assert [anchor.size for anchor in bench.store.anchors()] == [2, 3]


def test_a_reorganisation_that_keeps_an_anchor_moves_it_to_its_new_block() -> None:
    bench = Bench()
    anchoring = _anchoring(bench)
    _grow(bench, 0, 3)
    before = anchoring.step()
    bench.ledger.reorganise(above=0, keep=True)
    assert anchoring.step() is None
    after = bench.store.anchor()
    assert before is not None
    assert after is not None
    assert (after.size, after.block) == (before.size, before.block + 1)
    assert after.block_hash != before.block_hash
    assert anchoring.signs().reorganisations == 1


def test_everything_that_was_anchored_is_anchored_again_size_by_size_before_anything_new() -> None:
    bench = Bench()
    anchoring = _anchoring(bench)
    for last in (2, 3, 5, 8):
        _grow(bench, bench.store.size(), last)
        anchoring.step()
    _grow(bench, 8, 9)
    bench.ledger.reorganise(above=2)
    done: list[int] = []
    for _ in range(4):  # a restart in between forgets nothing
        anchor = _anchoring(bench).step()
        assert anchor is not None
        done.append(anchor.size)
    assert done == [3, 5, 8, 9]
    assert [anchor.size for anchor in bench.store.anchors()] == [2, 3, 5, 8, 9]
    assert _anchoring(bench).step() is None


def test_what_is_owed_and_seen_again_is_no_reason_to_ask_at_once() -> None:
    bench = Bench()
    anchoring = _deep(bench, 2)
    _grow(bench, 0, 3)
    anchoring.step()
    bench.ledger.mine()
    anchoring.step()
    bench.ledger.reorganise(above=0)
    assert anchoring._due_in_s() is None, "nobody knows of it yet"
    again = anchoring.step()
    assert again is not None
    assert anchoring.signs().unconfirmed == 1
    assert anchoring._due_in_s() is None, "it waits for a block to come"


def test_what_was_only_seen_is_not_owed_again() -> None:
    bench = Bench()
    anchoring = _deep(bench, 3)
    for last in (2, 3):
        _grow(bench, bench.store.size(), last)
        anchoring.step()
    _grow(bench, 3, 6)
    bench.ledger.reorganise(above=0)
    anchor = anchoring.step()
    assert anchor is not None
    assert anchor.size == 6, "no receipt speaks of sizes that were never called anchored"
    assert anchoring.signs().unconfirmed == 1


def test_a_node_that_is_behind_is_waited_for_until_the_chain_is_taken_to_be_cut_back() -> None:
    class Lagging(MemoryLedger):
        lags = False

        def depth(self, anchor: Anchor) -> int:
            if self.lags:
                raise LedgerError("the node is at block 0", trouble=Trouble.BEHIND)
            return super().depth(anchor)

    bench, ledger, now = Bench(), Lagging(bytes(32)), [0.0]
    anchoring = Anchoring(
        bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH, patience_s=30, monotonic=lambda: now[0]
    )
    _grow(bench, 0, 3)
    anchoring.step()
    ledger.lags = True
    for now[0] in (1, 20):
        with pytest.raises(LedgerError, match="at block 0"):
            anchoring.step()
    assert bench.store.anchor() is not None
    ledger.lags = False
    anchoring.step()
    ledger.lags = True
    now[0] = 40
    with pytest.raises(LedgerError):
        anchoring.step()
    assert bench.store.anchor() is not None, "patience began anew"
    now[0] = 71
    ledger.restart()
    anchor = anchoring.step()
    assert anchor is not None
    assert anchor.size == 3


def test_what_a_chain_that_was_cut_back_still_holds_is_kept() -> None:
    class CutBack(MemoryLedger):
        def depth(self, anchor: Anchor) -> int:
            if (depth := super().depth(anchor)) == 0:
                raise LedgerError("the node is not there yet", trouble=Trouble.BEHIND)
            return depth

    bench, ledger, now = Bench(), CutBack(bytes(32)), [0.0]
    anchoring = Anchoring(
        bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH, patience_s=30, monotonic=lambda: now[0]
    )
    for last in (2, 3, 4, 5, 8):
        _grow(bench, bench.store.size(), last)
        anchoring.step()
    ledger.reorganise(above=3)
    with pytest.raises(LedgerError):
        anchoring.step()
    now[0] = 100
    assert [anchor.size for anchor in iter(anchoring.step, None) if anchor] == [4, 5, 8]


def test_a_node_that_is_behind_the_head_that_was_shown_is_not_believed() -> None:
    class Behind(MemoryLedger):
        shown: Head | None = None

        def head(self) -> Head:
            return self.shown or super().head()

    bench, ledger = Bench(), Behind(bytes(32))
    anchoring = Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH)
    for last in (2, 5):
        _grow(bench, bench.store.size(), last)
        anchoring.step()
    first = ledger.find(2)
    assert first is not None
    ledger.shown = Head(2, first.root)
    with pytest.raises(LedgerError, match="holds size 2, behind what the chain has shown, 5"):
        anchoring.step()
    assert bench.store.anchor() == ledger.find(5)


def test_a_node_that_shows_another_root_than_the_contract_can_have_taken_is_not_believed() -> None:
    class Lying(MemoryLedger):
        def since(self, anchor: Anchor | None) -> list[Anchor]:
            return [each._replace(root=bytes(32)) if each.size == 2 else each for each in super().since(anchor)]

    bench, ledger = Bench(), Lying(bytes(32))
    for last in (2, 3):
        _grow(bench, bench.store.size(), last)
        Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH).step()
    bench.store.drop_anchors(above=0)
    with pytest.raises(LedgerError, match="another root for size 2"):
        Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, batching=EACH).step()
    assert bench.store.anchors() == []


def test_a_log_goes_on_in_another_contract_from_the_very_head_at_which_it_was_retired() -> None:
    bench = Bench()
    for last in (2, 5):
        _grow(bench, bench.store.size(), last)
        _anchoring(bench).step()
    _grow(bench, 5, 7)
    retired = bench.ledger.head()
    after = MemoryLedger(bytes([9] * 32))
    anchoring = Anchoring(bench.store, after, bench.facts, clock=bench.clock, batching=EACH, first=retired)
    sizes = [anchor.size for anchor in (anchoring.step(), anchoring.step()) if anchor]
    assert sizes == [5, 7]
    assert [(anchor.size, anchor.log_id) for anchor in bench.store.anchors()] == [(5, after.log_id), (7, after.log_id)]


@pytest.mark.parametrize("first", [Head(5, bytes(32)), Head(9, bytes(32))])
def test_a_log_does_not_go_on_from_a_head_that_it_never_had(first: Head) -> None:
    bench = Bench()
    _grow(bench, 0, 7)
    anchoring = Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH, first=first)
    with pytest.raises(VerificationError, match="a root that is not this log's"):
        anchoring.step()
    assert bench.ledger.head().size == 0


def test_a_log_that_did_not_begin_elsewhere_with_its_retired_head_is_not_gone_on_with() -> None:
    bench = Bench()
    _grow(bench, 0, 3)
    _anchoring(bench).step()
    _grow(bench, 3, 7)
    first = Head(5, bytes(32))
    with pytest.raises(VerificationError, match="it was not continued there"):
        Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH, first=first).step()


def test_every_trouble_is_named_in_a_word_and_a_node_is_left_alone_for_as_long_as_it_asks() -> None:
    troubles: list[tuple[Exception, Trouble]] = [
        (UnavailableError("down"), Trouble.DOWN),
        (LedgerError("dear", trouble=Trouble.FEE), Trouble.FEE),
        (RejectedError("no"), Trouble.REFUSED),
        (ConfigError("another", field="ledger.chain_id"), Trouble.CHAIN),
        (ConfigError("none", field="ledger.contract"), Trouble.CONTRACT),
        (LedgerError("busy", trouble=Trouble.BUSY, retry_after_s=77), Trouble.BUSY),
    ]

    class Failing(MemoryLedger):
        def head(self) -> Head:
            raise troubles[0][0]

    class Stop(threading.Event):
        waited: list[float]

        def wait(self, timeout: float | None = None) -> bool:
            self.waited.append(timeout or 0)
            named.append(anchoring.signs().trouble)
            troubles.pop(0)
            if not troubles:
                self.set()
            return self.is_set()

    named: list[Trouble | None] = []
    expected = [trouble for _, trouble in troubles]
    bench, stop = Bench(), Stop()
    stop.waited = []
    anchoring = Anchoring(bench.store, Failing(bytes(32)), bench.facts, clock=bench.clock, backoff_s=(1, 4))
    anchoring.run(stop)
    assert named == expected
    assert stop.waited == [1, 2, 4, 4, 4, 77]
