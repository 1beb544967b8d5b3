"""One connection to a broker, connected and subscribed, that its caller serves: what a driver and a check need."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from tweeling.errors import ConfigError, UnavailableError
from tweeling_edge.backoff import BAD_VERSION
from tweeling_edge.config import Broker
from tweeling_edge.line import VERSIONS, Line, tls_context
from tweeling_edge.settings import Credentials

WINDOW = 100  # messages that a broker of version 5 may send before the first is acknowledged
_AROUND = 128 << 10  # bytes of a packet around its message at most: a topic, and properties
_NEWS_ONLY = 1  # MQTT 5 §3.8.3.1: retained messages come with a new subscription, not with each connection


class Message(NamedTuple):
    """What came, a tenth of the size of paho's own: thousands may come at once."""

    topic: str
    payload: bytes
    qos: int
    mid: int
    retain: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """How to connect.

    not_topics: those that an earlier session of this name may still have subscribed to.
    max_bytes: of a message that we take; a broker of version 5 sends none that is much larger. 0 for any.
    keep_s: how long a broker keeps what comes while we are away (version 5; one of 3.1.1 decides by itself), 0 for not
    at all.
    """

    client_id: str
    topics: tuple[str, ...]
    not_topics: tuple[str, ...] = ()
    qos: int = 1
    max_bytes: int = 0
    keep_s: int = 0
    manual_ack: bool = False
    patience_s: float = 30.0


class Session:
    """A connection that stands; what comes waits in `inbox`. Its owner's thread serves it, and acknowledges."""

    def __init__(self, line: Line, broker: Broker, terms: Terms) -> None:
        """Not for use: see `opened`."""
        self.inbox: list[Message] = []
        self.published: dict[int, ReasonCode] = {}
        self.protocol = ""
        self._line = line
        self._where = f"{broker.host}:{broker.port}"
        self._terms = terms
        self._up = False
        self.refused = ""
        self.code = 0
        line.on_connect = lambda _c, _d, _f, reason, _p: self._connected(reason)
        line.on_subscribe = lambda _c, _d, _mid, reasons, _p: self._subscribed(reasons)
        line.on_message = lambda _c, _d, came: self._arrived(came)
        line.on_publish = lambda _c, _d, mid, reason, _p: self.published.update({mid: reason})
        line.on_disconnect = lambda _c, _d, how, reason, _p: self._ended(
            str(reason) if how.is_disconnect_packet_from_server else ""
        )

    @classmethod
    def opened(cls, broker: Broker, who: Credentials | None, terms: Terms, stop: threading.Event) -> Self:
        """Connect and subscribe, or raise UnavailableError saying why not; of MQTT 5 where the broker speaks it."""
        versions = ["5", "3.1.1"] if broker.protocol == "auto" else [broker.protocol]
        while True:
            version = versions.pop(0)
            session = cls._tried(broker, who, terms, version)
            if session.settle(stop):
                session.protocol = version
                return session
            session.close()
            if not versions or not session.too_new:
                raise session.unavailable("the agent stops" if stop.is_set() else "no answer")

    def serve(self, done: Callable[[], object], *, seconds: float = float("inf")) -> None:
        """Carry packets until `done` holds, the connection ends, or time is up."""
        self._line.serve(lambda: self.refused or done(), seconds=seconds)

    def wake(self) -> None:
        """Let `serve` look at `done`; for other threads."""
        self._line.wake()

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Tell the broker that these are durable here; it sends them never again."""
        for message in messages:
            if message.qos:
                self._line.ack(message.mid, message.qos)

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Send with QoS 1; `published` will hold the mid when the broker has it. None where the connection ended."""
        info = self._line.publish(topic, payload, qos=1)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    @property
    def over(self) -> bool:
        """Whether the connection has ended."""
        return bool(self.refused or self._line.end or self._line.socket() is None)

    @property
    def too_new(self) -> bool:
        """Whether the broker does not speak this version, or hung up without a word, as some do then."""
        return self.code == BAD_VERSION or bool(not self.refused and self._line.end)

    def unavailable(self, otherwise: str = "the connection ended") -> UnavailableError:
        """Why it ended."""
        return UnavailableError(f"{self._where}: {self.refused or self._line.end or otherwise}")

    def close(self) -> None:
        """Say what is still to be said, goodbye the last, and let go."""
        self._line.disconnect()
        self._line.loop_write()
        self._line.__exit__()

    # ------------------------------------------------------------ connecting

    @classmethod
    def _tried(cls, broker: Broker, who: Credentials | None, terms: Terms, version: str) -> Self:
        line = Line(
            client_id=terms.client_id,
            protocol=VERSIONS[version],
            patience_s=1.5 * broker.keepalive_s,
            clean=not terms.keep_s,
            manual_ack=terms.manual_ack,
        )
        session = cls(line, broker, terms)
        try:
            if who is not None:
                line.username_pw_set(who.username, who.password.get_secret_value())
            if broker.tls is not None:
                line.tls_set_context(tls_context(broker.tls))
            if version == "5":
                wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho left it so
                wishes.SessionExpiryInterval = terms.keep_s
                wishes.ReceiveMaximum = WINDOW
                if terms.max_bytes:
                    wishes.MaximumPacketSize = terms.max_bytes + _AROUND
                line.connect(
                    broker.host, broker.port, broker.keepalive_s, clean_start=not terms.keep_s, properties=wishes
                )
            else:
                line.connect(broker.host, broker.port, broker.keepalive_s)
        except (OSError, ValueError, ConfigError) as exc:  # the last: files that were good when the agent started
            line.__exit__()
            raise UnavailableError(f"{broker.host}:{broker.port}: {exc}") from exc
        except BaseException:
            line.__exit__()
            raise
        return session

    def settle(self, stop: threading.Event) -> bool:
        """Serve until it is connected and subscribed; say whether it is."""
        self.serve(lambda: self._up or stop.is_set(), seconds=self._terms.patience_s)
        return self._up and not self.over

    def _arrived(self, came: MQTTMessage) -> None:
        try:
            topic = came.topic
        except UnicodeDecodeError:  # no broker should let it pass
            topic = ""
        self.inbox.append(Message(topic, bytes(came.payload), came.qos, came.mid, came.retain))

    def _connected(self, reason: ReasonCode) -> None:
        if not reason.is_failure and self._terms.not_topics:
            self._line.unsubscribe(list(self._terms.not_topics))
        if reason.is_failure:
            self._ended(f"{reason}", reason.value)
        elif self._line.protocol is VERSIONS["5"]:
            options = SubscribeOptions(qos=self._terms.qos, retainHandling=_NEWS_ONLY)
            self._line.subscribe([(topic, options) for topic in self._terms.topics])
        else:
            self._line.subscribe([(topic, self._terms.qos) for topic in self._terms.topics])

    def _subscribed(self, reasons: Sequence[ReasonCode]) -> None:
        refused = [
            f"{topic} ({reason})"
            for topic, reason in zip(self._terms.topics, reasons, strict=False)
            if reason.is_failure
        ]
        if refused:
            self._ended(f"the broker refuses to let us hear {', '.join(refused)}")
        self._up = not refused

    def _ended(self, reason: str, code: int = 0) -> None:
        self.refused, self.code = self.refused or reason, self.code or code
