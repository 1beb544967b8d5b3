"""CustodyLedger on an EVM chain, as the port Ledger."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from tweeling.adapters.evm.artifact import LEDGER, ContractRefusedError
from tweeling.adapters.evm.chain import LAGS, Chain
from tweeling.adapters.evm.contract import OurContract, address_of
from tweeling.adapters.evm.events import ANCHORED, EventSearch, anchor_at
from tweeling.adapters.evm.transport import NodeError
from tweeling.adapters.evm.wallet import Wallet
from tweeling.domain.log import Account, Anchor, Head
from tweeling.errors import ConfigError, InvariantError, LedgerError, Trouble

log = logging.getLogger(__name__)

ANCHOR_GAS: Final = 75_000
"""More than any anchor we have measured; see docs/contracts.md."""
_EMPTY: Final = Head(0, hashlib.sha256(b"").digest())  # RFC 9162: the tree without entries


def log_id(creator: str, origin: str) -> bytes:
    """The name on the contract of the log that `creator` begins with this origin line."""
    return keccak(encode(["address", "bytes32"], [creator, hashlib.sha256(origin.encode()).digest()]))


class EvmLedger:
    """One log's head, anchored by `account`, which begins the log at the first anchor.

    Speaks to nobody before the first question; then, and after every silence, makes sure that the node serves the
    chain and that the code at the address is ours, or raises ConfigError; that it is still the same chain, with every
    question for the head. Safe from any thread. known_log: the id of a log that another account began; else it is
    that of `account`. first_block: where the search for events ends; the block of the contract's creation spares a
    public node work. most_wei: what a unit of gas may cost at most.
    """

    def __init__(
        self,
        *,
        rpc: str,
        chain_id: int,
        contract: str,
        account: LocalAccount,
        origin: str,
        known_log: bytes | None = None,
        timeout_s: float = 10,
        receipt_s: float = 60,
        first_block: int = 0,
        most_wei: int | None = None,
    ) -> None:
        address = address_of(LEDGER, contract)
        self._chain = Chain(rpc, chain_id=chain_id, timeout_s=timeout_s)
        self._wallet = Wallet(self._chain, account, receipt_s=receipt_s, most_wei=most_wei)
        self._contract = OurContract(self._chain, LEDGER, address)
        self._events = EventSearch(self._chain, address)
        self._origin = origin
        self._own_id = log_id(account.address, origin)
        self._log_id = known_log or self._own_id
        self._first_block = first_block

    @property
    def chain_id(self) -> int:
        """The chain."""
        return self._chain.id

    @property
    def contract(self) -> str:
        """The contract's address, checksummed."""
        return self._contract.address

    @property
    def log_id(self) -> bytes:
        """keccak256(creator, origin hash), 32 bytes."""
        return self._log_id

    def head(self) -> Head:
        """The head the contract holds; size 0 before the first anchor."""
        return self._read_head() or _EMPTY

    def anchor(self, size: int, root: bytes, proof: Sequence[bytes]) -> Anchor:
        """Anchor a checkpoint with its consistency proof from the head; done already counts as done."""
        _check_shape(size, root, proof)
        head = self._read_head()
        if head is None:
            self._begin()
        elif (done := self._done(head, size, root)) is not None:
            return done
        try:
            receipt = self._contract.send(
                self._wallet, self._contract.functions.anchor(self._log_id, size, root, list(proof))
            )
            with self._contract.answers():
                return self._anchor(size, root, receipt)
        except ContractRefusedError:
            # An earlier attempt, given up for slow, may have been mined since.
            if (done := self._done(self.head(), size, root)) is not None:
                return done
            raise

    def account(self) -> Account:
        """What anchors cost now, and how many more can be paid for."""
        with self._contract.answers():
            price = self._wallet.price()
            left = self._wallet.affords(ANCHOR_GAS, price)
        return Account(price.now, self._wallet.most, left)

    def find(self, size: int) -> Anchor | None:
        """The anchor of exactly this size, read from the chain's events."""
        with self._contract.answers():
            event = next(self._search(size.to_bytes(32), first=self._first_block), None)
            return self._event(event) if event is not None else None  # sizes only grow, so there is one at most

    def since(self, anchor: Anchor | None) -> Sequence[Anchor]:
        """Every anchor that came after this one (all, after None), oldest first, read from the chain's events."""
        with self._contract.answers():
            found = [self._event(each) for each in self._search(first=anchor.block if anchor else self._first_block)]
        return [each for each in reversed(found) if anchor is None or each.size > anchor.size]

    def depth(self, anchor: Anchor) -> int:
        """How many blocks confirm an anchor, its own counted; 0 where the chain no longer has that block."""
        with self._contract.answers():
            height = self._chain.height()
            if height < anchor.block:
                raise LedgerError(
                    f"{self._chain.name} is at block {height}, behind block {anchor.block}, where it has shown us an "
                    "anchor",
                    trouble=Trouble.BEHIND,
                    remedy=LAGS,
                )
            held = self._chain.block(anchor.block).hash
        return height - anchor.block + 1 if held == anchor.block_hash else 0

    def interrupt(self) -> None:
        """Let nobody wait for the chain from here on."""
        self._wallet.interrupt()

    def close(self) -> None:
        """Let go of the connections."""
        self._chain.close()

    def _read_head(self) -> Head | None:
        try:
            with self._contract.answers(anew=True):
                size, root, _ = self._contract.functions.head(self._log_id).call()
                return Head(int(size), bytes(root))
        except ContractRefusedError as exc:
            if exc.name != "CustodyLedgerUnknownLog":
                raise
            return None

    def _begin(self) -> None:
        if self._log_id != self._own_id:
            raise ConfigError(
                f"the contract knows no log 0x{self._log_id.hex()}",
                field="ledger.log_id",
                remedy="Mend it; without it the log is the one that this key began",
            )
        try:
            self._contract.send(
                self._wallet, self._contract.functions.create(hashlib.sha256(self._origin.encode()).digest())
            )
        except ContractRefusedError as exc:
            # An earlier attempt, given up for slow, may have been mined since.
            if exc.name != "CustodyLedgerLogExists":
                raise

    def _done(self, head: Head, size: int, root: bytes) -> Anchor | None:
        if head.size < size:
            return None
        found = self.find(size)
        if found is None and head == (size, root):
            raise LedgerError(
                f"size {size} is anchored, but the node does not show its event yet", trouble=Trouble.BEHIND
            )
        return found if found is not None and found.root == root else None

    def _search(self, size: bytes | None = None, *, first: int) -> Iterator[Any]:
        return self._events.newest_first([ANCHORED, self._log_id, size], first=first)

    def _event(self, event: Any) -> Anchor:
        size, root = int.from_bytes(event["topics"][2]), bytes(event["data"])
        if not 0 < size < 1 << 64 or len(root) != 32:
            raise NodeError("answers with an event that the contract cannot have made", Trouble.NONSENSE)
        return self._anchor(size, root, event)

    def _anchor(self, size: int, root: bytes, mined: Any) -> Anchor:
        return anchor_at(
            mined, size=size, root=root, chain=self._chain, contract=self._contract.address, log_id=self._log_id
        )


def _check_shape(size: int, root: bytes, proof: Sequence[bytes]) -> None:
    if not 0 < size < 1 << 64:
        raise InvariantError(f"{size} does not fit a uint64", field="size")
    if len(root) != 32:
        raise InvariantError("not 32 bytes", field="root")
    if any(len(node) != 32 for node in proof):
        raise InvariantError("a node is not 32 bytes", field="proof")
