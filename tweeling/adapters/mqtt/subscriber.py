"""The hub's MQTT subscriber: one thread that reads, has committed, acknowledges, and reads again.

What was not committed is not acknowledged, so the broker stops at its limit of messages in flight; what it sends beyond
that waits in the socket, not in memory. While a batch is committed nothing is read: the next batch is what came
meanwhile, and so grows with the load. What came on an earlier connection is never acknowledged on a later one, where
its packet id may stand for another message: it is delivered again there.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tweeling.adapters.mqtt.session import (
    Address,
    Protocol,
    Received,
    Session,
    VersionRefusedError,
    wake_pair,
    woken,
)
from tweeling.domain.now import NodeNow
from tweeling.errors import RejectedError, UnavailableError
from tweeling.ports.inbox import Answer, Inbox, Outcome
from tweeling.ports.journal import Batch
from tweeling.wire.topics import Channel, every

log = logging.getLogger(__name__)

EVERYTHING = (every(Channel.UP), every(Channel.STATE))
_GAPS_EVERY_S = 1.0
_SUSPECTS_EVERY_S = 60.0  # one line a minute, however much junk comes
_QUIET_S = 0.001  # no message for so long: nothing more is under way
_NOT_YET = "not connected yet"
_JOURNAL_RETRY_S = (0.1, 5.0)
_CONNECT_RETRY_S = (0.25, 30.0)
_STEADY_S = 10.0  # a connection that lived so long starts the waiting anew
_SMOOTH = 0.1  # weight of the newest batch in the load


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How much is committed at once, and how much may wait while the journal takes nothing."""

    messages: int = 500
    age_s: float = 0.02
    queue_messages: int = 8000
    queue_bytes: int = 64 << 20


class Status(NamedTuple):
    """How the subscriber is. error: the last trouble, empty while there is none."""

    connected: bool
    queued: int
    received: int
    handled: int
    error: str


class Subscriber:
    """Feeds an inbox from a broker, from `start` to `close`.

    on_batch and on_presence are called by its thread after each commit; they must be quick and must not raise.
    on_failed: called when the thread ends of what nobody foresaw.
    """

    def __init__(
        self,
        address: Address,
        inbox: Inbox,
        *,
        filters: Sequence[str] = EVERYTHING,
        on_batch: Callable[[Batch], None] = lambda _: None,
        on_presence: Callable[[NodeNow], None] = lambda _: None,
        on_failed: Callable[[], None] = lambda: None,
        batching: Batching | None = None,
    ) -> None:
        self._address = address
        self._inbox = inbox
        self._filters = tuple(filters)
        self._on_batch = on_batch
        self._on_presence = on_presence
        self._on_failed = on_failed
        self._batching = batching or Batching()
        self._changed = threading.Condition()  # guards what other threads ask for
        self._connected = False
        self._handled = 0
        self._broker_error = _NOT_YET
        self._journal_error = ""
        self._stop = threading.Event()
        self._waiting: list[Received] = []
        self._version = Protocol.V5 if address.protocol is Protocol.AUTO else address.protocol
        self._sessions = 0
        self._load = 0.0
        self._next_chores = 0.0
        self._untold_suspects = 0
        self._next_suspects = 0.0
        self._bell, self._wake = wake_pair()
        self._rng = random.Random()  # noqa: S311 -- spreads reconnects, guards nothing
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Connect, now or as soon as there is a broker."""
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the broker has granted the subscriptions; say whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self._connected, seconds)

    def status(self) -> Status:
        """How it is, now."""
        with self._changed:
            error = self._journal_error or self._broker_error
            waiting = len(self._waiting)
            return Status(self._connected, waiting, self._handled + waiting, self._handled, error)

    def close(self) -> None:
        """Finish the batch under way and leave; the broker keeps what was not acknowledged."""
        self._stop.set()
        self._bell.send(b"\0")
        if self._thread.is_alive():
            self._thread.join()
        self._bell.close()
        self._wake.close()

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        pause, longest = _CONNECT_RETRY_S
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                try:
                    session = self._connect()
                except VersionRefusedError as exc:
                    if self._address.protocol is Protocol.AUTO and self._version is Protocol.V5:
                        self._version = Protocol.V311
                        continue
                    self._note_lost(str(exc), refused=True)
                except RejectedError as exc:
                    self._note_lost(str(exc), refused=True)
                except UnavailableError as exc:
                    self._note_lost(str(exc))
                else:
                    self._live(session)
                if time.monotonic() - began >= _STEADY_S:
                    pause = _CONNECT_RETRY_S[0]
                if not self._stop.is_set():
                    woken(self._wake.fileno(), pause * self._rng.uniform(0.5, 1.0))
                pause = min(2 * pause, longest)
        except Exception as exc:
            log.exception("ingest.stopped")
            with self._changed:
                self._connected = False
                self._journal_error = f"ingest stopped: {exc}"
                self._changed.notify_all()
            self._on_failed()

    def _connect(self) -> Session:
        self._sessions += 1
        return Session(
            self._address, self._filters, version=self._version, number=self._sessions, wake=self._wake.fileno()
        )

    def _live(self, session: Session) -> None:
        """Work on one connection until it ends."""
        session.came[:0] = self._waiting  # of the last connection: committed here, acknowledged nowhere
        self._waiting = session.came
        self._note_connected()
        try:
            while not (self._stop.is_set() or session.lost):
                self._collect(session)
                if self._waiting and not self._stop.is_set() and not self._work(session):
                    break
                if time.monotonic() >= self._next_chores:
                    self._next_chores = time.monotonic() + _GAPS_EVERY_S
                    session.answer(self._gaps())
                session.flush()
        finally:
            session.close()
        if not self._stop.is_set():
            self._note_lost(session.lost)

    def _collect(self, session: Session) -> None:
        """Let come what comes, until it is quiet, enough or old."""
        limits = self._batching
        if not self._waiting:
            session.read(max(self._next_chores - time.monotonic(), 0.0), limit=limits.messages)
        full = len(self._waiting) >= limits.messages
        until = time.monotonic() + limits.age_s
        while self._waiting and not session.lost and len(self._waiting) < limits.messages:
            left = until - time.monotonic()
            if left <= 0 or not session.read(min(_QUIET_S, left), limit=limits.messages):
                break
        self._load += _SMOOTH * (full - self._load)

    def _work(self, session: Session) -> bool:
        """Have a batch committed and say so; False when asked to stop before it was."""
        taken = self._waiting[: self._batching.messages]
        outcome = self._commit(taken, session)
        if outcome is None:
            return False
        del self._waiting[: len(taken)]
        with self._changed:
            self._handled += len(taken)
        session.acknowledge(taken)
        session.answer(outcome.answers)
        self._tell(outcome)
        session.flush()
        return True

    def _commit(self, taken: Sequence[Received], session: Session) -> Outcome | None:
        """Have messages committed, however long the journal takes to answer; None when asked to stop meanwhile."""
        messages = [each.message for each in taken]
        pause, longest = _JOURNAL_RETRY_S
        while True:
            try:
                outcome = self._inbox.handle(messages, load=self._load)
            except UnavailableError as exc:
                with self._changed:
                    news, self._journal_error = not self._journal_error, str(exc)
                if news:
                    log.warning("journal.lost", extra={"reason": str(exc), "waiting": len(self._waiting)})
                self._hold_the_line(session, pause)
                if self._stop.is_set():
                    return None
                pause = min(2 * pause, longest)
            else:
                with self._changed:
                    news, self._journal_error = bool(self._journal_error), ""
                if news:
                    log.info("journal.back")
                return outcome

    def _hold_the_line(self, session: Session, seconds: float) -> None:
        """Wait, and answer the broker's pings as long as what comes with them can be held."""
        until = time.monotonic() + seconds
        limits = self._batching
        while not self._stop.is_set() and (left := until - time.monotonic()) > 0:
            size = sum(len(each.message.payload) for each in self._waiting)
            if session.lost or len(self._waiting) >= limits.queue_messages or size >= limits.queue_bytes:
                woken(self._wake.fileno(), left)
            else:
                session.read(left, limit=limits.messages)
                session.flush()

    # ------------------------------------------------------------ what others learn

    def _tell(self, outcome: Outcome) -> None:
        self._untold_suspects += len(outcome.suspects)
        if self._untold_suspects and time.monotonic() >= self._next_suspects:
            reason = outcome.suspects[0].reason if outcome.suspects else ""
            log.warning("ingest.quarantined", extra={"messages": self._untold_suspects, "reason": reason})
            self._untold_suspects, self._next_suspects = 0, time.monotonic() + _SUSPECTS_EVERY_S
        for presence in outcome.presence:
            self._on_presence(presence)
        if outcome.batch is not None:
            self._on_batch(outcome.batch)

    def _gaps(self) -> Sequence[Answer]:
        try:
            return self._inbox.gaps()
        except UnavailableError:
            return ()  # the next commit tells the journal's trouble; a second later is early enough

    def _note_connected(self) -> None:
        with self._changed:
            before, self._broker_error, self._connected = self._broker_error, "", True
            self._changed.notify_all()
        event = "broker.connected" if before == _NOT_YET else "broker.back"
        extra = {"host": self._address.host, "port": self._address.port, "protocol": str(self._version)}
        log.info(event, extra=extra)

    def _note_lost(self, reason: str, *, refused: bool = False) -> None:
        """Note the first reason of an outage, and a refusal in any case; each is news once."""
        with self._changed:
            first = self._connected or self._broker_error == _NOT_YET
            news = not self._stop.is_set() and (first or (refused and reason != self._broker_error))
            self._connected = False
            if news:
                self._broker_error = reason
        if news:
            extra = {"host": self._address.host, "port": self._address.port, "reason": reason}
            log.warning("broker.lost", extra={**extra, "queued": len(self._waiting)})
