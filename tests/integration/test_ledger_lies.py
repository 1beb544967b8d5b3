"""A ledger behind a node that answers in good form what cannot be so, or more than it should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain
from support_rfc9162 import leaf, tree_of
from support_rpc import Answer, Node

from tweeling.adapters.evm import EvmLedger, deploy, reader
from tweeling.adapters.evm.audit import open_chain_audit
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.operating import Contract, Keeper, Successor
from tweeling.adapters.evm.reader import AnchorReader
from tweeling.adapters.evm.transport import MAX_ANSWER
from tweeling.domain.log import Anchor
from tweeling.errors import LedgerError, Trouble
from tweeling.verify import TrustedContract, TrustedLog

TREE = tree_of([leaf(b"entry %d" % number) for number in range(200)])


@pytest.fixture
def ledger(chain: DevChain, node: Node, contract: str, account: LocalAccount) -> Iterator[EvmLedger]:
    with closing(_ledger(chain, node.url, contract, account)) as opened:
        yield opened


def _ledger(chain: DevChain, rpc: str, contract: str, account: LocalAccount, **changes: Any) -> EvmLedger:
    return EvmLedger(
        rpc=rpc,
        chain_id=chain.chain_id,
        contract=contract,
        account=account,
        origin="tweeling.test/log",
        **({"receipt_s": 30} | changes),
    )


@pytest.mark.parametrize(("size", "root"), [("00" * 32, "ab" * 32), ("ff" * 32, "ab" * 32), ("00" * 31 + "05", "ab")])
def test_an_event_that_the_contract_cannot_have_made_is_no_anchor(
    ledger: EvmLedger, node: Node, size: str, root: str
) -> None:
    ledger.anchor(5, TREE.root(5), [])

    def forge(events: list[Any]) -> list[Any]:
        return [event | {"topics": [*event["topics"][:2], f"0x{size}"], "data": f"0x{root}"} for event in events]

    node.change("eth_getLogs", forge)
    with pytest.raises(LedgerError, match="cannot have made") as caught:
        ledger.since(None)
    assert caught.value.trouble is Trouble.NONSENSE
    node.behave()
    assert [anchor.size for anchor in ledger.since(None)] == [5]


@pytest.mark.parametrize("most", [1, 2])
def test_events_that_fill_too_large_an_answer_are_asked_for_in_smaller_ones(
    ledger: EvmLedger, node: Node, chain: DevChain, most: int
) -> None:
    first = int(chain.ask("eth_blockNumber"), 16)
    anchors = _anchors(ledger, 3, 8, 20, 21, 34)
    node.misbehave(_large_with_more_than(most))
    assert ledger.since(None) == anchors
    assert ledger.find(3) == anchors[0]
    terms = {"chain_id": chain.chain_id, "contract": ledger.contract, "log_id": ledger.log_id, "first_block": first}
    with open_chain_audit(node.url, **terms) as audit:  # type: ignore[arg-type]  # of three kinds
        assert [row.size for row in audit.anchored()] == [3, 8, 20, 21, 34]
    node.misbehave(_large_with_more_than(0))
    with pytest.raises(LedgerError, match="more than 8 MB"):
        ledger.since(None)


def test_of_a_successor_no_more_is_read_than_how_it_begins(
    ledger: EvmLedger, node: Node, chain: DevChain, account: LocalAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_NEAR", 10)
    (head,) = _anchors(ledger, 5)
    after = deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)
    with Chain(chain.rpc, chain_id=chain.chain_id, timeout_s=10) as opened:
        keeper = Keeper(Contract(opened, ledger.contract), ledger.log_id, account, receipt_s=30)
        keeper.retire(Successor(chain.chain_id, after, ledger.log_id))
    with closing(_ledger(chain, chain.rpc, after, account)) as following:
        following.anchor(5, head.root, [])
        chain.ask("anvil_mine", hex(50))
        following.anchor(9, TREE.root(9), TREE.consistency(5, 9))
        following.anchor(12, TREE.root(12), TREE.consistency(9, 12))
    shown: list[int] = []

    def count(method: str, _: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        answer = ask()
        if method == "eth_getLogs":
            shown.append(len(answer["result"]))
        return answer

    node.misbehave(count)
    place = TrustedContract(chain_id=chain.chain_id, contract=ledger.contract, log_id=f"0x{ledger.log_id.hex()}")
    (successor,) = AnchorReader(node.url).successors(TrustedLog.of("tweeling.test/log", bytes(32), place))
    assert successor.contract == after
    assert sum(shown) == 2, "that it was begun, and its first anchor"


@pytest.mark.parametrize("answer", ["0x", f"0x{'00' * 31}", f"0x{'ff' * 96}"], ids=["none", "short", "odd"])
def test_an_answer_of_a_contract_that_is_short_or_odd_is_the_nodes_trouble(
    ledger: EvmLedger, node: Node, chain: DevChain, answer: str
) -> None:
    ledger.anchor(5, TREE.root(5), [])
    terms = {"chain_id": chain.chain_id, "contract": ledger.contract, "log_id": ledger.log_id}
    node.change("eth_call", lambda _: answer)
    with open_chain_audit(node.url, **terms) as audit:  # type: ignore[arg-type]  # of two kinds
        for ask in (audit.look, ledger.head):
            with pytest.raises(LedgerError, match="no answer that makes sense") as caught:
                ask()
            assert caught.value.trouble is Trouble.NONSENSE


def test_no_proxy_of_the_environment_hears_what_is_said_to_a_node(
    ledger: EvmLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ledger.head().size == 0


def test_a_transaction_that_offers_its_miner_nothing_is_outbid_too(
    chain: DevChain, node: Node, contract: str, account: LocalAccount
) -> None:
    node.change("eth_maxPriorityFeePerGas", lambda _: "0x0")
    with closing(_ledger(chain, node.url, contract, account, receipt_s=0.2)) as ledger:
        ledger.anchor(5, TREE.root(5), [])
        chain.ask("evm_setAutomine", False)
        try:
            tips = []
            for _ in range(3):
                with pytest.raises(LedgerError):
                    ledger.anchor(9, TREE.root(9), TREE.consistency(5, 9))
                ((waiting,),) = (each.values() for each in chain.ask("txpool_content")["pending"].values())
                tips.append(int(waiting["maxPriorityFeePerGas"], 16))
        finally:
            chain.ask("evm_mine")
            chain.ask("evm_setAutomine", True)
    assert tips == [0, 1, 2], "a node takes no replacement with the same tip"


def test_who_is_told_to_wait_for_nothing_more_sends_nothing_more(
    ledger: EvmLedger, node: Node, chain: DevChain, contract: str, account: LocalAccount
) -> None:
    with closing(_ledger(chain, chain.rpc, contract, account, receipt_s=0.2)) as killed:
        killed.anchor(5, TREE.root(5), [])
        chain.ask("evm_setAutomine", False)
        try:
            for ask in (killed, ledger):
                with pytest.raises(LedgerError):
                    ask.anchor(9, TREE.root(9), TREE.consistency(5, 9))
                ledger.interrupt()  # while it would wait for what is under way
        finally:
            chain.ask("evm_mine")
            chain.ask("evm_setAutomine", True)
    assert "eth_sendRawTransaction" not in node.asked


@pytest.mark.parametrize(
    ("message", "trouble"), [("Nonce too low", Trouble.BEHIND), ("Transaction UNDERPRICED", Trouble.STUCK)]
)
def test_what_a_node_says_of_a_transaction_is_understood_in_small_and_large_letters(
    ledger: EvmLedger, node: Node, message: str, trouble: Trouble
) -> None:
    def refuse(method: str, _: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        said = {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": message}}
        return said if method == "eth_sendRawTransaction" else ask()

    node.misbehave(refuse)
    with pytest.raises(LedgerError) as caught:
        ledger.anchor(5, TREE.root(5), [])
    assert caught.value.trouble is trouble


def _anchors(ledger: EvmLedger, *sizes: int) -> list[Anchor]:
    """Anchor one size after another."""
    before = (0, *sizes)
    return [
        ledger.anchor(size, TREE.root(size), TREE.consistency(last, size) if last else [])
        for last, size in zip(before, sizes, strict=False)
    ]


def _large_with_more_than(most: int) -> Callable[..., dict[str, Any] | Answer]:
    """A node whose answers are larger than any that is read, where they hold more than so many events."""

    def answer(method: str, _: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any] | Answer:
        told = ask()
        return Answer(b" " * (MAX_ANSWER + 1)) if method == "eth_getLogs" and len(told["result"]) > most else told

    return answer
