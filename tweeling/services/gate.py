"""Whether the custody log may grow: only while it is known to hold what its ledger holds.

A log that came out of an older copy would give places that are taken to other entries, and sign another history than
the one that partners hold. The ledger's head tells: it has to be a head of this log.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from tweeling.errors import UnavailableError

log = logging.getLogger("tweeling.custody")

_REMEDY = (
    "It may only grow from where the ledger is: restore a newer backup, or let it go on under another name "
    "(`tweeling restore --force --new-log ORIGIN`)"
)


class Gate:
    """Closed until the log was compared with its ledger's head. Safe from any thread.

    restored: the log comes from a backup, so silence of the ledger keeps it closed; else a ledger that is down, or
    silent for longer than patience_s, never blocks capture. on_proven: called once, when the log holds what the
    ledger holds.
    """

    def __init__(
        self,
        *,
        restored: bool = False,
        on_proven: Callable[[], object] = lambda: None,
        patience_s: float = 2.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._restored = restored
        self._on_proven = on_proven
        self._monotonic = monotonic
        self._until = monotonic() + patience_s
        self._lock = threading.Lock()
        self._why = "it is being compared with its ledger"
        self._proven = False

    @classmethod
    def open(cls) -> Gate:
        """The gate of a log that has no ledger: nobody but its partners could tell that it was longer once."""
        gate = cls()
        gate.proven()
        return gate

    def check(self) -> None:
        """Raise UnavailableError while the log may not grow."""
        if why := self.why():
            raise UnavailableError(f"the custody log takes nothing in: {why}")

    def why(self) -> str:
        """Why the log may not grow, empty where it may."""
        if self._why and not (self._proven or self._restored) and self._monotonic() >= self._until:
            self.unanswered("no answer yet")
        return self._why

    @property
    def waits(self) -> bool:
        """Whether it is of a restored log, and has not been told yet what the ledger holds."""
        return self._restored and not self._proven

    def proven(self) -> None:
        """The ledger's head is a head of this log."""
        with self._lock:
            if not self._proven:
                self._proven, self._why = True, ""
                self._on_proven()

    def unanswered(self, reason: str) -> None:
        """The ledger does not say what it holds."""
        with self._lock:
            if not self._proven:
                text = f"it was restored, and its ledger has not been asked yet ({reason})"
                self._why = text if self._restored else ""

    def contradicted(self, reason: str) -> None:
        """The ledger's head is none of this log's."""
        with self._lock:
            self._proven, self._why = True, f"{reason}. {_REMEDY}"
            log.critical("log.closed", extra={"reason": reason})
