"""The line to the broker, kept up: MQTT 3.1.1 or 5, one clean session per connection, presence by last will.

Each connection has a new client id that nobody can guess (a taken id evicts its owner), and nothing of an old
connection is ever sent on a new one: what must be repeated is the agent's decision.
"""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paho.mqtt.client import DisconnectFlags, MQTTMessage
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tweeling.wire.topics import Channel, Topic
from tweeling_edge.backoff import BAD_VERSION, DENIALS, NOT_AUTHORISED, Backoff
from tweeling_edge.config import Broker
from tweeling_edge.line import VERSIONS, Line, tls_context
from tweeling_edge.settings import Credentials

log = logging.getLogger("tweeling_edge.broker")

PATIENCE_S = 30.0  # for the broker to let us in
GOODBYE_S = 2.0
SLACK_S = 4  # Mosquitto looks at its clients every six seconds only: less is asked of it, so that it is in time
RECEIVE_MAXIMUM = 20  # what the hub sends has QoS 0; this is for others who may not


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
class Declined:
    """The broker did not take message `mid` of this connection (MQTT 5)."""

    mid: int
    reason: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """The hub sent something."""

    channel: Channel
    payload: bytes


@dataclass(frozen=True, slots=True)
class LineBroken:
    """No connection will follow; this should never be."""

    reason: str


LineEvent = LineUp | LineDown | LineBroken | Confirmed | Declined | Arrived


class _Session:
    """One connection, and how it went."""

    def __init__(self, line: Line, since_ms: int) -> None:
        self.line = line
        self.since_ms = since_ms
        self.answered = False
        self.up_at: float | None = None
        self.ended = False
        self.reason = ""
        self.code = 0

    @property
    def up(self) -> bool:
        """Whether the broker has let us in, and acks will arrive."""
        return self.up_at is not None and not self.ended

    def end(self) -> None:
        """Give it up; safe from any thread."""
        self.ended = True
        self.line.wake()

    def refused(self, reason: ReasonCode, what: str = "") -> None:
        """Note why the broker will have no more of it."""
        self.reason, self.code = f"{what}{reason}", reason.value
        self.ended = True


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
        self._context = tls_context(broker.tls) if broker.tls else None
        self._up, self._state = str(Topic(hub, node, Channel.UP)), str(Topic(hub, node, Channel.STATE))
        self._down = {str(Topic(hub, node, channel)): channel for channel in (Channel.ACK, Channel.CMD)}
        self._presence = presence
        self._listen = listen
        self._now_ms = now_ms
        self._rng = rng
        self._stop = threading.Event()
        self._session: _Session | None = None
        self._protocol = "5" if broker.protocol == "auto" else broker.protocol
        self._agreed = False  # on a version of MQTT
        self._lost = False
        self._thread = threading.Thread(target=self._run, name=f"broker {node}")

    @property
    def protocol(self) -> str:
        """The version of MQTT that is spoken, or tried."""
        return self._protocol

    def start(self) -> None:
        """Connect, and go on connecting."""
        self._thread.start()

    def publish(self, payload: bytes) -> int | None:
        """Send an envelope with QoS 1; return the mid that Confirmed will name, None without a connection."""
        return self.publish_all((payload,))[0]

    def publish_all(self, payloads: Sequence[bytes]) -> list[int | None]:
        """Send envelopes together, which costs less than one by one."""
        session = self._session
        if session is None or not session.up:
            return [None] * len(payloads)
        with session.line.burst():
            sent = [session.line.publish(self._up, payload, qos=1) for payload in payloads]
        return [info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None for info in sent]

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
        try:
            self._keep_up()
        except Exception as exc:
            log.exception("broker.broken")
            self._listen(LineBroken(f"broker: {exc}"))

    def _keep_up(self) -> None:
        backoff = Backoff(self._rng)
        while not self._stop.is_set():
            session = self._live_once()
            if not self._try_other(session):
                lived_s = 0.0 if session.up_at is None else time.monotonic() - session.up_at
                self._stop.wait(backoff.seconds(code=session.code, lived_s=lived_s))

    def _try_other(self, session: _Session) -> bool:
        """Where the choice is ours and the broker does not speak this version, take the other; say whether at once."""
        if self._too_new(session):
            self._protocol = "3.1.1"
            return True
        auto = self._broker.protocol == "auto"
        if auto and not self._agreed and not session.answered and session.line.end:  # perhaps it only does not say so
            self._protocol = "3.1.1" if self._protocol == "5" else "5"
        return False

    def _too_new(self, session: _Session) -> bool:
        return self._broker.protocol == "auto" and self._protocol == "5" and session.code == BAD_VERSION

    def _live_once(self) -> _Session:
        """Live through one connection; return how it went."""
        patience_s = 1.5 * self._broker.keepalive_s
        with Line(client_id=secrets.token_hex(16), protocol=VERSIONS[self._protocol], patience_s=patience_s) as line:
            session = self._session = _Session(line, self._now_ms())
            self._prepare(session)
            try:
                self._dial(line)
            except (OSError, ValueError) as exc:
                self._session = None
                self._note_lost(str(exc))
                return session
            line.serve(lambda: session.up or self._over(session), seconds=PATIENCE_S)
            if session.up_at is not None:
                line.serve(lambda: self._over(session))
                if self._stop.is_set():
                    self._say_goodbye(session)
            session.ended = True
            if session.up_at is not None:
                self._listen(LineDown())
            self._session = None
            line.disconnect()
            line.loop_write()
        if not self._stop.is_set() and not self._too_new(session):
            self._note_lost(session.reason or line.end or "no answer")
        return session

    def _dial(self, line: Line) -> None:
        broker, keepalive = self._broker, max(1, self._broker.keepalive_s - SLACK_S)
        if line.protocol is not MQTTProtocolVersion.MQTTv5:
            line.connect(broker.host, broker.port, keepalive)
            return
        wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it so
        wishes.SessionExpiryInterval = 0
        wishes.ReceiveMaximum = RECEIVE_MAXIMUM
        line.connect(broker.host, broker.port, keepalive, clean_start=True, properties=wishes)

    def _over(self, session: _Session) -> bool:
        return session.ended or self._stop.is_set()

    def _say_goodbye(self, session: _Session) -> None:
        goodbye = session.line.publish(self._state, self._presence(False, self._now_ms()), qos=1, retain=True)
        session.line.serve(goodbye.is_published, seconds=GOODBYE_S)  # where the line is gone, the last will speaks

    def _prepare(self, session: _Session) -> None:
        line = session.line
        if self._credentials is not None:
            line.username_pw_set(self._credentials.username, self._credentials.password.get_secret_value())
        if self._context is not None:
            line.tls_set_context(self._context)
        line.max_inflight_messages_set(0)  # the agent counts what is under way; paho would search it each time
        line.will_set(self._state, self._presence(False, session.since_ms), qos=1, retain=True)

        line.on_connect = lambda _c, _d, _f, reason, told: self._connected(session, reason, told)
        line.on_subscribe = lambda _c, _d, _mid, reasons, _p: self._subscribed(session, reasons)
        line.on_message = lambda _c, _d, message: self._arrived(message)
        line.on_publish = lambda _c, _d, mid, reason, _p: self._published(session, mid, reason)
        line.on_disconnect = lambda _c, _d, how, reason, _p: self._ended(session, how, reason)

    # ------------------------------------------------------------ what the line tells, in the connecting thread

    def _connected(self, session: _Session, reason: ReasonCode, told: Properties | None) -> None:
        session.answered = True
        if reason.is_failure:
            session.refused(reason)
            return
        self._agreed = True
        if most := getattr(told, "ReceiveMaximum", 0):  # MQTT 5: a broker hangs up on more
            session.line.narrow(most)
        session.line.subscribe([(topic, 0) for topic in self._down])

    def _subscribed(self, session: _Session, reasons: list[ReasonCode]) -> None:
        if failures := [reason for reason in reasons if reason.is_failure]:
            session.refused(failures[0], f"subscription to {', '.join(self._down)} refused: ")
            session.code = NOT_AUTHORISED  # what 3.1.1 cannot say
            return
        session.up_at = time.monotonic()
        self.announce()
        self._note_back()
        self._listen(LineUp())

    def _arrived(self, message: MQTTMessage) -> None:
        if (channel := self._down.get(message.topic)) is not None:
            self._listen(Arrived(channel, bytes(message.payload)))

    def _published(self, session: _Session, mid: int, reason: ReasonCode) -> None:
        if not reason.is_failure:
            self._listen(Confirmed(mid))
        elif reason.value in DENIALS:
            session.refused(reason, "publish refused: ")
        else:
            self._listen(Declined(mid, str(reason)))

    def _ended(self, session: _Session, how: DisconnectFlags, reason: ReasonCode) -> None:
        if how.is_disconnect_packet_from_server:
            session.refused(reason)

    # ------------------------------------------------------------ news, once

    def _note_lost(self, reason: str) -> None:
        if not self._lost:
            log.warning("broker.lost", extra={"host": self._broker.host, "port": self._broker.port, "reason": reason})
        self._lost = True

    def _note_back(self) -> None:
        event = "broker.back" if self._lost else "broker.connected"
        log.info(event, extra={"host": self._broker.host, "port": self._broker.port, "mqtt": self._protocol})
        self._lost = False
