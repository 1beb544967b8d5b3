"""A ledger behind a node that answers in good form what cannot be so, or more than it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain, running_anvil
from support_rfc9162 import leaf, tree_of
from support_rpc import Node, misbehaving

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.errors import LedgerError, Trouble

TREE = tree_of([leaf(b"entry %d" % number) for number in range(200)])


@pytest.fixture(scope="module")
def chain() -> Iterator[DevChain]:
    with running_anvil() as running:
        yield running


@pytest.fixture(scope="module")
def contract(chain: DevChain) -> str:
    return deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)


@pytest.fixture
def account(chain: DevChain) -> LocalAccount:
    return chain.funded()


@pytest.fixture
def node(chain: DevChain) -> Iterator[Node]:
    with misbehaving(chain.rpc) as between:
        yield between


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
