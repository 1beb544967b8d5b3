from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from random import Random
from statistics import mean

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from support_chain import running_anvil
from support_rfc9162 import leaf, uniform_tree
from support_servers import ROOT

from tweeling.adapters.evm import EvmLedger, deploy, devchain

FLOOR = 22_280  # a transaction that carries 32 bytes and does nothing
MILLION = 1 << 20
TREE = uniform_tree(leaf(b"entry"))
ROW = re.compile(r"^\| ([\d,]+) \| ([\d,]+) \| (\d+) \| ([\d,]+) \| ([\d.]+) \| ([\d,.]+) \|", re.MULTILINE)
MEAN = re.compile(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d.]+) \| ([\d,.]+) \| ([\d,]+) \|", re.MULTILINE)
CALL = re.compile(r"^\| `([^`]+)`.* \| ([\d,]+) \|$", re.MULTILINE)

Anchor = Callable[[int, int], int]


@pytest.fixture(scope="module")
def gas() -> Iterator[Anchor]:
    """The gas of an anchor from one size to another."""
    with running_anvil() as chain:
        # A key of the test's own, because the zero bytes of an address and a log's id count.
        account: LocalAccount = Account.from_key(leaf(b"the key of the gas table"))
        devchain.fund(chain.rpc, account.address, chain_id=chain.chain_id)
        contract = deploy(chain.rpc, account, chain_id=chain.chain_id)

        def measured(m: int, n: int) -> int:
            origin = f"tweeling.test/{m}-{n}"
            with closing(
                EvmLedger(rpc=chain.rpc, chain_id=chain.chain_id, contract=contract, account=account, origin=origin)
            ) as ledger:
                if m:
                    ledger.anchor(m, TREE.root(m), [])
                anchored = ledger.anchor(n, TREE.root(n), TREE.consistency(m, n))
            receipt = chain.ask("eth_getTransactionReceipt", f"0x{anchored.transaction.hex()}")
            return int(receipt["gasUsed"], 16)

        yield measured


def test_the_gas_told_in_the_document_is_what_an_anchor_costs(gas: Anchor) -> None:
    told = _told(ROW)
    assert len(told) >= 10
    measured = []
    for m, n, *_ in told:
        used = gas(int(m), int(n))
        nodes = len(TREE.consistency(int(m), int(n)))
        measured.append([m, n, nodes, used, round(used / FLOOR, 2), round(used / (n - m), 1)])
    assert told == measured, "\n".join(
        f"| {m:,.0f} | {n:,.0f} | {nodes} | {used:,} | {times:.2f} | {each:,.1f} |"
        for m, n, nodes, used, times, each in measured
    )
    assert max(used for _, n, _, used, _, _ in measured if n <= MILLION + 20_000) <= 75_000


def test_the_means_told_in_the_document_are_those_of_sizes_drawn_below_a_million(gas: Anchor) -> None:
    random = Random("sizes below a million")
    sizes = [random.randrange(MILLION // 2, MILLION) for _ in range(12)]
    told = _told(MEAN)
    assert [batch for batch, *_ in told] == [1, 100, 10_000]
    measured = []
    for batch in (1, 100, 10_000):
        used = [gas(size, size + batch) for size in sizes]
        typical = round(mean(used))
        measured.append([batch, typical, round(typical / FLOOR, 2), round(typical / batch, 1), max(used)])
    assert told == measured, "\n".join(
        f"| {batch:,} | {typical:,} | {times:.2f} | {each:,.1f} | {most:,} |"
        for batch, typical, times, each, most in measured
    )
    assert max(typical for _, typical, *_ in measured) <= 62_000


def test_the_gas_told_of_other_calls_is_what_forge_holds_them_to() -> None:
    told = dict(CALL.findall((ROOT / "docs" / "contracts.md").read_text()))
    snapshots = ROOT / "contracts" / "snapshots"
    held = {
        call: f"{int(gas):,}"
        for contract in ("CustodyLedger", "PartnerRegistry")
        for call, gas in json.loads((snapshots / f"{contract}.json").read_text()).items()
        if not call.startswith("anchor")
    }
    assert told == held


def _told(row: re.Pattern[str]) -> list[list[float]]:
    document = (ROOT / "docs" / "contracts.md").read_text()
    return [[float(cell.replace(",", "")) for cell in found] for found in row.findall(document)]
