"""A ledger behind a node that misbehaves: every trouble is named, and nothing is lost or done twice."""

from __future__ import annotations

import json
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions import TypedTransaction
from hexbytes import HexBytes
from support_chain import DevChain, running_anvil
from support_custody import Bench, shipping
from support_rfc9162 import leaf, tree_of
from support_rpc import Answer, Node, misbehaving

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.adapters.evm.transport import MAX_ANSWER
from tweeling.domain.log import Head
from tweeling.errors import ConfigError, LedgerError, RejectedError, Trouble, UnavailableError
from tweeling.services.anchoring import Anchoring
from tweeling.services.gate import Gate

TREE = tree_of([leaf(b"entry %d" % number) for number in range(200)])


@pytest.fixture
def ledger(chain: DevChain, node: Node, contract: str, account: LocalAccount) -> Iterator[EvmLedger]:
    with closing(_ledger(chain, f"{node.url}/v3/hunter2", contract, account)) as opened:
        yield opened


def _ledger(chain: DevChain, rpc: str, contract: str, account: LocalAccount, **changes: Any) -> EvmLedger:
    settings = {"receipt_s": 30, "timeout_s": 1} | changes
    return EvmLedger(
        rpc=rpc, chain_id=chain.chain_id, contract=contract, account=account, origin="tweeling.test/log", **settings
    )


@pytest.mark.parametrize(
    ("answer", "trouble", "words"),
    [
        (Answer(b"<html>a proxy's page</html>"), Trouble.NONSENSE, "no JSON"),
        (Answer(b"[]"), Trouble.NONSENSE, "no JSON-RPC"),
        (Answer(b"[" * 100_000), Trouble.NONSENSE, "no JSON"),
        (Answer(b" " * (MAX_ANSWER + 1)), Trouble.NONSENSE, "more than 8 MB"),
        (Answer(status=301, headers={"Location": "http://127.0.0.1:1/"}), Trouble.NONSENSE, "sends us elsewhere"),
        (Answer(status=401), Trouble.REFUSED, r"does not let us in \(HTTP 401\)"),
        (Answer(status=503), Trouble.DOWN, r"in trouble itself \(HTTP 503\)"),
        (Answer(b"{}" * 20, drip_s=0.05), Trouble.SLOW, "no whole answer within 1 s"),
        (None, Trouble.DOWN, "gave no answer"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_a_node_does_wrong_is_named(
    ledger: EvmLedger, node: Node, answer: Answer | None, trouble: Trouble, words: str
) -> None:
    node.misbehave(lambda *_: answer)
    with pytest.raises(LedgerError, match=words) as caught:
        ledger.head()
    assert caught.value.trouble is trouble
    assert "chain 31337 at 127.0.0.1" in str(caught.value)
    node.behave()
    assert ledger.head().size == 0


def test_a_node_that_never_answers_is_given_up_in_time(ledger: EvmLedger, node: Node) -> None:
    node.hang()
    before = time.monotonic()
    with pytest.raises(LedgerError) as caught:
        ledger.head()
    assert time.monotonic() - before < 3
    assert caught.value.trouble is Trouble.SLOW


@pytest.mark.parametrize(("header", "rest"), [("120", 120), ("soon", 0), ("99999999", 3600), ("", 0)])
def test_a_node_that_wants_to_be_asked_less_often_says_for_how_long(
    ledger: EvmLedger, node: Node, header: str, rest: float
) -> None:
    node.always(Answer(status=429, headers={"Retry-After": header}))
    with pytest.raises(LedgerError) as caught:
        ledger.head()
    assert (caught.value.trouble, caught.value.retry_after_s) == (Trouble.BUSY, rest)


def test_a_chain_that_turns_into_another_in_mid_run_is_noticed_before_it_is_believed(
    ledger: EvmLedger, node: Node
) -> None:
    ledger.anchor(5, TREE.root(5), [])
    node.change("eth_chainId", lambda _: "0x1")
    sent = node.asked.count("eth_sendRawTransaction")
    for ask in (ledger.head, lambda: ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))):
        with pytest.raises(ConfigError, match="serves chain 1, not 31337") as caught:
            ask()
        assert caught.value.field == "ledger.chain_id"
    assert node.asked.count("eth_sendRawTransaction") == sent
    node.behave()
    assert ledger.head().size == 5


def test_an_answer_lost_after_a_transaction_was_sent_is_no_second_transaction(
    ledger: EvmLedger, node: Node, chain: DevChain, account: LocalAccount
) -> None:
    ledger.anchor(5, TREE.root(5), [])
    count = chain.ask("eth_getTransactionCount", account.address, "latest")

    def cut(method: str, _: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        answer = ask()
        return None if method == "eth_sendRawTransaction" else answer

    node.misbehave(cut)
    with pytest.raises(LedgerError) as caught:
        ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert caught.value.trouble is Trouble.DOWN
    node.behave()
    assert ledger.head() == Head(9, TREE.root(9)), "it was mined all the same"
    assert ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9)) == ledger.find(9)
    assert int(chain.ask("eth_getTransactionCount", account.address, "latest"), 16) == int(count, 16) + 1


def test_a_node_that_lags_is_behind_and_no_reorganisation(ledger: EvmLedger, node: Node) -> None:
    anchor = ledger.anchor(5, TREE.root(5), [])
    node.change("eth_blockNumber", lambda _: hex(anchor.block - 1))
    with pytest.raises(LedgerError, match=f"is at block {anchor.block - 1}, behind block {anchor.block}") as caught:
        ledger.depth(anchor)
    assert caught.value.trouble is Trouble.BEHIND
    node.change("eth_getBlockByNumber", lambda _: None)  # another node behind the same address
    with pytest.raises(LedgerError) as caught:
        ledger.depth(anchor)
    assert caught.value.trouble is Trouble.BEHIND
    node.behave()
    assert ledger.depth(anchor) == 1


def test_a_block_of_a_consortium_chain_is_read_although_it_carries_signatures(ledger: EvmLedger, node: Node) -> None:
    node.change("eth_getBlockByNumber", lambda block: block | {"extraData": "0x" + "ab" * 97})
    anchor = ledger.anchor(5, TREE.root(5), [])
    assert ledger.depth(anchor) == 1


@pytest.mark.parametrize("widest", [1, 7, 40])
def test_a_node_that_searches_few_blocks_at_once_is_asked_in_pieces(
    chain: DevChain, node: Node, contract: str, account: LocalAccount, widest: int
) -> None:
    refused: list[Any] = []

    def narrow(method: str, params: Any, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1 > widest:
            refused.append(params)
            return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": "up to a few blocks"}}
        return ask()

    with closing(_ledger(chain, node.url, contract, account)) as ledger:
        anchors = []
        for size in (3, 8, 20):
            anchors.append(
                ledger.anchor(size, TREE.root(size), TREE.consistency(anchors[-1].size, size) if anchors else [])
            )
            chain.ask("anvil_mine", hex(20))
        node.misbehave(narrow)
        assert [ledger.find(anchor.size) for anchor in anchors] == anchors
        assert ledger.since(None) == anchors
        assert ledger.since(anchors[0]) == anchors[1:]
        refused.clear()
        assert ledger.since(None) == anchors
        assert refused == [], "what was learned is kept"


def test_events_are_looked_for_no_further_back_than_the_contracts_own_block(
    chain: DevChain, node: Node, contract: str, account: LocalAccount
) -> None:
    asked = []

    def watch(method: str, params: Any, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if method == "eth_getLogs":
            asked.append(int(params[0]["fromBlock"], 16))
        return ask()

    first = int(chain.ask("eth_blockNumber"), 16)
    node.misbehave(watch)
    with closing(_ledger(chain, node.url, contract, account, first_block=first)) as ledger:
        assert ledger.since(None) == []
    assert asked == [first]


def test_events_of_another_log_are_not_taken_for_ours(ledger: EvmLedger, node: Node, chain: DevChain) -> None:
    ledger.anchor(5, TREE.root(5), [])
    with closing(_ledger(chain, chain.rpc, ledger.contract, chain.funded())) as other:
        other.anchor(9, TREE.root(9), [])

    def careless(method: str, params: Any, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if method != "eth_getLogs":
            return ask()
        params[0]["topics"] = []
        return node.upstream_answer(method, params)

    node.misbehave(careless)
    with pytest.raises(LedgerError, match="events that nobody asked for") as caught:
        ledger.since(None)
    assert caught.value.trouble is Trouble.NONSENSE


def test_words_of_a_node_are_cut_to_one_line_and_never_hold_the_key_in_its_address(
    ledger: EvmLedger, node: Node
) -> None:
    said = "unknown project hunter2\n\n" + "x" * 10_000
    for code in (-32601, -32000, -32005):
        node.always(Answer(json.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": code, "message": said}}).encode()))
        with pytest.raises((UnavailableError, RejectedError)) as caught:
            ledger.head()
        told = "".join(traceback.format_exception(caught.value))
        assert "hunter2" not in told
        assert "unknown project …" in str(caught.value)
        assert len(str(caught.value)) < 500


def test_whatever_a_node_answers_is_trouble_and_never_a_fault_of_ours(ledger: EvmLedger, node: Node) -> None:
    draw = random.Random(5)
    anchor = ledger.anchor(5, TREE.root(5), [])
    values: list[Any] = [None, True, 7, -1, 1e300, "", "0x", "0xzz", "soon", "0x" + "ff" * 40, [], [[]], {}, {"a": 1}]
    values += [{"number": "0x1", "hash": None}, [{"topics": []}], [{"topics": ["0x00"] * 3, "data": 7}]]

    def odd(_: str, __: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if draw.random() < 0.5:
            return ask()
        key = draw.choice(["result", "result", "result", "error"])
        return {"jsonrpc": "2.0", "id": draw.choice(values), key: draw.choice(values)}

    node.misbehave(odd)
    for _ in range(100):
        asked = [ledger.head, ledger.account, lambda: ledger.depth(anchor), lambda: ledger.since(anchor)]
        asked += [lambda: ledger.find(5), lambda: ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))]
        for ask in asked:
            try:
                ask()
            except (UnavailableError, RejectedError, ConfigError):
                continue


def test_capture_goes_on_at_its_pace_while_a_node_hangs(
    chain: DevChain, node: Node, contract: str, account: LocalAccount
) -> None:
    gate = Gate(patience_s=0)
    bench, stop = Bench(gate=gate), threading.Event()
    node.hang()
    with closing(_ledger(chain, node.url, contract, account, timeout_s=30)) as ledger:
        anchoring = Anchoring(bench.store, ledger, bench.facts, clock=bench.clock, gate=gate)
        thread = threading.Thread(target=anchoring.run, args=(stop,))
        thread.start()
        assert node.hanging.wait(20)
        longest = 0.0
        for number in range(50):
            before = time.monotonic()
            bench.capture(shipping(number))
            longest = max(longest, time.monotonic() - before)
        assert thread.is_alive()
        assert longest < 1
        bench.integrate()
        assert "50 pending" in anchoring.health().detail
        stop.set()
        node.over.set()
        thread.join(20)
        assert not thread.is_alive()


def test_nothing_is_paid_above_the_cap_and_both_prices_are_told(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    price = _price(chain)
    with closing(_ledger(chain, chain.rpc, contract, account, most_wei=price // 2)) as ledger:
        with pytest.raises(LedgerError, match=r"gas costs [\d.]+ gwei now, more than ledger.max_fee_gwei = ") as caught:
            ledger.anchor(5, TREE.root(5), [])
        assert caught.value.trouble is Trouble.FEE
        told = ledger.account()
        assert told.most == price // 2
        assert told.price > told.most
    with closing(_ledger(chain, chain.rpc, contract, account, most_wei=price * 11 // 10)) as ledger:
        anchor = ledger.anchor(5, TREE.root(5), [])
    sent = chain.ask("eth_getTransactionByHash", f"0x{anchor.transaction.hex()}")
    assert int(sent["maxFeePerGas"], 16) <= price * 11 // 10


def test_a_stuck_transaction_is_outbid_within_the_cap_and_no_further(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    cap = _price(chain) * 5
    with closing(_ledger(chain, chain.rpc, contract, account, receipt_s=0.3, most_wei=cap)) as ledger:
        ledger.anchor(5, TREE.root(5), [])
        chain.ask("evm_setAutomine", False)
        try:
            bids = []
            for _ in range(12):
                with pytest.raises(LedgerError) as caught:
                    ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
                assert caught.value.trouble is Trouble.STUCK
                bids.append(int(_waiting(chain)["maxFeePerGas"], 16))
            assert bids == sorted(bids)
            assert bids[0] < bids[-1] <= cap
            assert "no more than" in str(caught.value)
            chain.ask("evm_mine")
        finally:
            chain.ask("evm_setAutomine", True)
        assert ledger.head().size == 9


def test_what_another_process_sent_from_the_account_is_waited_for_and_not_replaced(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    with (
        closing(_ledger(chain, chain.rpc, contract, account, receipt_s=0.2)) as killed,
        closing(_ledger(chain, chain.rpc, contract, account)) as ledger,
    ):
        killed.anchor(5, TREE.root(5), [])
        chain.ask("evm_setAutomine", False)
        try:
            with pytest.raises(LedgerError):
                killed.anchor(9, TREE.root(9), TREE.consistency(5, 9))  # sent, and its process dies here
            first = _waiting(chain)
            chain.ask("evm_setIntervalMining", 1)
            anchor = ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
        finally:
            chain.ask("evm_setIntervalMining", 0)
            chain.ask("evm_setAutomine", True)
        assert f"0x{anchor.transaction.hex()}" == first["hash"]


def test_a_bid_that_never_got_to_the_node_is_not_outbid_and_one_that_was_too_low_is(
    ledger: EvmLedger, node: Node
) -> None:
    ledger.anchor(5, TREE.root(5), [])
    offered: list[int] = []

    def refuse(how: Callable[[], dict[str, Any] | None]) -> None:
        def refusing(method: str, params: Any, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
            if method != "eth_sendRawTransaction":
                return ask()
            offered.append(int(TypedTransaction.from_bytes(HexBytes(params[0])).as_dict()["maxFeePerGas"]))
            return how()

        node.misbehave(refusing)
        for _ in range(3):
            with pytest.raises(LedgerError):
                ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))

    refuse(lambda: None)
    assert len(set(offered)) == 1
    offered.clear()
    low = {"code": -32000, "message": "replacement transaction underpriced"}
    refuse(lambda: {"jsonrpc": "2.0", "id": 1, "error": low})
    assert offered[0] < offered[1] < offered[2]
    node.behave()
    assert ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9)).size == 9


def test_a_gap_of_nonces_that_another_program_left_is_filled(
    chain: DevChain, contract: str, account: LocalAccount
) -> None:
    count = int(chain.ask("eth_getTransactionCount", account.address, "latest"), 16)
    ahead = account.sign_transaction(
        {
            "to": account.address, "value": 0, "gas": 21_000, "nonce": count + 1, "chainId": chain.chain_id,
            "maxFeePerGas": _price(chain) * 3, "maxPriorityFeePerGas": 10**9,
        }
    )  # fmt: skip
    chain.ask("eth_sendRawTransaction", f"0x{bytes(ahead.raw_transaction).hex()}")
    with closing(_ledger(chain, chain.rpc, contract, account, receipt_s=5)) as ledger:
        assert ledger.anchor(5, TREE.root(5), []).size == 5
        assert ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9)).size == 9


def test_a_chain_without_fees_of_the_new_kind_takes_anchors_too(ledger: EvmLedger, node: Node, chain: DevChain) -> None:
    node.change("eth_getBlockByNumber", lambda block: {key: block[key] for key in block if key != "baseFeePerGas"})
    first = ledger.anchor(5, TREE.root(5), [])
    second = ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
    assert ledger.since(None) == [first, second]
    assert chain.ask("eth_getTransactionByHash", f"0x{second.transaction.hex()}")["type"] == "0x0"
    assert ledger.account().price == _price(chain)


def test_a_chain_whose_gas_is_free_takes_anchors_from_an_account_without_money() -> None:
    flags = ("--base-fee", "0", "--gas-price", "0", "--disable-min-priority-fee")
    with running_anvil(flags=flags) as chain, misbehaving(chain.rpc) as node:
        node.change("eth_maxPriorityFeePerGas", lambda _: "0x0")
        account: LocalAccount = Account.create()
        contract = deploy(node.url, account, chain_id=chain.chain_id)
        with closing(_ledger(chain, node.url, contract, account)) as ledger:
            assert ledger.anchor(5, TREE.root(5), []).size == 5
            assert ledger.account() == (0, None, None)


def _waiting(chain: DevChain) -> Any:
    """The one transaction that waits to be mined."""
    (of_account,) = chain.ask("txpool_content")["pending"].values()
    (transaction,) = of_account.values()
    return transaction


def _price(chain: DevChain) -> int:
    return int(chain.ask("eth_gasPrice"), 16)
