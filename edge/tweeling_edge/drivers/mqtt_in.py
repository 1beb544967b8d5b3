"""Messages of another local broker as readings: acknowledged there only when they are durable here.

The session is a persistent one: what comes while the agent is away waits at that broker. Where the agent dies between
the outbox's commit and the acknowledgement, a message comes again and is told again: once too often, never once too
few. Where it carries its own time, the hub sees that it is the same.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from tweeling.errors import UnavailableError
from tweeling.wire.senml import Resolved, is_name
from tweeling_edge.backoff import STEADY_S
from tweeling_edge.config import Broker
from tweeling_edge.drivers import Batch, Look, Site, jsonpath
from tweeling_edge.drivers.jsonpath import JsonPath
from tweeling_edge.drivers.sensors import Conversion, check_unit
from tweeling_edge.drivers.times import known_zone, time_ms
from tweeling_edge.drivers.topics import Pattern, check_template, filled, widest
from tweeling_edge.line import tls_context
from tweeling_edge.logs import Seldom
from tweeling_edge.sample import Sample
from tweeling_edge.session import Message, Session, Terms
from tweeling_edge.settings import DriverSettings, credentials

log = logging.getLogger("tweeling_edge.drivers")

_BATCH = 500  # messages in a transaction, whatever a broker sends at once
_SHOWN = 40  # bytes of a message that was not understood


class Rule(Conversion):
    """Which messages are readings, of what."""

    topic: str = Field(description="a topic filter whose levels may be named, such as shop/{thing}/status")
    name: str = Field(description="what is measured, thing/attribute, such as {thing}/fillingLevel")
    path: str | None = Field(None, description="the JSONPath of the value; without it, the message is a plain number")
    time: str | None = Field(None, description="the JSONPath of the message's own time; without it, when it came")

    @field_validator("topic")
    @classmethod
    def _a_topic(cls, topic: str) -> str:
        Pattern.parse(topic)
        return topic

    _paths = field_validator("path", "time")(jsonpath.checked)

    @model_validator(mode="after")
    def _a_name(self) -> Rule:
        check_template(self.name, Pattern.parse(self.topic))
        check_unit(self.name, self.unit)
        return self


class MqttInSettings(DriverSettings):
    """Hears what another broker has."""

    kind: Literal["mqtt-in"] = "mqtt-in"
    name: str = Field("", max_length=100, description="what logs and counts call it; host and port where it is empty")
    broker: Broker = Field(description="a table [drivers.broker]: host, port, credentials, tls, … as of [broker]")
    client_id: str = Field(
        "",
        max_length=100,
        pattern=r"^[A-Za-z0-9:._-]*$",
        description="the name under which that broker keeps what is missed; one of its own for each gateway and driver",
    )
    keep_s: int = Field(
        604_800, ge=60, le=31_536_000, description="seconds for which it is asked to keep that (MQTT 5), 60..31536000"
    )
    max_kb: int = Field(64, ge=1, le=1024, description="kilobytes of a message at most, 1..1024")
    zone: str = Field("UTC", description="the time zone of times without one, such as Europe/Amsterdam")
    readings: tuple[Rule, ...] = Field(min_length=1, description="tables [[drivers.readings]], one for each rule")

    _known_zone = field_validator("zone")(known_zone)

    @field_validator("readings")
    @classmethod
    def _comes_once(cls, readings: tuple[Rule, ...]) -> tuple[Rule, ...]:
        widest(Pattern.parse(rule.topic).filter for rule in readings)
        return readings


class _Unread(NamedTuple):
    """A message that a rule makes no reading of. reason: one of a few, to be counted; detail: for a person."""

    reason: str
    detail: str


_NO_RULE = _Unread("no rule for its topic", "no rule fits its topic: an older one subscribed to it")


class MqttIn:
    """What no rule understands is counted, told and let go: it stops nothing."""

    Settings = MqttInSettings

    def __init__(self, settings: MqttInSettings, site: Site) -> None:
        """Raise ConfigError where credentials or certificates cannot be used."""
        broker = settings.broker
        if broker.tls is not None:
            tls_context(broker.tls, field="drivers.broker.tls")
        self.name = settings.name or f"mqtt-in:{broker.host}:{broker.port}"
        self._broker = broker
        self._who = credentials(broker.credentials, field="drivers.broker.credentials") if broker.credentials else None
        self._clock = site.clock
        self._patience_s = site.patience_s
        self._max_bytes = settings.max_kb << 10
        self._readers = [_Reader(rule, ZoneInfo(settings.zone)) for rule in settings.readings]
        filters = [reader.filter for reader in self._readers]
        topics = widest(filters)
        own = hashlib.sha256(self.name.encode()).hexdigest()[:8]
        self._terms = Terms(
            client_id=settings.client_id or f"tweeling-{site.hub}-{site.node}-{own}",
            topics=topics,
            not_topics=tuple(each for each in dict.fromkeys(filters) if each not in topics),
            keep_s=settings.keep_s,
            max_bytes=self._max_bytes,
            manual_ack=True,
        )
        self._told = Seldom(log, "message.unread", "messages")
        self._session: Session | None = None
        self._waker: threading.Thread | None = None

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:  # noqa: ARG002 -- the broker keeps it
        """Yield what comes, with all that came at the same time; acknowledge it when the next is asked for."""
        if self._waker is None:
            self._waker = threading.Thread(target=self._wake_at, args=(stop,), name=f"{self.name} stop", daemon=True)
            self._waker.start()
        try:
            session = Session.opened(self._broker, self._who, self._terms, stop)
        except UnavailableError:
            if stop.is_set():
                return
            raise
        with closing(session):
            self._session = session
            log.info("driver.connected", extra={"driver": self.name, "mqtt": session.protocol})
            seconds = STEADY_S
            while not stop.is_set():
                session.serve(lambda: session.inbox or stop.is_set(), seconds=seconds)
                if session.inbox:
                    messages = session.inbox[:_BATCH]
                    del session.inbox[:_BATCH]
                    yield self._batch(messages)
                    session.acknowledge(messages)
                elif session.over:
                    raise session.unavailable()
                elif not stop.is_set():
                    yield Batch(())  # it is back, whether something comes or not; one that ends at once is not
                    seconds = float("inf")

    def look(self) -> Iterator[Look]:
        """Show the first message of each sensor that comes while patience lasts, and each rule that hears nothing."""
        # A session of its own: the agent's must miss nothing.
        terms = replace(self._terms, client_id=secrets.token_hex(16), keep_s=0, manual_ack=False)
        silent, seen = {reader.filter: reader for reader in self._readers}, set[str]()
        end = time.monotonic() + self._patience_s
        with closing(Session.opened(self._broker, self._who, terms, threading.Event())) as session:
            while silent and not session.over and (left := end - time.monotonic()) > 0:
                session.serve(lambda: session.inbox, seconds=left)
                messages, session.inbox = session.inbox, []
                for message in messages:
                    for reader, levels in self._fitting(message.topic):
                        silent.pop(reader.filter, None)
                        look = self._shown(message, reader, levels)
                        if look.sensor not in seen:
                            seen.add(look.sensor)
                            yield look
        for reader in silent.values():
            wrong = f"no message within {self._patience_s:g} s"
            yield Look(reader.pattern.text, wrong=wrong, remedy="See `topic`, or wait for the sensor to speak: --wait")

    def _shown(self, message: Message, reader: _Reader, levels: Mapping[str, str]) -> Look:
        read = self._read(message, reader, levels)
        if read is None:
            return Look(message.topic, _first(message), wrong="is retained, so it is old, and tells no time of its own")
        if isinstance(read, _Unread):
            return Look(message.topic, _first(message), wrong=read.detail, remedy="See the rules of this driver")
        return read

    def _batch(self, messages: Sequence[Message]) -> Batch:
        samples: list[Sample] = []
        unread: Counter[str] = Counter()
        for message in messages:
            fitting = self._fitting(message.topic)
            reads = [self._read(message, reader, levels) for reader, levels in fitting] or [_NO_RULE]
            for read in reads:
                if isinstance(read, _Unread):
                    unread[f"{self.name}: {read.reason}"] += 1
                    self._told.note(1, driver=self.name, topic=message.topic, reason=read.detail, first=_first(message))
                elif read is not None and read.value is not None:
                    at = self._clock.now_ms() if read.time_ms is None else read.time_ms
                    samples.append((Resolved(read.sensor, at, read.value, read.unit, None),))
        return Batch(tuple(samples), unread=unread)

    def _fitting(self, topic: str) -> list[tuple[_Reader, Mapping[str, str]]]:
        return [(reader, levels) for reader in self._readers if (levels := reader.pattern.match(topic)) is not None]

    def _read(self, message: Message, reader: _Reader, levels: Mapping[str, str]) -> Look | _Unread | None:
        """What a message says by one rule; None where it is retained, which is old, and the rule knows no time."""
        if message.retain and not reader.tells_time:
            return None
        if len(message.payload) > self._max_bytes:
            return _Unread("too large", f"{len(message.payload)} bytes are over {self._max_bytes}")
        return reader.read(levels, message.payload)

    def _wake_at(self, stop: threading.Event) -> None:
        stop.wait()
        if self._session is not None:
            self._session.wake()


class _Reader:
    """A rule, ready to be applied."""

    def __init__(self, rule: Rule, zone: ZoneInfo) -> None:
        self.pattern = Pattern.parse(rule.topic)
        self.filter = self.pattern.filter
        self.tells_time = rule.time is not None
        self._rule = rule
        self._zone = zone
        self._path = None if rule.path is None else JsonPath.parse(rule.path)
        self._time = None if rule.time is None else JsonPath.parse(rule.time)

    def read(self, levels: Mapping[str, str], payload: bytes) -> Look | _Unread:
        """What a message says by this rule."""
        name = filled(self._rule.name, levels)
        if not is_name(name):
            return _Unread("its topic makes no name", f"{name[:80]!r} is no thing/attribute")
        said: object = payload.decode("utf-8", "replace")
        at = None
        if self._path is not None or self._time is not None:
            try:
                document = jsonpath.loads(payload)
            except ValueError as exc:
                return _Unread("is no JSON", f"is no JSON: {exc}")
            try:
                said = document if self._path is None else self._path.find(document)
                at = None if self._time is None else time_ms(self._time.find(document), self._zone)
            except jsonpath.NotFoundError as exc:
                return _Unread("lacks what the rule asks for", str(exc))
            except ValueError as exc:
                return _Unread("has no time", str(exc))
        look = self._rule.look(name, said, at)
        return _Unread(look.wrong, f"{look.raw!r} {look.wrong}") if look.wrong else look


def _first(message: Message) -> str:
    text = message.payload[:_SHOWN].decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else "?" for char in text)
