"""What is believed of a node that tells of anchors, and what is owed after a chain has taken some back."""

from __future__ import annotations

import pytest
from support_custody import Bench, shipping

from tweeling.adapters.memory_ledger import MemoryLedger
from tweeling.domain.log import Anchor
from tweeling.errors import LedgerError, Trouble
from tweeling.ports.ledger import Ledger
from tweeling.services.anchoring import Anchoring, Batching


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
