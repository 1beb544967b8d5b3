"""The ledger that holds the log's head in public."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tweeling.domain.log import Account, Anchor, Head


class Ledger(Protocol):
    """One log's head on one chain.

    Raises UnavailableError (ask again), ConfigError (another chain or contract than was set) or RejectedError (the
    contract said no).
    """

    @property
    def chain_id(self) -> int:
        """The chain."""
        ...

    @property
    def contract(self) -> str:
        """The contract's address, checksummed."""
        ...

    @property
    def log_id(self) -> bytes:
        """keccak256(creator, origin hash), 32 bytes; it stays the same under every later operator."""
        ...

    def head(self) -> Head:
        """The head the contract holds; size 0 before the first anchor."""
        ...

    def anchor(self, size: int, root: bytes, proof: Sequence[bytes]) -> Anchor:
        """Anchor a checkpoint with its consistency proof from the head; done already counts as done."""
        ...

    def account(self) -> Account:
        """What anchors cost now, and how many more can be paid for."""
        ...

    def find(self, size: int) -> Anchor | None:
        """The anchor of exactly this size, read from the chain's events."""
        ...

    def since(self, anchor: Anchor | None) -> Sequence[Anchor]:
        """Every anchor that came after this one (all, after None), oldest first, read from the chain's events."""
        ...

    def depth(self, anchor: Anchor) -> int:
        """How many blocks confirm an anchor, its own counted; 0 where the chain no longer has that block.

        Raises LedgerError (`behind`) while the node has not come as far.
        """
        ...

    def interrupt(self) -> None:
        """Let nobody wait for the chain from here on: whoever does gets UnavailableError."""
        ...
