"""What is believed of a node that tells of anchors, and what is owed after a chain has taken some back."""

from __future__ import annotations

from typing import Any

import pytest
from support_custody import Bench, shipping

from tweeling.adapters.memory_ledger import MemoryLedger
from tweeling.domain.log import Anchor
from tweeling.errors import LedgerError, Trouble
from tweeling.ports.ledger import Ledger
from tweeling.services.anchoring import Anchoring, Batching
from tweeling.services.confirming import AGAIN


def _anchoring(bench: Bench, ledger: Ledger | None = None) -> Anchoring:
    return Anchoring(
        bench.store, ledger or bench.ledger, bench.facts, clock=bench.clock, batching=Batching(max_entries=1)
    )


def _grow(bench: Bench, last: int) -> None:
    bench.capture(*(shipping(number) for number in range(bench.store.size(), last)))
    bench.integrate()


@pytest.mark.parametrize("size", [0, 4, 5, 9, 1 << 80])
def test_a_node_that_shows_an_anchor_beyond_the_head_is_in_trouble_and_the_log_is_not(size: int) -> None:
    class Lying(MemoryLedger):
        lies = True

        def since(self, anchor: Anchor | None) -> list[Anchor]:
            found = list(super().since(anchor))
            return [found[-1]._replace(size=size), *found] if self.lies else found

    bench, ledger = Bench(), Lying(bytes(32))
    _grow(bench, 3)
    _anchoring(bench, ledger).step()
    bench.store.drop_anchors(above=0)
    _grow(bench, 4)
    anchoring = _anchoring(bench, ledger)
    with pytest.raises(LedgerError, match=f"an anchor of size {size}, and the contract's head is 3") as caught:
        anchoring.step()
    assert caught.value.trouble is Trouble.NONSENSE
    assert bench.store.anchors() == []
    ledger.lies = False
    anchoring.step()
    assert [anchor.size for anchor in bench.store.anchors()] == [3, 4]


class _Lagging(MemoryLedger):
    """Asks a node that knows nothing of blocks above `height`."""

    height: int | None = None

    def depth(self, anchor: Anchor) -> int:
        if self.height is not None and anchor.block > self.height:
            raise LedgerError(f"the node is at block {self.height}", trouble=Trouble.BEHIND)
        return super().depth(anchor)


def _grown(ledger: MemoryLedger, *sizes: int, **changes: Any) -> tuple[Bench, Anchoring]:
    bench = Bench()
    anchoring = Anchoring(
        bench.store, ledger, bench.facts, clock=bench.clock, batching=Batching(max_entries=1), **changes
    )
    for size in sizes:
        _grow(bench, size)
        anchoring.step()
    return bench, anchoring


def test_a_node_that_syncs_for_hours_has_nothing_taken_back() -> None:
    ledger, now = _Lagging(bytes(32)), [0.0]
    bench, anchoring = _grown(ledger, 2, 3, 5, monotonic=lambda: now[0])
    for ledger.height in (0, 1, 1, 2):
        now[0] += 36_000
        with pytest.raises(LedgerError, match="the node is at block") as caught:
            anchoring.step()
        assert caught.value.trouble is Trouble.BEHIND
    ledger.height = 3
    assert anchoring.step() is None
    assert [anchor.size for anchor in bench.store.anchors()] == [2, 3, 5]
    assert anchoring.signs().reorganisations == 0


def test_what_a_lagging_node_does_not_tell_in_a_reorganisation_is_not_taken_back() -> None:
    class Balanced(_Lagging):
        def depth(self, anchor: Anchor) -> int:
            depth = super().depth(anchor)
            self.height = 0  # the next question goes to another node
            return depth

    ledger = Balanced(bytes(32))
    bench, anchoring = _grown(ledger, 2, patience_s=30)
    for size in (3, 5):
        _grow(bench, size)
        ledger.height = None
        anchoring.step()
    ledger.reorganise(above=3)
    ledger.height = None
    with pytest.raises(LedgerError, match="the node is at block 0"):
        anchoring.step()
    assert [anchor.size for anchor in bench.store.anchors()] == [2, 3, 5]


def test_what_is_owed_stays_owed_when_the_chain_takes_back_more() -> None:
    ledger = MemoryLedger(bytes(32))
    bench, anchoring = _grown(ledger, 2, 3, 5, 8)
    ledger.reorganise(above=2)
    again = anchoring.step()
    assert again is not None
    assert again.size == 3
    assert bench.facts.get(AGAIN) == {"sizes": [5, 8]}
    ledger.reorganise(above=0)
    assert [anchor.size for anchor in iter(anchoring.step, None) if anchor] == [2, 3, 5, 8]
    assert [anchor.size for anchor in bench.store.anchors()] == [2, 3, 5, 8]


def test_a_log_that_moves_owes_the_new_contract_nothing_of_the_old_one() -> None:
    ledger = MemoryLedger(bytes(32))
    bench, anchoring = _grown(ledger, 2, 3, 5, 8)
    ledger.reorganise(above=2)
    anchoring.step()
    assert bench.facts.get(AGAIN) == {"sizes": [5, 8]}
    after = MemoryLedger(bytes([9] * 32))
    anchoring = _anchoring(bench, after)
    assert [anchor.size for anchor in iter(anchoring.step, None) if anchor] == [8]


def test_an_anchor_that_a_node_shows_in_a_block_that_never_comes_is_not_waited_for() -> None:
    class Ahead(_Lagging):
        lies = False

        def since(self, anchor: Anchor | None) -> list[Anchor]:
            return [each._replace(block=1 << 40) if self.lies else each for each in super().since(anchor)]

    ledger = Ahead(bytes(32))
    bench, _ = _grown(ledger, 2, 3)
    bench.store.drop_anchors(above=0)
    anchoring = _anchoring(bench, ledger)
    ledger.height, ledger.lies = 2, True
    with pytest.raises(LedgerError, match="the node is at block 2"):
        anchoring.step()
    ledger.lies = False
    anchoring.step()
    assert [(anchor.size, anchor.block) for anchor in bench.store.anchors()] == [(2, 1), (3, 2)]
