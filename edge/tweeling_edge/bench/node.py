"""One node that publishes from memory, by the agent's own publisher and by the agent's rules."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from random import Random

from tweeling import __version__
from tweeling.errors import TweelingError
from tweeling.wire.ack import Ack, State
from tweeling.wire.envelope import Envelope
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Channel
from tweeling_edge.bench.load import THINGS, Load
from tweeling_edge.bench.plan import Plan
from tweeling_edge.bench.window import Window
from tweeling_edge.clock import system_ms
from tweeling_edge.publisher import Arrived, Confirmed, LineBroken, LineDown, LineEvent, LineUp, Publisher
from tweeling_edge.settings import credentials

_ASK_S = 3.0


class Node:
    """Keeps its window full until `ended`. Its line's thread and the caller's meet at one lock."""

    def __init__(self, plan: Plan, index: int, ended: threading.Event) -> None:
        hub, self._node = plan.nodes[index]
        self._epoch = secrets.token_hex(8)
        self._load = Load(
            hub, self._node, self._epoch, records=plan.records, seqs=plan.samples, first_thing=index * THINGS
        )
        self.window = Window(self._load.seqs)
        self._most, self._wait_s = plan.window, plan.wait_s
        self._ended = ended
        self._lock = threading.Lock()
        self._due: int | None = 0  # messages that the schedule wants sent by now; None: all
        self._ask_at = 0.0
        self._paused_until = 0.0
        self._until_broker = plan.until == "broker"
        self._confirmed = 0  # by the broker, not yet settled
        self._broken = ""
        self.answered = False
        self.connections = 0
        self.refused = 0
        self.paused_s = 0.0
        self.first_at = 0.0
        self._publisher = Publisher(
            plan.broker,
            credentials(plan.credentials[index]) if plan.credentials else None,
            hub=hub,
            node=self._node,
            presence=self._presence,
            listen=self._hear,
            now_ms=system_ms,
            rng=Random(secrets.randbits(64)),  # noqa: S311 -- spreads reconnects, guards nothing
        )

    @property
    def protocol(self) -> str:
        """The version of MQTT that is spoken."""
        return self._publisher.protocol

    def start(self) -> None:
        """Connect and ask."""
        self._publisher.start()

    def stop(self) -> None:
        """Say goodbye."""
        self._publisher.stop()

    def look(self, now: float, due: int | None) -> None:
        """Send what time has made due: the question, repeats, new messages."""
        if self._broken:
            raise TweelingError(self._broken)
        with self._lock:
            self._due = due
            if self._until_broker:
                self._settle_confirmed(now)
            if self.answered:
                self._flow(now)
            elif now >= self._ask_at:
                self._ask(now)

    # ------------------------------------------------------------ the line's thread

    def _hear(self, event: LineEvent) -> None:
        if isinstance(event, Confirmed):
            self._confirmed += self.answered  # counted only: here paho holds a lock that `publish` wants too
            return
        with self._lock:
            match event:
                case Arrived(Channel.ACK, payload):
                    self._acked(Ack.decode(payload), time.monotonic())
                case LineUp():
                    self.connections += 1
                    if self._until_broker:
                        self.answered = True
                    else:
                        self._ask(time.monotonic())
                case LineDown():
                    self.answered = False
                case LineBroken(reason):
                    self._broken = reason

    def _acked(self, ack: Ack, now: float) -> None:
        if ack.epoch != self._epoch:
            return
        settled = ack.committed
        if ack.refused:
            refused = SeqSet.of((first, last) for first, last, _ in ack.refused)
            self.refused += len(refused)
            settled = (SeqSet.of(settled) | refused).ranges
        self.window.settle(settled, now)
        if ack.retry_after:
            pause = max(now + ack.retry_after, self._paused_until)
            self.paused_s += pause - max(now, self._paused_until)
            self._paused_until = pause
        if ack.known and not self.answered:
            self.answered = True
            self._send(self.window.overdue(now, 0))  # what the connection before may have lost
        if self.answered:
            self._flow(now)

    def _settle_confirmed(self, now: float) -> None:
        """Settle what the broker has confirmed since the last look; it does so in order."""
        count = min(self._confirmed, len(self.window))
        self._confirmed -= count
        if count:
            self.window.settle(
                ((self._load.first(self.window.low), self._load.first(self.window.low + count) - 1),), now
            )

    # ------------------------------------------------------------ sending

    def _flow(self, now: float) -> None:
        if now < self._paused_until:
            return
        self._send(self.window.overdue(now, self._wait_s))
        room = self._most - len(self.window)
        if self._due is not None:
            room = min(room, self._due - self.window.sent)
        if room > 0 and not self._ended.is_set():
            self.first_at = self.first_at or now
            self._send(self.window.send(room, now))

    def _send(self, messages: Sequence[int]) -> None:
        low, now_ms = self._load.first(self.window.low), system_ms()
        self._publisher.publish_all([self._load.payload(message, low, now_ms) for message in messages])

    def _ask(self, now: float) -> None:
        self._ask_at = now + _ASK_S
        low = self._load.first(self.window.low)
        self._publisher.publish(Envelope(node=self._node, epoch=self._epoch, low=low, ask=True).to_json())

    def _presence(self, online: bool, since_ms: int) -> bytes:
        software, queued = f"tweeling-edge {__version__}", len(self.window)
        return State(online=online, since_ms=since_ms, epoch=self._epoch, software=software, queued=queued).encode()
