"""The hub's MQTT subscriber: a shell of two threads around an `Inbox`.

paho's thread only queues. The worker takes what is there, has it committed, sends the broker's acks in the order of
receipt and then the nodes' own. What was not committed is not acknowledged, so the broker stops at its limit of
messages in flight; only where it has none does a full queue hold up the socket. What came on an earlier connection is
never acknowledged on a later one, where its packet id may stand for another message: it is delivered again there.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tweeling.domain.now import NodeNow
from tweeling.errors import UnavailableError
from tweeling.ports.inbox import Answer, Inbox, Message, Outcome
from tweeling.ports.journal import Batch
from tweeling.wire.topics import Channel, every

log = logging.getLogger(__name__)

_FILTERS = [(every(Channel.UP), 1), (every(Channel.STATE), 1)]
_GAPS_EVERY_S = 1.0
_SUSPECTS_EVERY_S = 60.0  # one line a minute, however much junk comes
_QUIET_S = 0.001  # no message for so long: nothing more is under way
_NOT_YET = "not connected yet"
_RETRY_S = (0.1, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A broker and who we are to it; client_id names our lasting session and must never change."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    keepalive_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How much is committed at once, and how much may wait."""

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


class _Received(NamedTuple):
    message: Message
    mid: int
    qos: int
    connection: int


class Subscriber:
    """Feeds an inbox from a broker, from `start` to `close`.

    on_batch and on_presence are called by the worker after each commit; they must be quick and must not raise.
    """

    def __init__(
        self,
        address: Address,
        inbox: Inbox,
        *,
        on_batch: Callable[[Batch], None] = lambda _: None,
        on_presence: Callable[[NodeNow], None] = lambda _: None,
        batching: Batching | None = None,
    ) -> None:
        self._address = address
        self._inbox = inbox
        self._on_batch = on_batch
        self._on_presence = on_presence
        self._batching = batching or Batching()
        self._changed = threading.Condition()  # guards what both threads know
        self._queue: deque[_Received] = deque()
        self._queue_bytes = 0
        self._received = 0
        self._handled = 0
        self._connection = 0
        self._pending: set[int] = set()  # packet ids of this connection that we have not acknowledged
        self._subscribed = False
        self._broker_error = _NOT_YET
        self._journal_error = ""
        self._stopping = False
        self._untold_suspects = 0  # the worker's own
        self._next_suspects = 0.0
        self._client = self._make_client()
        self._worker = threading.Thread(target=self._work, name="ingest", daemon=True)

    def start(self) -> None:
        """Connect, now or as soon as there is a broker."""
        self._client.connect_async(self._address.host, self._address.port, self._address.keepalive_s)
        self._client.loop_start()
        self._worker.start()

    def wait(self, seconds: float) -> bool:
        """Wait until the broker has granted the subscriptions; say whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self._subscribed, seconds)

    def status(self) -> Status:
        """How it is, now."""
        with self._changed:
            error = self._journal_error or self._broker_error
            return Status(self._subscribed, len(self._queue), self._received, self._handled, error)

    def close(self) -> None:
        """Finish the batch under way and leave; the broker keeps what was not acknowledged."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._worker.is_alive():
            self._worker.join()
        self._client.disconnect()
        self._client.loop_stop()

    # ------------------------------------------------------------ paho's thread

    def _make_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=self._address.client_id, clean_session=False, manual_ack=True
        )
        if self._address.username:
            client.username_pw_set(self._address.username, self._address.password)
        client.reconnect_delay_set(min_delay=1, max_delay=30)
        client.on_socket_open = _at_once
        client.on_pre_connect = lambda *_: self._renew()
        client.on_connect = self._connected
        client.on_connect_fail = lambda *_: self._lost("no answer")
        client.on_subscribe = self._granted
        client.on_disconnect = lambda _client, _data, _flags, reason, _props: self._lost(str(reason))
        client.on_message = self._take_in
        return client

    def _renew(self) -> None:
        with self._changed:
            self._connection += 1
            self._pending.clear()

    def _connected(self, client: paho.Client, _data: object, _flags: object, reason: Any, _props: object) -> None:
        if reason.is_failure:
            self._lost(f"refused: {reason}", refused=True)
        else:
            client.subscribe(_FILTERS)

    def _granted(self, _client: object, _data: object, _mid: int, reasons: Sequence[Any], _props: object) -> None:
        refused = [name for (name, _), reason in zip(_FILTERS, reasons, strict=True) if reason.is_failure]
        if refused:
            self._lost(f"subscription refused: {', '.join(refused)}", refused=True)
            return
        with self._changed:
            before, self._broker_error, self._subscribed = self._broker_error, "", True
            self._changed.notify_all()
        event = "broker.connected" if before == _NOT_YET else "broker.back"
        log.info(event, extra={"host": self._address.host, "port": self._address.port})

    def _lost(self, reason: str, *, refused: bool = False) -> None:
        """Note the first reason of an outage, and a refusal in any case; each is news once."""
        with self._changed:
            self._connection += 1
            first = self._subscribed or self._broker_error == _NOT_YET
            news = not self._stopping and (first or (refused and reason != self._broker_error))
            self._subscribed = False
            if news:
                self._broker_error = reason
            waiting = len(self._queue)
        if news:
            extra = {"host": self._address.host, "port": self._address.port, "reason": reason, "queued": waiting}
            log.warning("broker.lost", extra=extra)

    def _take_in(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError as exc:  # for quarantine, readable
            topic = bytes(exc.object).decode(errors="backslashreplace")
        with self._changed:
            if message.dup and message.mid in self._pending:  # the broker is impatient; we have it
                return
            if message.qos:
                self._pending.add(message.mid)
            payload = bytes(message.payload)
            self._queue.append(_Received(Message(topic, payload), message.mid, message.qos, self._connection))
            self._queue_bytes += len(payload)
            self._received += 1
            if len(self._queue) in {1, self._batching.messages}:
                self._changed.notify_all()
            self._changed.wait_for(lambda: self._load() < 1 or self._stopping)

    def _load(self) -> float:
        limits = self._batching
        return max(len(self._queue) / limits.queue_messages, self._queue_bytes / limits.queue_bytes)

    # ------------------------------------------------------------ the worker

    def _work(self) -> None:
        next_gaps = time.monotonic() + _GAPS_EVERY_S
        try:
            while True:
                taken, load = self._take()
                if taken:
                    outcome = self._handle([each.message for each in taken], load)
                    if outcome is None:
                        return
                    self._acknowledge(taken)
                    self._tell(outcome)
                elif self._stopping:
                    return
                if time.monotonic() >= next_gaps:
                    next_gaps = time.monotonic() + _GAPS_EVERY_S
                    self._ask_again()
        except Exception as exc:
            log.exception("ingest.stopped")
            with self._changed:
                self._journal_error = f"ingest stopped: {exc}"
                self._stopping = True
                self._changed.notify_all()
            self._client.disconnect()  # the broker keeps what nobody here would take

    def _take(self) -> tuple[list[_Received], float]:
        """Take the next batch: all that comes until it is quiet, full or old; nothing when asked to stop."""
        limits = self._batching
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._stopping, _GAPS_EVERY_S)
            oldest = time.monotonic()
            while self._queue and len(self._queue) < limits.messages and time.monotonic() - oldest < limits.age_s:
                before = len(self._queue)
                self._changed.wait(_QUIET_S)
                if len(self._queue) == before:
                    break
            if self._stopping:
                return [], 0.0
            load = self._load()
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), limits.messages))]
            self._queue_bytes -= sum(len(each.message.payload) for each in taken)
            self._changed.notify_all()
        return taken, load

    def _handle(self, messages: list[Message], load: float) -> Outcome | None:
        """Have messages committed, however long the journal takes to answer; None when asked to stop meanwhile."""
        pause, longest = _RETRY_S
        while True:
            try:
                outcome = self._inbox.handle(messages, load=load)
            except UnavailableError as exc:
                with self._changed:
                    news, self._journal_error = not self._journal_error, str(exc)
                if news:
                    log.warning("journal.lost", extra={"reason": str(exc), "waiting": len(messages)})
                with self._changed:
                    if self._changed.wait_for(lambda: self._stopping, pause):
                        return None
                pause = min(2 * pause, longest)
            else:
                with self._changed:
                    news, self._journal_error = bool(self._journal_error), ""
                    self._handled += len(messages)
                if news:
                    log.info("journal.back")
                return outcome

    def _acknowledge(self, taken: Sequence[_Received]) -> None:
        for each in taken:
            with self._changed:  # between this check and the ack no other connection may begin
                if each.connection == self._connection:
                    self._client.ack(each.mid, each.qos)
                    self._pending.discard(each.mid)

    def _tell(self, outcome: Outcome) -> None:
        self._answer(outcome.answers)
        self._untold_suspects += len(outcome.suspects)
        if self._untold_suspects and time.monotonic() >= self._next_suspects:
            reason = outcome.suspects[0].reason if outcome.suspects else ""
            log.warning("ingest.quarantined", extra={"messages": self._untold_suspects, "reason": reason})
            self._untold_suspects, self._next_suspects = 0, time.monotonic() + _SUSPECTS_EVERY_S
        for presence in outcome.presence:
            self._on_presence(presence)
        if outcome.batch is not None:
            self._on_batch(outcome.batch)

    def _ask_again(self) -> None:
        try:
            answers = self._inbox.gaps()
        except UnavailableError:
            return  # the next commit tells the journal's trouble; a second later is early enough
        self._answer(answers)

    def _answer(self, answers: Sequence[Answer]) -> None:
        """Tell the nodes; an answer that is lost only causes a repeat."""
        for topic, ack in answers:
            self._client.publish(topic, ack.encode(), qos=0)


def _at_once(_client: object, _data: object, sock: Any) -> None:
    """Send small packets as they come: an ack held back for a fuller segment costs 40 ms."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
