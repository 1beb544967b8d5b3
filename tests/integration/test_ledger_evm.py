from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain
from support_rfc9162 import EMPTY_ROOT, leaf, tree_of

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.adapters.evm.artifact import ContractRefusedError
from tweeling.domain.log import Head
from tweeling.errors import ConfigError, InvariantError, RejectedError, UnavailableError

ORIGIN = "tweeling.test/log"
TREE = tree_of([leaf(b"entry %d" % number) for number in range(200)])


@pytest.fixture
def ledger(chain: DevChain, contract: str, account: LocalAccount) -> Iterator[EvmLedger]:
    with closing(_ledger(chain, contract, account)) as opened:
        yield opened


def test_a_log_grows_by_its_proofs_and_the_events_tell_its_history(ledger: EvmLedger, chain: DevChain) -> None:
    anchors = []
    size = 0
    for grown in (1, 2, 7, 8, 100, 200):
        anchors.append(ledger.anchor(grown, TREE.root(grown), TREE.consistency(size, grown)))
        size = grown
        assert ledger.head() == Head(grown, TREE.root(grown))
    assert [ledger.find(anchor.size) for anchor in anchors] == anchors
    last = anchors[-1]
    assert (last.chain_id, last.contract, last.log_id) == (chain.chain_id, ledger.contract, ledger.log_id)
    mined = chain.ask("eth_getTransactionByHash", f"0x{last.transaction.hex()}")
    assert (int(mined["blockNumber"], 16), mined["blockHash"]) == (last.block, f"0x{last.block_hash.hex()}")
    assert mined["type"] == "0x2", "EIP-1559 fees"
    assert mined["to"] == ledger.contract.lower()


def test_before_the_first_anchor_the_head_is_the_empty_tree(ledger: EvmLedger) -> None:
    assert ledger.head() == Head(0, EMPTY_ROOT)
    assert ledger.find(1) is None


def test_what_is_anchored_already_counts_as_done_and_costs_nothing(ledger: EvmLedger, chain: DevChain) -> None:
    first = ledger.anchor(5, TREE.root(5), [])
    later = ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    block = chain.ask("eth_blockNumber")
    assert ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9)) == later
    assert ledger.anchor(5, TREE.root(5), []) == first
    assert chain.ask("eth_blockNumber") == block


def test_an_account_affords_at_least_as_many_anchors_as_are_told(ledger: EvmLedger, chain: DevChain) -> None:
    ledger.anchor(1, TREE.root(1), [])  # begins the log, which costs more
    anchor = ledger.anchor(200, TREE.root(200), TREE.consistency(1, 200))
    used = int(chain.ask("eth_getTransactionReceipt", f"0x{anchor.transaction.hex()}")["gasUsed"], 16)
    balance = int(chain.ask("eth_getBalance", ledger._wallet.address, "latest"), 16)
    price = int(chain.ask("eth_gasPrice"), 16)
    told = ledger.account().left
    assert told is not None
    assert 100 < told <= balance // (price * used)


def test_a_wrong_proof_is_refused_by_name_and_fields_before_it_costs_gas(
    ledger: EvmLedger, chain: DevChain, account: LocalAccount
) -> None:
    ledger.anchor(5, TREE.root(5), [])
    money = chain.ask("eth_getBalance", account.address, "latest")
    proof = TREE.consistency(5, 9)
    for wrong in ([], proof[:-1], [*proof, proof[-1]], proof[::-1], [EMPTY_ROOT, *proof[1:]]):
        with pytest.raises(ContractRefusedError) as caught:
            ledger.anchor(9, TREE.root(9), wrong)
        assert caught.value.name == "CustodyLedgerInconsistent"
        assert caught.value.fields == {"log": f"0x{ledger.log_id.hex()}", "anchoredSize": 5, "offeredSize": 9}
    assert chain.ask("eth_getBalance", account.address, "latest") == money
    assert ledger.head() == Head(5, TREE.root(5))


@pytest.mark.parametrize("size", [3, 5])
def test_another_history_at_an_anchored_size_is_refused(ledger: EvmLedger, size: int) -> None:
    ledger.anchor(5, TREE.root(5), [])
    with pytest.raises(ContractRefusedError, match=rf"CustodyLedgerNotAppended.*anchoredSize=5, offeredSize={size}"):
        ledger.anchor(size, TREE.root(6), [])


def test_a_hash_that_is_none_is_refused_before_the_chain_is_asked(ledger: EvmLedger) -> None:
    with pytest.raises(InvariantError, match="root"):
        ledger.anchor(1, b"short", [])
    with pytest.raises(InvariantError, match="proof"):
        ledger.anchor(2, TREE.root(2), [b""])
    with pytest.raises(InvariantError, match="size"):
        ledger.anchor(1 << 64, TREE.root(2), [])


def test_nobody_but_the_operator_extends_a_log(ledger: EvmLedger, chain: DevChain, account: LocalAccount) -> None:
    ledger.anchor(5, TREE.root(5), [])
    stranger = chain.funded()
    with closing(_ledger(chain, ledger.contract, stranger)) as other:
        assert other.log_id != ledger.log_id, "the same origin under another key is another log"
        other._log_id = ledger.log_id
        with pytest.raises(ContractRefusedError) as caught:
            other.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert caught.value.name == "CustodyLedgerNotOperator"
    assert caught.value.fields == {
        "log": f"0x{ledger.log_id.hex()}",
        "operator": account.address.lower(),
        "caller": stranger.address.lower(),
    }


def test_the_wrong_chain_is_refused(chain: DevChain, contract: str, account: LocalAccount) -> None:
    with closing(_ledger(chain, contract, account, chain_id=1)) as ledger, pytest.raises(ConfigError) as caught:
        ledger.head()
    assert caught.value.field == "ledger.chain_id"
    with pytest.raises(ConfigError, match="serves chain 31337, not 1"):
        deploy(chain.rpc, account, chain_id=1)


def test_an_address_without_our_code_is_refused(chain: DevChain, contract: str, account: LocalAccount) -> None:
    with closing(_ledger(chain, account.address, account)) as ledger, pytest.raises(ConfigError, match="no contract"):
        ledger.head()
    forged = chain.funded().address
    code = chain.ask("eth_getCode", contract, "latest")
    chain.ask("anvil_setCode", forged, code[:-2] + "00")
    with closing(_ledger(chain, forged, account)) as ledger, pytest.raises(ConfigError, match="other code") as caught:
        ledger.anchor(1, TREE.root(1), [])
    assert caught.value.field == "ledger.contract"


def test_an_account_without_money_is_named_and_may_ask_again(chain: DevChain, contract: str) -> None:
    account = chain.funded()
    chain.ask("anvil_setBalance", account.address, "0x0")
    with closing(_ledger(chain, contract, account)) as ledger:
        with pytest.raises(UnavailableError, match=r"(?i)insufficient funds"):
            ledger.anchor(1, TREE.root(1), [])
        chain.ask("anvil_setBalance", account.address, hex(10**18))
        assert ledger.anchor(1, TREE.root(1), []).size == 1


def test_a_head_that_the_chain_took_back_is_anchored_again(ledger: EvmLedger, chain: DevChain) -> None:
    ledger.anchor(5, TREE.root(5), [])
    before = chain.ask("evm_snapshot")
    lost = ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert chain.ask("evm_revert", before)
    assert ledger.head() == Head(5, TREE.root(5))
    assert ledger.find(9) is None
    again = ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert again.root == lost.root
    assert ledger.find(9) == again


def test_an_attempt_given_up_for_slow_still_counts_when_it_is_mined(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    with closing(_ledger(chain, contract, account, receipt_s=0.3)) as ledger:
        ledger.anchor(5, TREE.root(5), [])
        chain.ask("evm_setAutomine", False)
        try:
            for _ in range(2):  # the second replaces the first at a higher fee
                with pytest.raises(UnavailableError):
                    ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
            waiting = chain.ask("txpool_status")
            assert (int(waiting["pending"], 16), int(waiting["queued"], 16)) == (1, 0)
            chain.ask("evm_mine")
        finally:
            chain.ask("evm_setAutomine", True)
        assert ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9)) == ledger.find(9)


def test_a_log_begun_by_an_attempt_given_up_for_slow_is_anchored_next_time(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    with closing(_ledger(chain, contract, account, receipt_s=0.3)) as ledger:
        chain.ask("evm_setAutomine", False)
        try:
            with pytest.raises(UnavailableError):
                ledger.anchor(5, TREE.root(5), [])
            chain.ask("evm_mine")
        finally:
            chain.ask("evm_setAutomine", True)
        assert ledger.head() == Head(0, EMPTY_ROOT)
        ledger._begin()
        assert ledger.anchor(5, TREE.root(5), []) == ledger.find(5)


def test_a_transaction_that_reverts_when_it_is_mined_is_no_anchor(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    with closing(_ledger(chain, contract, account)) as ledger:
        ledger.anchor(5, TREE.root(5), [])
        code = chain.ask("eth_getCode", contract, "latest")
        chain.ask("evm_setAutomine", False)
        try:
            with ThreadPoolExecutor(1) as pool:
                anchoring = pool.submit(ledger.anchor, 9, TREE.root(9), TREE.consistency(5, 9))
                _await_pending(chain, 1)
                chain.ask("anvil_setCode", contract, "0x5f5ffd")  # reverts, though it passed when it was sent
                chain.ask("evm_mine")
                with pytest.raises(RejectedError):
                    anchoring.result(30)
        finally:
            chain.ask("anvil_setCode", contract, code)
            chain.ask("evm_setAutomine", True)
        assert ledger.head() == Head(5, TREE.root(5))
        ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))


def _await_pending(chain: DevChain, count: int, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while int(chain.ask("txpool_status")["pending"], 16) != count:
        assert time.monotonic() < deadline, f"{count} transactions did not wait within {within} s"
        time.sleep(0.02)


def _ledger(
    chain: DevChain, contract: str, account: LocalAccount, *, chain_id: int | None = None, receipt_s: float = 30
) -> EvmLedger:
    return EvmLedger(
        rpc=chain.rpc,
        chain_id=chain_id or chain.chain_id,
        contract=contract,
        account=account,
        origin=ORIGIN,
        receipt_s=receipt_s,
    )
