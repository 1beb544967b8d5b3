"""What an anchor costs on a development chain, at about 2^20 entries, beside a transaction that only carries a hash."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from statistics import fmean

from eth_account import Account
from hexbytes import HexBytes

from tweeling.adapters.evm import deploy, devchain
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.ledger import EvmLedger
from tweeling.cli.bench.pace import quantiles
from tweeling.cli.bench.report import Row, at_most
from tweeling.cli.supervisor import Supervisor, free_port, listening
from tweeling.domain import merkle
from tweeling.errors import ConfigError

BATCHES = (1, 100, 10_000)
_CHAIN_ID = 31337
_FLOOR = 22_280  # gas of a transaction that carries 32 bytes and does nothing
_DEAREST, _TYPICAL = 75_000.0, 62_000.0
_ENTRIES = 1 << 20
_WORST = (_ENTRIES - 1, _ENTRIES + 1)  # every level of the tree is hashed twice


def anvil() -> Path:
    """The development chain's program, or raise ConfigError where it is not installed."""
    found = devchain.find_anvil()
    if found is None:
        raise ConfigError(
            "the development chain (anvil) is not installed",
            field="--anchors",
            remedy="npm brings it: make chain; `--anchors 0` leaves the chain out",
        )
    return found


def measure(folder: Path, anchors: int) -> Iterator[Row]:
    """Gas of so many anchors for each size of batch, and how long each took from the call to its receipt."""
    port = free_port()
    command = devchain.command(anvil(), port=port, chain_id=_CHAIN_ID, state=folder / "chain.json")
    with Supervisor(folder / "log") as children:
        children.start("chain", command, ready=lambda: listening(port))
        chain = _Measured(f"http://127.0.0.1:{port}")
        dearest = chain.anchor("worst", [_WORST])[0]
        yield _row("gas_dearest", dearest, _DEAREST)
        spent = []
        for batch in BATCHES:
            gas = fmean(chain.anchor(f"batch-{batch}", _sizes(batch, anchors)))
            spent.append(gas)
            yield _row(f"gas_batch_{batch}", gas)
            yield _row(f"gas_an_event_batch_{batch}", gas / batch, floor=_FLOOR / batch)
        yield _row("gas_mean", fmean(spent), _TYPICAL)
        yield from quantiles("custody", "anchor_to_receipt", chain.took)


class _Measured:
    """A contract on a chain, and what was paid for anchors on it."""

    def __init__(self, rpc: str) -> None:
        self._rpc = rpc
        self._account = Account.create()
        devchain.fund(rpc, self._account.address, chain_id=_CHAIN_ID)
        self._contract = deploy(rpc, self._account, chain_id=_CHAIN_ID)
        self.took: list[float] = []

    def anchor(self, log: str, sizes: list[tuple[int, int]]) -> list[int]:
        """Gas of anchors from the first to the second of each pair of sizes, ascending, on a log of its own."""
        ledger = EvmLedger(
            rpc=self._rpc,
            chain_id=_CHAIN_ID,
            contract=self._contract,
            account=self._account,
            origin=f"tweeling.bench/{log}",
        )
        gas, head = [], 0
        with (
            closing(ledger),
            Chain(self._rpc, chain_id=_CHAIN_ID, timeout_s=10) as chain,
        ):
            for before, after in sizes:
                self._extend(ledger, head, before)
                began = time.perf_counter()
                mined = self._extend(ledger, before, after)
                self.took.append((time.perf_counter() - began) * 1000)
                gas.append(int(chain.web3.eth.get_transaction_receipt(HexBytes(mined))["gasUsed"]))
                head = after
        return gas

    @staticmethod
    def _extend(ledger: EvmLedger, old: int, new: int) -> bytes:
        return ledger.anchor(new, merkle.root(new, _nodes), merkle.consistency_proof(old, new, _nodes)).transaction


def _sizes(batch: int, count: int) -> list[tuple[int, int]]:
    """Pairs of sizes a batch apart, up to 2^20 and ascending, none within another; the same in every run."""
    span = _ENTRIES // 2 // count
    random = Random(batch)  # noqa: S311 -- seeded, so that figures can be compared
    starts = [_ENTRIES // 2 + at * span + random.randrange(max(1, span - batch - 1)) for at in range(count)]
    return [(start, start + batch) for start in starts]


def _nodes(keys: Sequence[merkle.NodeKey]) -> list[bytes]:
    """The nodes of a tree whose leaves are all the same: a million entries that need not be made."""
    return [_LEVELS[level] for level, _ in keys]


def _levels() -> list[bytes]:
    levels = [merkle.leaf_hash(b"entry")]
    while len(levels) <= _ENTRIES.bit_length():
        levels.append(merkle.node_hash(levels[-1], levels[-1]))
    return levels


_LEVELS = _levels()


def _row(metric: str, gas: float, goal: float | None = None, *, floor: float = _FLOOR) -> Row:
    return at_most(metric, gas, "gas", goal, limit=floor, bench="custody")
