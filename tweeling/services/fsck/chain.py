"""The anchors that the records have against those that the chain tells of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack

from tweeling.errors import ConfigError, RejectedError, UnavailableError, UndecidedError, VerificationError
from tweeling.ports.audit import AnchorRow, ChainAudit, Installation, Look
from tweeling.services.fsck.report import Check

_NAMED = 5
_TOLD = ("root", "block", "block_hash", "transaction")


class ChainCheck:
    """Asks the chain before the records are opened, and for its events while they are read.

    So every event through the block of that first look must be known to the records, and every row to the chain.
    """

    def __init__(self, installation: Installation, closing: ExitStack) -> None:
        self.check = Check("custody chain")
        self._chain: ChainAudit | None = None
        self._seen = Look(0, 0, b"")
        self._newest: AnchorRow | None = None
        self._waiting: deque[AnchorRow] = deque(maxlen=_NAMED)  # without a row, and above every row so far
        self._left: list[int] = []  # the sizes of all of those
        self._count = 0
        try:
            chain = closing.enter_context(installation.chain())
            self._seen = chain.look()
            self._chain = chain
        except VerificationError as exc:
            self.check.add("contract", "chain", expected="our contract", found=exc)
        except (UndecidedError, UnavailableError, RejectedError, ConfigError) as exc:
            self.check.leave_out(str(exc))

    def events(self) -> Iterator[AnchorRow]:
        """Every event, its size above that of the one before; a chain that falls silent leaves the rest out."""
        if self._chain is None:
            return
        size = 0
        try:
            for event in self._chain.anchored():
                if event.size <= size:
                    self.check.add("size", f"block {event.block}", expected=f"above {size}", found=event.size)
                    continue
                size = event.size
                yield event
        except (UnavailableError, RejectedError) as exc:
            self._chain = None
            self.check.leave_out(f"anchors above size {size}: {exc}")

    def compare(self, row: AnchorRow | None, event: AnchorRow | None) -> bool:
        """Compare what records and chain say of one size; return whether the event counts for the records."""
        if event is None:
            if row is not None and self._chain is not None:
                self._miss_event(row)
            return False
        if event.block <= self._seen.block:
            self._newest = event
        if row is not None:
            self._count += 1
            self._miss_waiting()
            for name in _TOLD:
                self.check.compare(name, f"anchor {row.size}", expected=getattr(event, name), found=getattr(row, name))
            return True
        if event.block > self._seen.block:  # since the first look, and the records are older
            return False
        self._waiting.append(event)
        self._left.append(event.size)
        return True

    def _miss_event(self, row: AnchorRow) -> None:
        """A node that is behind knows nothing of a later block, so it is no witness."""
        if row.block > self._seen.block:
            self.check.leave_out(f"anchor {row.size} is of block {row.block}, and the node is at {self._seen.block}")
        else:
            self.check.add("anchor", f"size {row.size}", expected="on the chain too", found="in the records only")

    def _miss_waiting(self) -> None:
        """A hub takes up what it has missed before it anchors more: where a later row stands, these were there once."""
        for event in self._waiting:
            self.check.add("anchor", f"size {event.size}", expected=f"a row, as block {event.block} says", found=None)
        self.check.more += len(self._left) - len(self._waiting)
        self._waiting.clear()
        self._left.clear()

    def finish(self, entries: int) -> None:
        """The chain's events are all read: the contract's head is the newest of them. entries: of the log."""
        if self._chain is None:
            return
        newest = (self._newest.size, self._newest.root.hex()) if self._newest else (0, "")
        self.check.compare("head", "contract", expected=newest, found=(self._seen.size, self._seen.root.hex()))
        self.check.say(
            f"{self._count:,} anchors compared with chain {self._chain.chain_id}, block {self._seen.block:,}"
        )
        if left := [size for size in self._left if size <= entries]:
            sizes = ", ".join(map(str, left[-_NAMED:]))
            self.check.say(f"{len(left):,} more are on the chain, which a hub takes up when it runs: {sizes}")
