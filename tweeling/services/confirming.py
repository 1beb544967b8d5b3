"""What of a log its chain holds: seen, then anchored when enough blocks confirm it, and owed when it is taken back.

What is anchored is written down; what is only seen is not, for the chain tells it again. A receipt names the size at
which it is anchored, so each size that was ever called anchored is anchored again, and no receipt becomes false.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

from tweeling.domain import merkle
from tweeling.domain.log import Anchor, Head
from tweeling.errors import LedgerError, Trouble
from tweeling.ports.facts import Facts
from tweeling.ports.ledger import Ledger
from tweeling.ports.logstore import LogStore

log = logging.getLogger("tweeling.anchoring")

AGAIN: Final = "anchoring.again"
"""The fact that names sizes which were anchored once, and which the chain has taken back: {sizes: [n…]}."""

_MOST_OWED: Final = 1_000  # deeper than any reorganisation: that is a development chain which lost its state


class Confirming:
    """Follows one log's anchors on one ledger; one thread calls, and any may read what is public.

    seen: on the chain and not deep enough, the oldest first; depth: of the newest of them. reorganisations: since
    start. confirmations: blocks, an anchor's own counted, before it is one. patience_s: how long a node may be behind
    before the chain is taken to have been cut back, as only a development chain is; None: for ever.
    """

    def __init__(
        self,
        store: LogStore,
        ledger: Ledger,
        facts: Facts,
        *,
        confirmations: int = 1,
        patience_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._facts = facts
        self._confirmations = confirmations
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._behind: float | None = None
        self.seen: tuple[Anchor, ...] = ()
        self.depth = 0
        self.reorganisations = 0

    def sent(self, anchor: Anchor) -> None:
        """An anchor has come into a block."""
        self.seen = (*self.seen, anchor)
        self._settle(depth=1)

    def follow(self, head: Head) -> None:
        """Bring what we know to what the chain holds: it may have taken back, and we may have missed an answer."""
        self._forget_other_contracts()
        newest = self._newest()
        depth = self._depth_of(newest) if newest else 0
        if newest is not None and depth == 0:
            self._take_back()
            newest = self._newest()
        elif newest is not None and head.size < newest.size:
            raise LedgerError(
                f"the node holds size {head.size}, behind what the chain has shown, {newest.size}",
                trouble=Trouble.BEHIND,
            )
        if head.size > self.size():
            found = self._ledger.since(newest)
            if not found or found[-1].size < head.size:
                raise LedgerError(
                    f"the chain holds size {head.size}, and the node shows no event of it",
                    trouble=Trouble.BEHIND,
                    remedy="It lags, or ledger.first_block is later than the contract",
                )
            for anchor in found:
                self._check_ours(anchor, head)
            depth = self._depth_of(found[-1])  # first: in a block that never comes it would be waited for
            self.seen = (*self.seen, *found)
        if self.seen:
            self._settle(depth)

    def _check_ours(self, anchor: Anchor, head: Head) -> None:
        """The contract took the head as an extension of all before it, and it is ours: so are they, or a node lies."""
        if not 0 < anchor.size <= head.size:  # first: of what is not in this log there is no root to compare
            raise LedgerError(
                f"the node shows an anchor of size {anchor.size}, and the contract's head is {head.size}",
                trouble=Trouble.NONSENSE,
                remedy="Name another node in ledger.rpc, if it stays so",
            )
        if merkle.root(anchor.size, self._store.nodes) != anchor.root:
            raise LedgerError(
                f"the node shows another root for size {anchor.size} than the contract can have taken",
                trouble=Trouble.NONSENSE,
                remedy="Name another node in ledger.rpc",
            )

    def size(self) -> int:
        """The newest size that was seen on the chain, 0 before the first."""
        newest = self._newest()
        return newest.size if newest else 0

    def _newest(self) -> Anchor | None:
        return self.seen[-1] if self.seen else self._store.anchor()

    def _forget_other_contracts(self) -> None:
        """What another contract recorded is nothing that this one holds."""
        here = (self._ledger.chain_id, self._ledger.contract, self._ledger.log_id)
        newest = self._store.anchor()
        if newest is not None and (newest.chain_id, newest.contract, newest.log_id) != here:
            log.warning("anchoring.moved", extra={"before": newest.contract, "now": self._ledger.contract})
            self._store.drop_anchors(above=0)
            self._facts.put(AGAIN, {"sizes": []})

    def _depth_of(self, anchor: Anchor) -> int:
        """How deep an anchor is; 0 also where the chain has been too short for it for too long."""
        try:
            depth = self._ledger.depth(anchor)
        except LedgerError as exc:
            if exc.trouble is not Trouble.BEHIND:
                raise
            now = self._monotonic()
            self._behind = now if self._behind is None else self._behind
            if self._patience_s is None or now - self._behind < self._patience_s:
                raise
            return 0
        self._behind = None
        return depth

    def _is_gone(self, anchor: Anchor) -> bool:
        try:
            return self._ledger.depth(anchor) == 0
        except LedgerError as exc:
            if exc.trouble is not Trouble.BEHIND or self._behind is None:  # the newest was found: another node lags
                raise
            return True  # it has been waited for

    def _take_back(self) -> None:
        """The chain was reorganised: keep what it still holds, and note what has to be anchored again."""
        kept = self._store.anchors()
        # Whoever is in a block that is there has all blocks below it, so the deep ones are found by halving.
        there = bisect_left(kept, True, key=self._is_gone)
        last = kept[there - 1].size if there else 0
        lost = [anchor.size for anchor in kept[there:]][-_MOST_OWED:]
        log.warning(
            "anchoring.reorganised",
            extra={"unconfirmed": len(self.seen), "confirmed": len(kept) - there, "kept": last},
        )
        self.reorganisations += 1
        self.seen = ()
        self._behind = None
        if there < len(kept):
            self._facts.put(AGAIN, {"sizes": sorted({*self.owed(), *lost})})  # first: it must survive what follows
            self._store.drop_anchors(above=last)

    def owed(self) -> Sequence[int]:
        """Sizes that were anchored once and have to be again, the smallest first."""
        sizes = (self._facts.get(AGAIN) or {}).get("sizes", [])
        return [int(size) for size in sizes] if isinstance(sizes, list) else []

    def _settle(self, depth: int) -> None:
        """Keep what is deep enough. depth: of the newest seen."""
        newest = self.seen[-1]
        deep = [each for each in self.seen if depth + newest.block - each.block >= self._confirmations]
        for anchor in deep:
            self._store.save_anchor(anchor)
            log.info("anchoring.anchored", extra={"size": anchor.size, "block": anchor.block})
        self.seen, self.depth = self.seen[len(deep) :], depth
        if deep and (owed := self.owed()):
            self._facts.put(AGAIN, {"sizes": [size for size in owed if size > deep[-1].size]})
