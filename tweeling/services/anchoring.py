"""Anchoring: put the log's newest checkpoint under the chain's head, in batches, for as long as it takes.

The chain is the truth that every step starts from, so a step may be repeated after any failure. Capture never waits
for it: entries stay pending, and `health` says why.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tweeling.domain import merkle
from tweeling.domain.log import Account, Anchor, Checkpoint, Head
from tweeling.domain.now import PartNow
from tweeling.domain.vitals import LedgerSigns
from tweeling.errors import (
    ConfigError,
    LedgerError,
    RejectedError,
    Trouble,
    TweelingError,
    UnavailableError,
    VerificationError,
)
from tweeling.ports.clock import Clock
from tweeling.ports.facts import Facts
from tweeling.ports.ledger import Ledger
from tweeling.ports.logstore import LogStore
from tweeling.services.confirming import Confirming
from tweeling.services.gate import Gate

log = logging.getLogger("tweeling.anchoring")

_IDLE_S = 5.0
_LONGEST_IDLE_S = 30.0
_FEW_ANCHORS = 100
_ACCOUNT_S = 60.0  # between two looks at price and balance
_REMEDIES: Final = {
    Trouble.OPERATOR: "Name the operator's key in ledger.key_file and start the hub again, or have the log handed over "
    "to this key (`tweeling ledger rotate-operator`)",
    Trouble.RETIRED: "It goes on in its successor: `tweeling ledger status` names it, [ledger] has to",
}


@dataclass(frozen=True, slots=True)
class Batching:
    """Anchor once so many entries wait, or the oldest of them has waited so long."""

    max_entries: int = 10_000
    max_age_ms: int = 5_000


class Anchoring:
    """Follows the log's checkpoints onto one ledger. One thread steps; `health`, `signs` and `wake` are for any."""

    def __init__(
        self,
        store: LogStore,
        ledger: Ledger,
        facts: Facts,
        *,
        clock: Clock,
        batching: Batching | None = None,
        confirmations: int = 1,
        first: Head | None = None,
        gate: Gate | None = None,
        backoff_s: tuple[float, float] = (1.0, 30.0),
        patience_s: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Anchor a log on a ledger. clock: the one by which the log states times of capture.

        confirmations: blocks, an anchor's own counted, before it is said to be one. first: what the first anchor has
        to be, where the log goes on from another contract. gate: is told what the ledger says of the log. patience_s:
        how long a node may be behind before the chain is taken to have been cut back; None: for ever.
        """
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._batching = batching or Batching()
        self._confirmations = confirmations
        self._first = first
        self._gate = gate or Gate()
        self._chain = Confirming(
            store,
            ledger,
            facts,
            confirmations=confirmations,
            patience_s=patience_s,
            monotonic=monotonic,
        )
        self._backoff_s = backoff_s
        self._monotonic = monotonic
        self._wake = threading.Event()
        self._trouble: tuple[Trouble, str] | None = None
        self._account: Account | None = None
        self._asked = -_ACCOUNT_S

    def step(self) -> Anchor | None:
        """Anchor what is due; return the new anchor, None when nothing is.

        Raises UnavailableError, ConfigError or RejectedError of the ledger, UnavailableError too while its node is
        behind what was seen before, and VerificationError if the chain holds a head that is not in this log: that is a
        split view or a lost history, and nothing is anchored over it.
        """
        head = self._ledger.head()
        self._check_ours(head)
        self._check_up_to_date(head)
        self._gate.proven()
        self._chain.follow(head)
        self._look_at_account()
        offered = self._due(head)
        if offered is None:
            return None
        proof = merkle.consistency_proof(head.size, offered.size, self._store.nodes)
        anchor = self._ledger.anchor(offered.size, offered.root, proof)
        log.info("anchoring.sent", extra={"size": anchor.size, "block": anchor.block})
        self._chain.sent(anchor)
        self._look_at_account(anew=True)
        return anchor

    def wake(self) -> None:
        """Say that there is a new checkpoint."""
        self._wake.set()

    def end(self) -> None:
        """Let nobody wait for the chain any more: the hub stops."""
        self._ledger.interrupt()
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped. A VerificationError ends it, after it has been said: that is for people to judge."""
        shortest, longest = self._backoff_s
        backoff = shortest
        while not stop.is_set():
            try:
                self.step()
            except (UnavailableError, RejectedError, ConfigError) as exc:
                # Another chain or contract than configured is the operator's to mend; capture goes on meanwhile.
                if stop.is_set():
                    return
                self._gate.unanswered(str(exc))
                self._lost(exc)
                # A new checkpoint is no reason to knock again sooner.
                stop.wait(max(backoff, exc.retry_after_s if isinstance(exc, LedgerError) else 0))
                backoff = min(2 * backoff, longest)
            except VerificationError as exc:
                self._gate.contradicted(str(exc))
                self._trouble = (Trouble.HISTORY, str(exc))
                log.critical("anchoring.refused", extra={"reason": str(exc)})
                return
            else:
                self._back()
                backoff = shortest
                self._rest(stop)

    def _rest(self, stop: threading.Event) -> None:
        """Wait until something is due, or it is time to look at the chain all the same."""
        age = self._batching.max_age_ms / 1000
        soon = min(_IDLE_S, age)
        # A node is asked no more often than it takes: new checkpoints that are not due yet are no reason.
        until = self._monotonic() + (soon if self._chain.seen else min(_LONGEST_IDLE_S, max(soon, age / 10)))
        while True:
            self._wake.clear()  # first: `stop` is set before it wakes us
            left, due = until - self._monotonic(), self._due_in_s()
            if stop.is_set() or left <= 0 or due == 0:
                return
            self._wake.wait(left if due is None else min(left, due))

    # -------------------------------------------------------------- show

    def health(self) -> PartNow:
        """How anchoring goes, and how much waits."""
        try:
            size, anchor = self._store.size(), self._store.anchor()
        except UnavailableError as exc:
            return PartNow("anchoring", ok=False, detail=str(exc))
        waiting = size - (anchor.size if anchor else 0)
        text = f"anchored to size {anchor.size} in block {anchor.block}" if anchor else "nothing anchored yet"
        if seen := self._chain.seen:
            text += (
                f", size {seen[-1].size} seen in block {seen[-1].block}, "
                f"{self._chain.depth} of {self._confirmations} confirmations"
            )
        text += f", {max(waiting, 0)} pending"
        if poor := self._poor():
            text += f", and the account can pay {self.left} more anchors"
        trouble = self._trouble
        return PartNow("anchoring", not trouble and not poor, f"{trouble[1]}; {text}" if trouble else text)

    @property
    def left(self) -> int | None:
        """How many more anchors the account could pay, when that was last asked; None where nobody knows."""
        return self._account.left if self._account else None

    def signs(self) -> LedgerSigns:
        """What to watch of the ledger over time."""
        account, trouble, seen = self._account, self._trouble, self._chain.seen
        return LedgerSigns(
            trouble=trouble[0] if trouble else None,
            unconfirmed=len(seen),
            confirmations=self._chain.depth if seen else None,
            wanted=self._confirmations,
            reorganisations=self._chain.reorganisations,
            price_wei=account.price if account else None,
            most_wei=account.most if account else None,
        )

    # -------------------------------------------------------------- judge

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
        if self._first is not None and head.size < self._first.size:
            raise VerificationError(
                f"the contract holds size {head.size}, and the log was retired at {self._first.size}: it was not "
                "continued there",
                field="ledger.continues",
            )

    def _check_up_to_date(self, head: Head) -> None:
        """Believe no node that is behind, while a restored log waits to hear how long it has been."""
        newest = self._store.anchor()
        if self._gate.waits and newest is not None and newest.size > head.size:
            raise LedgerError(
                f"the node holds size {head.size}, behind what this log has seen anchored, {newest.size}",
                trouble=Trouble.BEHIND,
            )

    # -------------------------------------------------------------- offer

    def _due(self, head: Head) -> Head | None:
        """What to anchor now: what a reorganisation took back comes first, then the newest checkpoint in its time."""
        if self._first is not None and head.size == 0:
            return self._continued(self._first)
        for size in self._chain.owed():
            if size > head.size:
                return Head(size, merkle.root(size, self._store.nodes))
        checkpoint = self._store.checkpoint()
        if checkpoint is None or self._waits_s(checkpoint, head.size) != 0:
            return None
        return Head(checkpoint.size, checkpoint.root)

    def _continued(self, first: Head) -> Head:
        """The head at which the log left its former contract, which has to be a head of this log."""
        if first.size > self._store.size() or merkle.root(first.size, self._store.nodes) != first.root:
            raise VerificationError(
                f"the log was retired at size {first.size} under a root that is not this log's",
                field="ledger.continues",
            )
        return first

    def _due_in_s(self) -> float | None:
        """When something is due, as far as is known here; None where nothing waits, or the store does not answer."""
        try:
            seen, checkpoint = self._chain.size(), self._store.checkpoint()
            if any(size > seen for size in self._chain.owed()):
                return 0
            return None if checkpoint is None else self._waits_s(checkpoint, seen)
        except UnavailableError:
            return None  # the next step says so

    def _waits_s(self, checkpoint: Checkpoint, anchored: int) -> float | None:
        """How long a checkpoint may still wait, in seconds; None where it has nothing new."""
        waiting = checkpoint.size - anchored
        if waiting <= 0:
            return None
        if waiting >= self._batching.max_entries:
            return 0
        oldest = self._store.entries(anchored, anchored + 1)[0]
        age_ms = self._clock.now_ms() - oldest.captured_ms
        # A clock set back must not hold an entry for longer than it was ever meant to wait.
        return max(self._batching.max_age_ms - age_ms, 0) / 1000 if age_ms >= 0 else 0

    def _look_at_account(self, *, anew: bool = False) -> None:
        now = self._monotonic()
        if anew or self._poor() or self._account is None or now - self._asked >= _ACCOUNT_S:
            self._account = self._ledger.account()
            self._asked = now

    def _poor(self) -> bool:
        return self.left is not None and self.left < _FEW_ANCHORS

    def _lost(self, exc: TweelingError) -> None:
        trouble = _trouble(exc)
        if self._trouble is None or self._trouble[0] is not trouble:
            log.warning("ledger.lost", extra={"trouble": str(trouble), "reason": str(exc)})
        remedy = _REMEDIES.get(trouble)
        self._trouble = (trouble, f"{exc}. {remedy}" if remedy else str(exc))

    def _back(self) -> None:
        if self._trouble:
            log.info("ledger.back")
        self._trouble = None


def _trouble(exc: TweelingError) -> Trouble:
    if isinstance(exc, ConfigError):
        return Trouble.CHAIN if exc.field == "ledger.chain_id" else Trouble.CONTRACT
    trouble = getattr(exc, "trouble", None)
    if isinstance(trouble, Trouble):
        return trouble
    return Trouble.REFUSED if isinstance(exc, RejectedError) else Trouble.DOWN
