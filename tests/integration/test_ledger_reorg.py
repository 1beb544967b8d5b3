"""A chain that takes blocks back, by anvil's own reorganisations: what was anchored is anchored again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain
from support_custody import ORIGIN, Bench, shipping

from tweeling.adapters.evm import EvmLedger
from tweeling.adapters.evm.reader import AnchorReader
from tweeling.domain.log import Anchor
from tweeling.errors import LedgerError, Trouble
from tweeling.services.anchoring import Anchoring, Batching
from tweeling.verify import TrustedContract, check_anchor, verify


class Life:
    """A log, and one life after another of what anchors it."""

    def __init__(self, chain: DevChain, contract: str, account: LocalAccount, closing: ExitStack) -> None:
        self.chain, self.bench = chain, Bench()
        self._contract, self._account, self._closing = contract, account, closing
        self.restart()

    def restart(self, *, confirmations: int = 1, patience_s: float = 0) -> None:
        """Forget all that is not written down."""
        self.ledger = EvmLedger(
            rpc=self.chain.rpc,
            chain_id=self.chain.chain_id,
            contract=self._contract,
            account=self._account,
            origin=ORIGIN,
        )
        self._closing.callback(self.ledger.close)
        self.anchoring = Anchoring(
            self.bench.store,
            self.ledger,
            self.bench.facts,
            clock=self.bench.clock,
            batching=Batching(max_entries=1),
            confirmations=confirmations,
            patience_s=patience_s,
        )

    def grow(self, to: int) -> Anchor:
        """Capture events and anchor them."""
        self.bench.capture(*(shipping(number) for number in range(self.bench.store.size(), to)))
        self.bench.integrate()
        anchor = self.anchoring.step()
        assert anchor is not None
        assert anchor.size == to
        return anchor

    def kept(self) -> list[int]:
        return [anchor.size for anchor in self.bench.store.anchors()]

    def block_of(self, anchor: Anchor) -> tuple[int, str]:
        """Where the chain has the anchor's transaction now."""
        told = self.chain.ask("eth_getTransactionByHash", f"0x{anchor.transaction.hex()}")
        return int(told["blockNumber"], 16), told["blockHash"]

    def confirmed(self, receipt: bytes) -> bool:
        """Whether a partner who asks the chain finds what the receipt says."""
        place = TrustedContract(
            chain_id=self.chain.chain_id, contract=self.ledger.contract, log_id=f"0x{self.ledger.log_id.hex()}"
        )
        verdict = verify(receipt, [self.bench.custody.trust_file(place)])
        return check_anchor(verdict, AnchorReader(self.chain.rpc)).checked


@pytest.fixture
def life(chain: DevChain, contract: str) -> Iterator[Life]:
    with ExitStack() as closing:
        yield Life(chain, contract, chain.funded(), closing)


def _receipt(life: Life, number: int) -> bytes:
    return life.bench.custody.receipt(str(shipping(number)["eventID"]))


@pytest.mark.parametrize("restarted", [False, True])
def test_a_reorganisation_takes_anchors_back_and_they_are_anchored_again_one_by_one(
    life: Life, *, restarted: bool
) -> None:
    receipts = []
    for size in (2, 3, 5):
        life.grow(size)
        receipts.append(_receipt(life, size - 1))
    assert all(map(life.confirmed, receipts))
    life.chain.ask("anvil_reorg", 2, [])
    if restarted:
        life.restart()
    assert life.ledger.head().size == 2
    sizes = []
    while (anchor := life.anchoring.step()) is not None:
        sizes.append(anchor.size)
        assert life.block_of(anchor) == (anchor.block, f"0x{anchor.block_hash.hex()}")
    assert sizes == [3, 5]
    assert life.kept() == [2, 3, 5]
    assert all(map(life.confirmed, receipts)), "what a receipt said before is true again"
    assert life.anchoring.signs().reorganisations == 1


@pytest.mark.parametrize("restarted", [False, True])
def test_a_reorganisation_that_keeps_the_transaction_moves_the_anchor(life: Life, *, restarted: bool) -> None:
    life.grow(2)
    life.chain.ask("evm_mine")
    before = life.grow(5)
    raw = life.chain.ask("eth_getRawTransactionByHash", f"0x{before.transaction.hex()}")
    life.chain.ask("anvil_reorg", 2, [[raw, 0]])
    if restarted:
        life.restart()
    assert life.anchoring.step() is None, "nothing has to be sent"
    after = life.bench.store.anchor()
    assert after is not None
    assert (after.size, after.transaction) == (5, before.transaction)
    assert (after.block, after.block_hash) != (before.block, before.block_hash)
    assert life.block_of(after) == (after.block, f"0x{after.block_hash.hex()}")
    assert life.confirmed(_receipt(life, 4))


def test_a_chain_that_is_cut_back_is_waited_for_and_then_anchored_again(life: Life) -> None:
    life.grow(2)
    before = life.chain.ask("evm_snapshot")
    for size in (3, 5):
        life.grow(size)
    assert life.chain.ask("evm_revert", before)
    life.restart(patience_s=3600)
    with pytest.raises(LedgerError, match="behind block") as caught:
        life.anchoring.step()
    assert caught.value.trouble is Trouble.BEHIND
    assert life.kept() == [2, 3, 5], "a node that lags takes nothing back"
    life.restart(patience_s=0)
    assert [anchor.size for anchor in iter(life.anchoring.step, None) if anchor] == [3, 5]
    assert life.kept() == [2, 3, 5]


def test_an_event_is_pending_until_its_anchor_is_deep_enough_and_again_when_it_was_not_deep_enough(life: Life) -> None:
    life.restart(confirmations=3)

    def states() -> set[Any]:
        return {event.state.value for event in life.bench.custody.events()}

    life.grow(2)
    assert states() == {"pending"}
    assert verify(_receipt(life, 0), [life.bench.custody.trust_file()]).anchor is None, "no receipt says it yet"
    life.chain.ask("anvil_mine", "0x2")
    life.anchoring.step()
    assert states() == {"anchored"}
    life.chain.ask("anvil_reorg", 3, [])
    again = life.anchoring.step()
    assert again is not None
    assert states() == {"pending"}
    assert "size 2 seen in block" in life.anchoring.health().detail
    life.chain.ask("anvil_mine", "0x2")
    life.anchoring.step()
    assert states() == {"anchored"}
