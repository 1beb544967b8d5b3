"""The line to the broker: MQTT 3.1.1 by paho, one clean session per connection, presence by last will.

Each connection is a new paho client with a new client id that nobody can guess (a taken id evicts its owner), so that
nothing of an old connection is ever sent on a new one: what must be repeated is the agent's decision.
"""

from __future__ import annotations

import logging
import random
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.client import ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from tweeling.errors import ConfigError
from tweeling.wire.topics import Channel, Topic
from tweeling_edge.config import Broker, Credentials, Tls

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


@dataclass(slots=True)
class _Session:
    """One connection and how it went."""

    since_ms: int
    ended: threading.Event = field(default_factory=threading.Event)
    refusal: str = ""
    denied: bool = False
    up: bool = False


class Publisher:
    """Keeps one node connected. Its network thread calls `listen`, which must only hand over."""

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
        self._session = _Session(now_ms())
        self._client: paho.Client | None = None
        self._lost = False
        self._thread = threading.Thread(target=self._run, name="broker")

    def start(self) -> None:
        """Connect, and go on connecting."""
        self._thread.start()

    def publish(self, payload: bytes) -> int | None:
        """Send an envelope with QoS 1; return the mid that Confirmed will name, None without a connection."""
        client = self._client
        if client is None:
            return None
        info = client.publish(self._up, payload, qos=1)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def announce(self) -> None:
        """Renew the retained state message."""
        if (client := self._client) is not None:
            client.publish(self._state, self._presence(True, self._session.since_ms), qos=1, retain=True)

    def hang_up(self) -> None:
        """Give this connection up; the next one follows."""
        self._session.ended.set()

    def stop(self) -> None:
        """Say goodbye where possible, and disconnect."""
        self._stop.set()
        self._session.ended.set()
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
        session = self._session = _Session(self._now_ms())
        if self._stop.is_set():  # it may have ended the session before this one
            return False
        client = self._new_client(session)
        try:
            client.connect(self._broker.host, self._broker.port, keepalive=self._broker.keepalive_s)
        except (OSError, ValueError) as exc:
            self._note_lost(str(exc))
            return False
        client.loop_start()
        if not session.ended.wait(PATIENCE_S) and session.up:
            session.ended.wait()
        if session.up:
            self._client = None
            if self._stop.is_set():
                self._say_goodbye(client)
        client.disconnect()
        client.loop_stop()
        self._client = None
        if session.up:
            self._listen(LineDown())
        if not self._stop.is_set():
            self._note_lost(session.refusal or "connection lost")
        return session.denied

    def _say_goodbye(self, client: paho.Client) -> None:
        goodbye = client.publish(self._state, self._presence(False, self._now_ms()), qos=1, retain=True)
        with suppress(RuntimeError):  # paho's word for a connection that is gone: then the last will speaks
            goodbye.wait_for_publish(GOODBYE_S)

    def _new_client(self, session: _Session) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=secrets.token_hex(16),
            clean_session=True,
            reconnect_on_failure=False,
        )
        if self._credentials is not None:
            client.username_pw_set(self._credentials.username, self._credentials.password.get_secret_value())
        if self._context is not None:
            client.tls_set_context(self._context)
        client.max_inflight_messages_set(20)
        client.will_set(self._state, self._presence(False, session.since_ms), qos=1, retain=True)
        self._attach(client, session)
        return client

    def _attach(self, client: paho.Client, session: _Session) -> None:
        def on_connect(_c: paho.Client, _d: object, _f: ConnectFlags, reason: ReasonCode, _p: object) -> None:
            if reason.is_failure:
                session.refusal, session.denied = str(reason), str(reason) in _DENIALS
            else:
                client.subscribe([(topic, 0) for topic in self._down])

        def on_subscribe(_c: paho.Client, _d: object, _m: int, reasons: list[ReasonCode], _p: object) -> None:
            if any(reason.is_failure for reason in reasons):
                session.refusal, session.denied = "subscription refused: " + ", ".join(self._down), True
                session.ended.set()
                return
            session.up = True
            self._client = client
            self.announce()
            self._note_back()
            self._listen(LineUp())

        def on_message(_c: paho.Client, _d: object, message: MQTTMessage) -> None:
            if (channel := self._down.get(message.topic)) is not None:
                self._listen(Arrived(channel, bytes(message.payload)))

        client.on_connect = on_connect
        client.on_subscribe = on_subscribe
        client.on_message = on_message
        client.on_publish = lambda _c, _d, mid, _r, _p: self._listen(Confirmed(mid))
        client.on_disconnect = lambda *_: session.ended.set()
        client.on_socket_open = _without_delay

    def _note_lost(self, reason: str) -> None:
        if not self._lost:
            log.warning("broker.lost", extra={"host": self._broker.host, "port": self._broker.port, "reason": reason})
        self._lost = True

    def _note_back(self) -> None:
        event = "broker.back" if self._lost else "broker.connected"
        log.info(event, extra={"host": self._broker.host, "port": self._broker.port})
        self._lost = False


def _without_delay(_client: paho.Client, _data: object, sock: object) -> None:
    if isinstance(sock, socket.socket):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _tls(settings: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cannot be used: {exc}", field="broker.tls", remedy="It should name PEM files") from exc
    return context
