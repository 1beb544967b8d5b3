"""A ledger in memory: for tests, and for a hub without a chain to try things on. It judges as the contract does."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from threading import Lock

from tweeling.domain import merkle
from tweeling.domain.log import Anchor, Head
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
            block = len(self._anchors) + 1
            number = block.to_bytes(8)
            self._anchors[size] = Anchor(
                size=size,
                root=root,
                chain_id=self.chain_id,
                contract=self.contract,
                log_id=self.log_id,
                block=block,
                block_hash=hashlib.sha256(b"block" + number).digest(),
                transaction=hashlib.sha256(b"transaction" + number + root).digest(),
            )
            return self._anchors[size]

    def affords(self) -> int | None:
        """Anchors in memory cost nothing."""
        self._answer()
        return None

    def find(self, size: int) -> Anchor | None:
        """The anchor of exactly this size."""
        self._answer()
        return self._anchors.get(size)

    def restart(self) -> None:
        """Forget everything, as a development chain without state does."""
        with self._lock:
            self._anchors.clear()

    def _answer(self) -> None:
        if not self.reachable:
            raise UnavailableError("the ledger does not answer")
