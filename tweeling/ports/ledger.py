"""The ledger that holds the log's head in public."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tweeling.domain.log import Anchor, Head


class Ledger(Protocol):
    """One log's head on one chain. Raises UnavailableError (ask again) or RejectedError (the contract said no)."""

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
        """keccak256(creator, origin hash), 32 bytes."""
        ...

    def head(self) -> Head:
        """The head the contract holds; size 0 before the first anchor."""
        ...

    def anchor(self, size: int, root: bytes, proof: Sequence[bytes]) -> Anchor:
        """Anchor a checkpoint with its consistency proof from the head; done already counts as done."""
        ...

    def affords(self) -> int | None:
        """How many more anchors can be paid for at the price of now; None where they cost nothing."""
        ...

    def find(self, size: int) -> Anchor | None:
        """The anchor of exactly this size, read from the chain's events."""
        ...
