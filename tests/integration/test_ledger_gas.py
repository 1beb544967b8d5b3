from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from support_chain import DevChain, running_anvil
from support_rfc9162 import leaf, uniform_tree
from support_servers import ROOT

from tweeling.adapters.evm import EvmLedger, deploy, devchain

FLOOR = 22_280  # a transaction that carries 32 bytes and does nothing
TREE = uniform_tree(leaf(b"entry"))
ROW = re.compile(r"^\| ([\d,]+) \| ([\d,]+) \| (\d+) \| ([\d,]+) \| ([\d.]+) \| ([\d,.]+) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def chain() -> Iterator[DevChain]:
    with running_anvil() as running:
        yield running


def test_the_gas_told_in_the_document_is_what_an_anchor_costs(chain: DevChain) -> None:
    # A key of the test's own, because the zero bytes of an address and a log's id count.
    account: LocalAccount = Account.from_key(leaf(b"the key of the gas table"))
    devchain.fund(chain.rpc, account.address, chain_id=chain.chain_id)
    contract = deploy(chain.rpc, account, chain_id=chain.chain_id)
    told = [[float(cell.replace(",", "")) for cell in row] for row in ROW.findall(_document())]
    assert len(told) >= 10
    measured = []
    for m, n, *_ in told:
        gas = _gas(chain, contract, account, int(m), int(n))
        nodes = len(TREE.consistency(int(m), int(n)))
        measured.append([m, n, nodes, gas, round(gas / FLOOR, 2), round(gas / (n - m), 1)])
    assert told == measured, "\n".join(
        f"| {m:,.0f} | {n:,.0f} | {nodes} | {gas:,} | {times:.2f} | {each:,.1f} |"
        for m, n, nodes, gas, times, each in measured
    )
    at_a_million = [gas for _, n, _, gas, _, _ in measured if n <= (1 << 20) + 20_000]
    assert max(at_a_million) <= 75_000


def _gas(chain: DevChain, contract: str, account: LocalAccount, m: int, n: int) -> int:
    origin = f"tweeling.test/{m}-{n}"
    with closing(
        EvmLedger(rpc=chain.rpc, chain_id=chain.chain_id, contract=contract, account=account, origin=origin)
    ) as ledger:
        if m:
            ledger.anchor(m, TREE.root(m), [])
        anchored = ledger.anchor(n, TREE.root(n), TREE.consistency(m, n))
    receipt = chain.ask("eth_getTransactionReceipt", f"0x{anchored.transaction.hex()}")
    return int(receipt["gasUsed"], 16)


def _document() -> str:
    return (ROOT / "docs" / "contracts.md").read_text()
