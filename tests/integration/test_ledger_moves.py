"""A log that changes hands, and one that goes on in another contract: what the chain lets through, and who follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain
from support_rfc9162 import leaf, tree_of
from web3 import Web3

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.adapters.evm.artifact import ContractRefusedError
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.depth import await_depth
from tweeling.adapters.evm.ledger import log_id
from tweeling.adapters.evm.operating import Contract, Keeper, Successor
from tweeling.adapters.evm.reader import AnchorReader
from tweeling.domain.log import Head
from tweeling.errors import ConfigError, LedgerError, Trouble, UndecidedError, VerificationError
from tweeling.verify import TrustedContract, TrustedLog

ORIGIN = "tweeling.test/log"
TREE = tree_of([leaf(b"entry %d" % number) for number in range(40)])


@pytest.fixture(scope="module")
def contracts(chain: DevChain) -> list[str]:
    return [deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id) for _ in range(3)]


@dataclass
class Log:
    """A log, begun by an account in the first contract."""

    chain: DevChain
    contracts: list[str]
    account: LocalAccount
    closing: ExitStack

    def ledger(self, at: int = 0, *, by: LocalAccount | None = None, known: bytes | None = None) -> EvmLedger:
        opened = EvmLedger(
            rpc=self.chain.rpc,
            chain_id=self.chain.chain_id,
            contract=self.contracts[at],
            account=by or self.account,
            origin=ORIGIN,
            known_log=known,
        )
        self.closing.enter_context(closing(opened))
        return opened

    @property
    def id(self) -> bytes:
        return log_id(self.account.address, ORIGIN)

    @property
    def trusted(self) -> TrustedLog:
        place = TrustedContract(chain_id=self.chain.chain_id, contract=self.contracts[0], log_id=f"0x{self.id.hex()}")
        return TrustedLog.of(ORIGIN, bytes(32), place)

    @contextmanager
    def keeper(self, by: LocalAccount | None = None, at: int = 0) -> Iterator[Keeper]:
        with Chain(self.chain.rpc, chain_id=self.chain.chain_id, timeout_s=10) as opened:
            yield Keeper(Contract(opened, self.contracts[at]), self.id, by or self.account, receipt_s=30)

    def retire(self, to: int, *, at: int = 0) -> Head:
        with self.keeper(at=at) as keeper:
            return keeper.retire(Successor(self.chain.chain_id, self.contracts[to], self.id))

    def followed(self) -> list[str]:
        return [contract.contract for contract in AnchorReader(self.chain.rpc).successors(self.trusted)]


@pytest.fixture
def log(chain: DevChain, contracts: list[str]) -> Iterator[Log]:
    with ExitStack() as closing_:
        yield Log(chain, contracts, chain.funded(), closing_)


def test_a_log_changes_hands_in_two_steps_and_keeps_its_id(log: Log, chain: DevChain) -> None:
    old, heir = log.ledger(), chain.funded()
    old.anchor(5, TREE.root(5), [])
    with log.keeper() as keeper, log.keeper(by=heir) as taking:
        with pytest.raises(ConfigError, match="is not offered to"):
            taking.accept()
        keeper.propose(heir.address)
        keeper.propose(None)
        assert keeper.state().proposed is None
        keeper.propose(heir.address.lower())
        old.anchor(7, TREE.root(7), TREE.consistency(5, 7))
        taking.accept()
        taking.accept()
        assert taking.state().operator == heir.address
    with pytest.raises(ContractRefusedError) as refused:
        old.anchor(9, TREE.root(9), TREE.consistency(7, 9))
    assert refused.value.trouble is Trouble.OPERATOR
    new = log.ledger(by=heir, known=log.id)
    anchor = new.anchor(9, TREE.root(9), TREE.consistency(7, 9))
    assert anchor.log_id == old.log_id
    assert [each.size for each in new.since(None)] == [5, 7, 9]
    assert AnchorReader(chain.rpc)(log.trusted, 9) == anchor


def test_what_the_chain_has_taken_back_is_not_waited_for(log: Log, chain: DevChain) -> None:
    block = log.ledger().anchor(5, TREE.root(5), []).block
    with (
        Chain(chain.rpc, chain_id=chain.chain_id, timeout_s=10) as opened,
        pytest.raises(LedgerError, match=f"has taken block {block} back"),
    ):
        await_depth(opened, block, bytes(32), 3)


def test_a_log_that_nobody_began_is_not_begun_by_another_key_under_its_id(log: Log, chain: DevChain) -> None:
    heir = log.ledger(by=chain.funded(), known=log.id)
    with pytest.raises(ConfigError, match="knows no log") as refused:
        heir.anchor(5, TREE.root(5), [])
    assert refused.value.field == "ledger.log_id"


def test_a_retired_log_takes_no_anchor_and_is_followed_through_every_contract_it_goes_on_in(log: Log) -> None:
    first = log.ledger()
    first.anchor(5, TREE.root(5), [])
    assert log.followed() == []
    head = log.retire(1)
    assert head == (5, TREE.root(5))
    assert log.retire(1) == head, "twice is once"
    with pytest.raises(ContractRefusedError) as refused:
        first.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert refused.value.trouble is Trouble.RETIRED
    assert log.followed() == [], "nothing is anchored there yet"
    second = log.ledger(1)
    second.anchor(5, TREE.root(5), [])
    second.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert log.followed() == log.contracts[1:2]
    log.retire(2, at=1)
    log.ledger(2).anchor(9, TREE.root(9), [])
    assert log.followed() == log.contracts[1:]


def test_the_retired_head_is_what_the_transaction_tells_and_no_later_answer(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = log.ledger()
    ledger.anchor(5, TREE.root(5), [])
    with log.keeper() as keeper:
        old = keeper.state()
        ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
        monkeypatch.setattr(Contract, "state", lambda _self, _log: old)  # a node that lags
        head = keeper.retire(Successor(log.chain.chain_id, log.contracts[1], log.id))
    assert head == (9, TREE.root(9))


def test_a_log_that_was_retired_empty_may_begin_with_anything(log: Log) -> None:
    log.ledger()._begin()
    assert log.retire(1).size == 0
    log.ledger(1).anchor(5, TREE.root(5), [])
    assert log.followed() == log.contracts[1:2]


def test_who_follows_a_circle_stops_at_the_first_log_that_was_met_before(log: Log) -> None:
    for at in (0, 1):
        log.ledger(at).anchor(5, TREE.root(5), [])
    log.retire(1)
    log.retire(0, at=1)
    assert log.followed() == log.contracts[1:2]


def test_a_partner_is_told_of_the_option_by_which_the_node_was_named(log: Log) -> None:
    with pytest.raises(LedgerError, match="or name another node in --rpc"):
        AnchorReader("http://127.0.0.1:9")(log.trusted, 5)


def test_a_node_that_lags_behind_a_receipt_decides_nothing(log: Log, chain: DevChain) -> None:
    anchor = log.ledger().anchor(5, TREE.root(5), [])
    read = AnchorReader(chain.rpc)
    assert read(log.trusted, 5, anchor.block) == anchor
    assert read(log.trusted, 6, anchor.block) is None
    for size in (5, 6):
        with pytest.raises(UndecidedError, match=f"before block {anchor.block + 1}, where the receipt says"):
            read(log.trusted, size, anchor.block + 1)


@pytest.mark.parametrize("size", [4, 9])
def test_a_successor_that_does_not_begin_with_the_retired_head_is_no_successor(log: Log, size: int) -> None:
    log.ledger().anchor(5, TREE.root(5), [])
    log.retire(1)
    after = log.ledger(1)
    after.anchor(size, TREE.root(size), [])
    if size < 5:  # the retired head comes, and comes too late
        after.anchor(5, TREE.root(5), TREE.consistency(size, 5))
    with pytest.raises(VerificationError, match=f"begins in contract .* with size {size}") as refused:
        log.followed()
    assert refused.value.field == "anchor.successor"


def test_a_successor_with_other_code_is_no_successor(log: Log, chain: DevChain) -> None:
    log.ledger().anchor(5, TREE.root(5), [])
    forged = chain.funded().address
    chain.ask("anvil_setCode", forged, "0x5f5ffd")
    with log.keeper() as keeper:
        keeper.retire(Successor(chain.chain_id, Web3.to_checksum_address(forged), log.id))
    with pytest.raises(VerificationError, match="no ledger of ours"):
        log.followed()


def test_of_a_successor_on_another_chain_it_is_said_where_to_look(log: Log) -> None:
    log.ledger().anchor(5, TREE.root(5), [])
    with log.keeper() as keeper:
        keeper.retire(Successor(10, log.contracts[1], log.id))
    with pytest.raises(
        UndecidedError, match=rf"went on in contract {log.contracts[1]} on chain 10: add its trust file"
    ):
        log.followed()
