"""The line to the broker, kept up: MQTT 3.1.1 or 5, one clean session per connection, presence by last will.

Each connection has a new client id that nobody can guess (a taken id evicts its owner), and nothing of an old
connection is ever sent on a new one: what must be repeated is the agent's decision.
"""

from __future__ import annotations

import logging
import random
import secrets
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.client import ConnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from tweeling.errors import ConfigError
from tweeling.wire.topics import Channel, Topic
from tweeling_edge.config import Broker, Credentials, Tls
from tweeling_edge.line import Line

log = logging.getLogger("tweeling_edge.broker")

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 60.0
PATIENCE_S = 30.0  # for the broker to let us in
GOODBYE_S = 2.0
_DENIALS = frozenset({"Not authorized", "Bad user name or password", "Banned"})
STEADY_S = 10.0  # a connection that lived so long starts the waiting anew


@dataclass(frozen=True, slots=True)
class LineUp:
    """Connected and subscribed."""


@dataclass(frozen=True, slots=True)
class LineDown:
    """The connection ended."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker has message `mid` of this connection."""

    mid: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """The hub sent something."""

    channel: Channel
    payload: bytes


LineEvent = LineUp | LineDown | Confirmed | Arrived


class _Session:
    """One connection, and how it went."""

    def __init__(self, line: Line, since_ms: int) -> None:
        self.line = line
        self.since_ms = since_ms
        self.up = False
        self.ended = False
        self.refusal = ""
        self.denied = False

    def end(self) -> None:
        """Give it up; safe from any thread."""
        self.ended = True
        self.line.wake()


class Publisher:
    """Keeps one node connected. Its thread calls `listen`, which must only hand over, or publish."""

    def __init__(
        self,
        broker: Broker,
        credentials: Credentials | None,
        *,
        hub: str,
        node: str,
        presence: Callable[[bool, int], bytes],
        listen: Callable[[LineEvent], None],
        now_ms: Callable[[], int],
        rng: random.Random,
    ) -> None:
        """presence: makes the state message that says online or not, and since when this connection is meant."""
        self._broker = broker
        self._credentials = credentials
        self._context = _tls(broker.tls) if broker.tls else None
        self._up, self._state = str(Topic(hub, node, Channel.UP)), str(Topic(hub, node, Channel.STATE))
        self._down = {str(Topic(hub, node, channel)): channel for channel in (Channel.ACK, Channel.CMD)}
        self._presence = presence
        self._listen = listen
        self._now_ms = now_ms
        self._rng = rng
        self._stop = threading.Event()
        self._session: _Session | None = None
        self._lost = False
        self._thread = threading.Thread(target=self._run, name=f"broker {node}")

    def start(self) -> None:
        """Connect, and go on connecting."""
        self._thread.start()

    def publish(self, payload: bytes) -> int | None:
        """Send an envelope with QoS 1; return the mid that Confirmed will name, None without a connection."""
        session = self._session
        if session is None or not session.up:
            return None
        info = session.line.publish(self._up, payload, qos=1)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def announce(self) -> None:
        """Renew the retained state message."""
        if (session := self._session) is not None and session.up:
            session.line.publish(self._state, self._presence(True, session.since_ms), qos=1, retain=True)

    def hang_up(self) -> None:
        """Give this connection up; the next one follows."""
        if (session := self._session) is not None:
            session.end()

    def stop(self) -> None:
        """Say goodbye where possible, and disconnect."""
        self._stop.set()
        self.hang_up()
        if self._thread.is_alive():
            self._thread.join()

    # ------------------------------------------------------------ the connecting thread

    def _run(self) -> None:
        wait = FIRST_WAIT_S
        while not self._stop.is_set():
            began = time.monotonic()
            denied = self._connect_once()
            if time.monotonic() - began >= STEADY_S:
                wait = FIRST_WAIT_S
            if denied:
                wait = LONGEST_WAIT_S  # trying a wrong password often helps nobody
            self._stop.wait(wait * self._rng.uniform(0.5, 1.0))
            wait = min(wait * 2, LONGEST_WAIT_S)

    def _connect_once(self) -> bool:
        """Live through one connection; return whether the broker denied us."""
        with Line(client_id=secrets.token_hex(16), protocol=MQTTProtocolVersion.MQTTv311) as line:
            session = self._session = _Session(line, self._now_ms())
            self._prepare(session)
            try:
                line.connect(self._broker.host, self._broker.port, keepalive=self._broker.keepalive_s)
            except (OSError, ValueError) as exc:
                self._note_lost(str(exc))
                return False
            line.serve(lambda: session.up or self._over(session), seconds=PATIENCE_S)
            if session.up:
                line.serve(lambda: self._over(session))
                if self._stop.is_set():
                    self._say_goodbye(line)
                session.up = False
                self._listen(LineDown())
            self._session = None
            line.disconnect()
            line.loop_write()
        if not self._stop.is_set():
            self._note_lost(session.refusal or line.end or "connection lost")
        return session.denied

    def _over(self, session: _Session) -> bool:
        return session.ended or self._stop.is_set()

    def _say_goodbye(self, line: Line) -> None:
        goodbye = line.publish(self._state, self._presence(False, self._now_ms()), qos=1, retain=True)
        line.serve(goodbye.is_published, seconds=GOODBYE_S)  # where the line is gone, the last will speaks

    def _prepare(self, session: _Session) -> None:
        line = session.line
        if self._credentials is not None:
            line.username_pw_set(self._credentials.username, self._credentials.password.get_secret_value())
        if self._context is not None:
            line.tls_set_context(self._context)
        line.max_inflight_messages_set(0)  # the agent counts what is under way; paho would search it each time
        line.will_set(self._state, self._presence(False, session.since_ms), qos=1, retain=True)

        def on_connect(_c: paho.Client, _d: object, _f: ConnectFlags, reason: ReasonCode, _p: object) -> None:
            if reason.is_failure:
                session.refusal, session.denied = str(reason), str(reason) in _DENIALS
            else:
                line.subscribe([(topic, 0) for topic in self._down])

        def on_subscribe(_c: paho.Client, _d: object, _m: int, reasons: list[ReasonCode], _p: object) -> None:
            if any(reason.is_failure for reason in reasons):
                session.refusal, session.denied = "subscription refused: " + ", ".join(self._down), True
                session.ended = True
                return
            session.up = True
            self.announce()
            self._note_back()
            self._listen(LineUp())

        def on_message(_c: paho.Client, _d: object, message: MQTTMessage) -> None:
            if (channel := self._down.get(message.topic)) is not None:
                self._listen(Arrived(channel, bytes(message.payload)))

        line.on_connect = on_connect
        line.on_subscribe = on_subscribe
        line.on_message = on_message
        line.on_publish = lambda _c, _d, mid, _r, _p: self._listen(Confirmed(mid))

    def _note_lost(self, reason: str) -> None:
        if not self._lost:
            log.warning("broker.lost", extra={"host": self._broker.host, "port": self._broker.port, "reason": reason})
        self._lost = True

    def _note_back(self) -> None:
        event = "broker.back" if self._lost else "broker.connected"
        log.info(event, extra={"host": self._broker.host, "port": self._broker.port})
        self._lost = False


def _tls(settings: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cannot be used: {exc}", field="broker.tls", remedy="It should name PEM files") from exc
    return context
