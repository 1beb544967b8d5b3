"""The running agent: the outbox, the line to the broker and the drivers around the pure core.

One thread (the caller's) owns the core and carries out its commands; the others only hand events over.
"""

from __future__ import annotations

import logging
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Self, assert_never

from tweeling import __version__
from tweeling.errors import TweelingError, WireError
from tweeling.wire.ack import Ack, State
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Channel
from tweeling_edge.agent import Agent
from tweeling_edge.clock import Clock, system_ms
from tweeling_edge.config import Config
from tweeling_edge.drivers import Driver, Site, registry
from tweeling_edge.events import (
    Acked,
    Command,
    Connected,
    Delete,
    Disconnected,
    Dropped,
    Event,
    Forget,
    Handed,
    Hangup,
    NewEpoch,
    Publish,
    Queued,
    Renewed,
    Returned,
    Trust,
)
from tweeling_edge.feeder import DriverEnded, Feeder
from tweeling_edge.limits import Limits
from tweeling_edge.logs import Seldom
from tweeling_edge.notices import Alarmed, Failed, Notice, Settled
from tweeling_edge.outbox import Outbox
from tweeling_edge.outbox_store import Quota
from tweeling_edge.publisher import Arrived, Confirmed, Declined, LineBroken, LineDown, LineEvent, LineUp, Publisher
from tweeling_edge.sample import Bodies, pack
from tweeling_edge.settings import DriverSettings, credentials

log = logging.getLogger("tweeling_edge.agent")

STATE_EVERY_S = 60.0
TOGETHER = 500  # events that are taken in before anything is sent
LINGER_S = 2.0  # at the end, for answers
READ = 500  # samples that are read from the outbox at once


class _Woken:
    """Someone asked for the end."""


Incoming = Notice | LineEvent | _Woken | DriverEnded


class Runtime:
    """Everything of one node, joined. Use as a context manager, call `run` once."""

    def __init__(self, config: Config, drivers: Sequence[DriverSettings | Driver] | None = None) -> None:
        """Open what the configuration names; `drivers` take the place of its own. Raises ConfigError."""
        self._config = config
        who = credentials(config.broker.credentials) if config.broker.credentials else None
        self.clock = Clock() if config.clock is None else Clock(**config.clock.model_dump())
        chosen = config.drivers if drivers is None else drivers
        self.drivers = registry.drivers(chosen, Site(config.hub, config.node, self.clock))
        self._incoming: queue.SimpleQueue[Incoming] = queue.SimpleQueue()
        self._stop = threading.Event()
        self.outbox = Outbox(
            config.outbox.path,
            now_ms=system_ms,
            new_epoch=lambda: secrets.token_hex(8),
            quota=Quota.of(config.outbox.max_mb, config.outbox.max_rows),
            listen=self._incoming.put,
        )
        try:
            epoch, last, held, fresh_from, drops = self.outbox.state()
            self.agent = Agent(
                epoch=epoch,
                last=last,
                held=held,
                fresh_from=fresh_from,
                drops=drops,
                limits=Limits(pack=config.pack, messages=config.messages, reserve=max(1, config.messages // 5)),
            )
            self._publisher = Publisher(
                config.broker,
                who,
                hub=config.hub,
                node=config.node,
                presence=self._presence,
                listen=self._incoming.put,
                now_ms=system_ms,
                rng=Random(secrets.randbits(64)),  # noqa: S311 -- spreads reconnects, guards nothing
            )
        except BaseException:
            self.outbox.close()
            raise
        self._messages: dict[int, int] = {}  # paho's mid -> the agent's message
        self._counted: dict[str, int] = {}  # of what was sent, as the outbox knows it
        self._declined = False
        self._refused = Seldom(log, "readings.refused", "readings")
        self._unreadable = Seldom(log, "ack.unreadable", "acks")
        self._failure: str | None = None
        self._feeders = [
            Feeder(driver, self.outbox, backlog=config.backlog, stop=self._stop, tell=self._incoming.put)
            for driver in self.drivers
        ]
        self._unfinished = len(self.drivers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, done: Callable[[], bool] = lambda: False) -> None:
        """Work until `stop` is called or `done` holds; raise TweelingError when it cannot go on."""
        log.info("agent.started", extra={"node": self._config.node, "queued": self.agent.queued})
        self._publisher.start()
        for feeder in self._feeders:
            feeder.start()
        state_at = time.monotonic() + STATE_EVERY_S
        while not self._stop.is_set() and self._failure is None and not done():
            now = time.monotonic()
            due = self.agent.due()
            until = state_at if due is None else min(due, state_at)
            self._take_in_all(max(0.0, until - now))
            self._send()
            if time.monotonic() >= state_at:
                state_at = time.monotonic() + STATE_EVERY_S
                self._publisher.announce()
                self._keep_counts()
        if self._failure is not None:
            raise TweelingError(self._failure)
        self._wind_down()

    def stop(self) -> None:
        """Ask for the end; safe in a signal handler."""
        self._stop.set()
        self._incoming.put(_Woken())

    def close(self) -> None:
        """Stop drivers, say goodbye, let go of the outbox; what is durable stays."""
        self._end_drivers()
        self._publisher.stop()
        self._keep_counts()
        self.outbox.close()
        counts = self.agent.counters
        log.info("agent.stopped", extra={"queued": self.agent.queued, "sent": counts.sent, "repeated": counts.repeated})

    def _keep_counts(self) -> None:
        """Leave in the outbox what `status` cannot see there: how much was sent, and sent again."""
        counts = self.agent.counters
        for what, count in (("sent", counts.sent), ("repeated", counts.repeated)):
            if news := count - self._counted.get(what, 0):
                self.outbox.count(what, news)
                self._counted[what] = count

    def _end_drivers(self) -> None:
        self._stop.set()
        self.outbox.wake()
        for feeder in self._feeders:
            feeder.join()

    def _wind_down(self) -> None:
        """Send what drivers said last, and give the hub a moment to answer what is under way."""
        self._end_drivers()
        end = time.monotonic() + LINGER_S
        self._take_in_all(0)
        self._send()
        while self.agent.connected and self.agent.under_way and (left := end - time.monotonic()) > 0:
            self._take_in_all(left)

    @property
    def protocol(self) -> str:
        """The version of MQTT that is spoken, or tried."""
        return self._publisher.protocol

    @property
    def finished(self) -> bool:
        """Whether every driver has come to its end and all of theirs is settled."""
        if self._unfinished:
            return False
        sources = self.outbox.sources()
        return all(
            sources[driver.name].settled >= sources[driver.name].queued
            for driver in self.drivers
            if driver.name in sources
        )

    # ------------------------------------------------------------ events to the core, its commands to the world

    def _take_in_all(self, seconds: float) -> None:
        """Wait so long for something to happen, and take in what happened together with it."""
        try:
            self._take_in(self._incoming.get(timeout=seconds))
            for _ in range(TOGETHER):
                self._take_in(self._incoming.get_nowait())
        except queue.Empty:
            pass

    def _take_in(self, incoming: Incoming) -> None:
        match incoming:
            case _Woken() | Settled():
                pass
            case Alarmed():
                self._publisher.announce()
            case DriverEnded():
                self._unfinished -= 1
            case Queued() | Dropped() | Renewed():
                self._do(incoming)
                if isinstance(incoming, Renewed):
                    log.warning("outbox.new_epoch", extra={"epoch": incoming.epoch, "renumbered": incoming.last})
                    self._publisher.announce()
            case LineUp() | LineDown():
                self._messages.clear()
                self._do(Connected() if isinstance(incoming, LineUp) else Disconnected())
            case Confirmed() | Declined():
                self._hear_of_message(incoming)
            case Arrived(channel, payload):
                self._hear(channel, payload)
            case Failed(reason) | LineBroken(reason):
                self._failure = reason
            case _:
                assert_never(incoming)

    def _hear_of_message(self, word: Confirmed | Declined) -> None:
        declined = word.reason if isinstance(word, Declined) else ""
        if declined and not self._declined:
            log.warning("broker.declines", extra={"host": self._config.broker.host, "reason": declined})
        elif self._declined and not declined:
            log.info("broker.accepts", extra={"host": self._config.broker.host})
        self._declined = bool(declined)
        if (message := self._messages.pop(word.mid, None)) is not None:
            self._do(Returned(message) if declined else Handed(message))

    def _hear(self, channel: Channel, payload: bytes) -> None:
        if channel is not Channel.ACK:
            return  # no command exists yet
        try:
            ack = Ack.decode(payload)
            _check_ranges(ack)
        except WireError as exc:
            self._unreadable.note(1, reason=str(exc))
            return
        self._do(Acked(ack))

    def _do(self, event: Event) -> None:
        for command in self.agent.take_in(event, time.monotonic()):
            self._carry_out(command)

    def _send(self) -> None:
        commands = self.agent.send(time.monotonic())
        for command in commands:
            if not isinstance(command, Publish):
                self._carry_out(command)
        self._publish([command for command in commands if isinstance(command, Publish)])

    def _carry_out(self, command: Command) -> None:
        match command:
            case Publish():
                self._publish([command])
            case Delete(epoch, committed, refused):
                if refused:
                    readings = sum(last - first + 1 for first, last, _ in refused)
                    self._refused.note(readings, last=refused[-1][1], reason=refused[-1][2])
                self.outbox.settle(epoch, committed, SeqSet.of((first, last) for first, last, _ in refused))
            case Forget(ids):
                self.outbox.forget(ids)
            case Trust():
                self.outbox.trust()
            case NewEpoch(settled):
                self.outbox.renew(settled)
            case Hangup():
                log.warning("broker.silent", extra={"host": self._config.broker.host})
                self._publisher.hang_up()
            case _:
                assert_never(command)

    def _publish(self, commands: Sequence[Publish]) -> None:
        for together in _reads(commands):
            bodies = self.outbox.page(SeqSet.of(span for command in together for span in command.seqs.ranges))
            packed = [self._pack(command, bodies) for command in together]
            mids = self._publisher.publish_all(packed)
            self._messages.update(
                {mid: command.message for mid, command in zip(mids, together, strict=True) if mid is not None}
            )

    def _pack(self, command: Publish, bodies: Bodies) -> bytes:
        packed = pack(self._config.node, self.agent.epoch, command, bodies, cbor=self._config.encoding == "cbor")
        if packed.unreadable:
            self.outbox.drop(self.agent.epoch, SeqSet.from_seqs(packed.unreadable), "unreadable in the outbox")
        return packed.payload

    def _presence(self, online: bool, since_ms: int) -> bytes:
        return State(
            online=online,
            since_ms=since_ms,
            epoch=self.agent.epoch,
            software=f"tweeling-edge {__version__}",
            queued=self.agent.queued,
            alarm=self.outbox.alarm[:200],
        ).encode()


def _reads(commands: Sequence[Publish]) -> Iterator[Sequence[Publish]]:
    """Messages whose samples are read from the outbox at one look: more looks take time, larger ones memory."""
    start = size = 0
    for at, command in enumerate(commands):
        if size and size + len(command.seqs) > READ:
            yield commands[start:at]
            start, size = at, 0
        size += len(command.seqs)
    if commands:
        yield commands[start:]


def _check_ranges(ack: Ack) -> None:
    try:
        for ranges in (ack.committed, ((first, last) for first, last, _ in ack.refused), ack.want):
            SeqSet.of(ranges)
    except ValueError as exc:
        raise WireError(f"ack: {exc}") from exc
