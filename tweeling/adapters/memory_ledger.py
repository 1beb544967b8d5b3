"""A ledger in memory: for tests, and for a hub without a chain to try things on. It judges as the contract does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from threading import Lock

from tweeling.domain import merkle
from tweeling.domain.log import Account, Anchor, Head
from tweeling.errors import RejectedError, UnavailableError, VerificationError


class MemoryLedger:
    """One log's head, for as long as the process lasts. `reachable = False` makes it as good as down."""

    chain_id = 31337
    contract = "0x" + "ab" * 20

    def __init__(self, log_id: bytes) -> None:
        """Hold the head of this log."""
        self.log_id = log_id
        self.reachable = True
        self._lock = Lock()
        self._anchors: dict[int, Anchor] = {}
        self._height = 0
        self._fork = 0

    def head(self) -> Head:
        """The head the contract would hold; size 0 before the first anchor."""
        self._answer()
        newest = self._anchors.get(max(self._anchors, default=0))
        return Head(newest.size, newest.root) if newest else Head(0, bytes(32))

    def anchor(self, size: int, root: bytes, proof: Sequence[bytes]) -> Anchor:
        """Anchor a checkpoint with its consistency proof from the head; done already counts as done."""
        with self._lock:
            head = self.head()
            if (size, root) == head:
                return self._anchors[size]
            if size <= head.size:
                raise RejectedError(f"size {size} does not extend size {head.size}")
            if head.size:
                try:
                    merkle.verify_consistency(old=head.size, new=size, old_root=head.root, new_root=root, proof=proof)
                except VerificationError as exc:
                    raise RejectedError(f"not consistent with the head: {exc}") from exc
            return self._mined(size, root)

    def account(self) -> Account:
        """Anchors in memory cost nothing."""
        self._answer()
        return Account(0, None, None)

    def find(self, size: int) -> Anchor | None:
        """The anchor of exactly this size."""
        self._answer()
        return self._anchors.get(size)

    def since(self, anchor: Anchor | None) -> Sequence[Anchor]:
        """Every anchor that came after this one, oldest first."""
        self._answer()
        return [self._anchors[size] for size in sorted(self._anchors) if anchor is None or size > anchor.size]

    def depth(self, anchor: Anchor) -> int:
        """How many blocks confirm an anchor; 0 where it was forgotten."""
        self._answer()
        return self._height - anchor.block + 1 if self._anchors.get(anchor.size) == anchor else 0

    def interrupt(self) -> None:
        """Nobody waits here."""

    def mine(self, blocks: int = 1) -> None:
        """Let blocks without anchors come."""
        with self._lock:
            self._height += blocks

    def restart(self) -> None:
        """Forget everything, as a development chain without state does."""
        with self._lock:
            self._anchors.clear()
            self._height = 0

    def reorganise(self, *, above: int, keep: bool = False) -> None:
        """Let the chain lose the blocks of sizes above this one; keep: the same anchors come again in other blocks."""
        with self._lock:
            lost = [self._anchors.pop(size) for size in sorted(self._anchors) if size > above]
            self._fork += 1
            if keep:
                for anchor in lost:
                    self._mined(anchor.size, anchor.root)

    def _mined(self, size: int, root: bytes) -> Anchor:
        self._height += 1
        number = self._height.to_bytes(8) + self._fork.to_bytes(8)
        self._anchors[size] = Anchor(
            size=size,
            root=root,
            chain_id=self.chain_id,
            contract=self.contract,
            log_id=self.log_id,
            block=self._height,
            block_hash=hashlib.sha256(b"block" + number).digest(),
            transaction=hashlib.sha256(b"transaction" + number + root).digest(),
        )
        return self._anchors[size]

    def _answer(self) -> None:
        if not self.reachable:
            raise UnavailableError("the ledger does not answer")
