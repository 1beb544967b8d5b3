"""Anchoring: put the log's newest checkpoint under the chain's head, in batches, for as long as it takes.

The chain's own head is the truth that every step starts from, so a step may be repeated after any failure. Capture
never waits for it: entries stay pending, and `health` says why.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from tweeling.domain import merkle
from tweeling.domain.log import Anchor, Checkpoint, Head
from tweeling.domain.now import PartNow
from tweeling.errors import ConfigError, RejectedError, TweelingError, UnavailableError, VerificationError
from tweeling.ports.clock import Clock
from tweeling.ports.ledger import Ledger
from tweeling.ports.logstore import LogStore
from tweeling.services.gate import Gate

log = logging.getLogger("tweeling.anchoring")

_IDLE_S = 5.0
_FEW_ANCHORS = 100


@dataclass(frozen=True, slots=True)
class Batching:
    """Anchor once so many entries wait, or the oldest of them has waited so long."""

    max_entries: int = 10_000
    max_age_ms: int = 5_000


class Anchoring:
    """Follows the log's checkpoints onto one ledger. One thread steps; `health` and `wake` are for any."""

    def __init__(
        self,
        store: LogStore,
        ledger: Ledger,
        *,
        clock: Clock,
        batching: Batching | None = None,
        gate: Gate | None = None,
        backoff_s: tuple[float, float] = (1.0, 30.0),
    ) -> None:
        """Anchor a log on a ledger. clock: the one by which the log states times of capture.

        gate: is told what the ledger says of the log.
        """
        self._backoff_s = backoff_s
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._batching = batching or Batching()
        self._gate = gate or Gate()
        self._wake = threading.Event()
        self._trouble = ""
        self.left: int | None = None
        """How many more anchors the ledger's account could pay, when that was last asked; None where nobody knows."""

    def step(self) -> Anchor | None:
        """Anchor what is due; return the new anchor, None when nothing is.

        Raises UnavailableError or RejectedError of the ledger, UnavailableError too while its node is behind what a
        restored log has seen, and VerificationError if the chain holds a head that is not in this log: that is a split
        view or a lost history, and nothing is anchored over it.
        """
        head = self._ledger.head()
        self._check_ours(head)
        self._check_up_to_date(head)
        self._gate.proven()
        self._reconcile(head)
        if self.left is None or self.left < _FEW_ANCHORS:
            self.left = self._ledger.affords()
        checkpoint = self._store.checkpoint()
        if checkpoint is None or not self._due(checkpoint, head):
            return None
        proof = merkle.consistency_proof(head.size, checkpoint.size, self._store.nodes)
        anchor = self._ledger.anchor(checkpoint.size, checkpoint.root, proof)
        self._store.save_anchor(anchor)
        self.left = self._ledger.affords()
        log.info("anchoring.anchored", extra={"size": anchor.size, "block": anchor.block})
        return anchor

    def wake(self) -> None:
        """Say that there is a new checkpoint."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped. A VerificationError ends it, after it has been said: that is for people to judge."""
        idle = min(_IDLE_S, self._batching.max_age_ms / 1000)
        shortest, longest = self._backoff_s
        backoff = shortest
        while not stop.is_set():
            try:
                self.step()
            except (UnavailableError, RejectedError, ConfigError) as exc:
                # Another chain or contract than configured is the operator's to mend; capture goes on meanwhile.
                self._gate.unanswered(str(exc))
                self._lost(exc)
                stop.wait(backoff)  # a new checkpoint is no reason to knock again sooner
                backoff = min(2 * backoff, longest)
            except VerificationError as exc:
                self._gate.contradicted(str(exc))
                self._trouble = str(exc)
                log.critical("anchoring.refused", extra={"reason": str(exc)})
                return
            else:
                self._back()
                backoff = shortest
                self._wake.wait(idle)
                self._wake.clear()

    def health(self) -> PartNow:
        """How anchoring goes, and how much waits."""
        try:
            size, anchor = self._store.size(), self._store.anchor()
        except UnavailableError as exc:
            return PartNow("anchoring", ok=False, detail=str(exc))
        waiting = size - (anchor.size if anchor else 0)
        held = f"anchored to size {anchor.size} in block {anchor.block}" if anchor else "nothing anchored yet"
        text = f"{held}, {max(waiting, 0)} pending"
        poor = self.left is not None and self.left < _FEW_ANCHORS
        if poor:
            text += f", and the account can pay {self.left} more anchors"
        ok = not self._trouble and not poor
        return PartNow("anchoring", ok, f"{self._trouble}; {text}" if self._trouble else text)

    def _check_ours(self, head: Head) -> None:
        if head.size == 0:
            return
        if head.size > self._store.size():
            raise VerificationError(
                f"the chain holds size {head.size}, this log has {self._store.size()}: a lost or another history",
                field="head.size",
            )
        if merkle.root(head.size, self._store.nodes) != head.root:
            raise VerificationError(f"the chain holds another root for size {head.size}", field="head.root")

    def _check_up_to_date(self, head: Head) -> None:
        """Believe no node that is behind, while a restored log waits to hear how long it has been."""
        newest = self._store.anchor()
        if self._gate.waits and newest is not None and newest.size > head.size:
            raise UnavailableError(
                f"the node holds size {head.size}, behind what this log has seen anchored, {newest.size}"
            )

    def _reconcile(self, head: Head) -> None:
        """Bring our records to what the chain holds: it may have forgotten, and we may have missed an answer."""
        newest = self._store.anchor()
        if newest is not None and newest.size > head.size:
            log.warning("anchoring.forgotten", extra={"recorded": newest.size, "held": head.size})
            self._store.drop_anchors(above=head.size)
            newest = self._store.anchor()
        if head.size and (newest is None or newest.size < head.size):
            found = self._ledger.find(head.size)
            if found is not None:
                self._store.save_anchor(found)

    def _due(self, checkpoint: Checkpoint, head: Head) -> bool:
        waiting = checkpoint.size - head.size
        if waiting <= 0:
            return False
        if waiting >= self._batching.max_entries:
            return True
        oldest = self._store.entries(head.size, head.size + 1)[0]
        # A clock set back must not hold an entry for longer than it was ever meant to wait.
        return not 0 <= self._clock.now_ms() - oldest.captured_ms < self._batching.max_age_ms

    def _lost(self, exc: TweelingError) -> None:
        if not self._trouble:
            log.warning("ledger.lost", extra={"reason": str(exc)})
        self._trouble = str(exc)

    def _back(self) -> None:
        if self._trouble:
            log.info("ledger.back")
        self._trouble = ""
