"""One connection to a broker, of one thread: messages in, acknowledgements and answers out."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tweeling.adapters.mqtt.socket import Client
from tweeling.adapters.tls import Trust
from tweeling.errors import RejectedError, UnavailableError
from tweeling.ports.inbox import Answer, Message

_PATIENCE_S = 20.0  # for CONNACK and SUBACK
_IN_FLIGHT = 10_000  # messages that a broker may send us unacknowledged, where it asks
_KEPT_S = 7 * 86_400  # our session, while we are away
_VERSIONS = "Unsupported protocol version"


class Protocol(StrEnum):
    """What is spoken; AUTO tries 5 and takes 3.1.1 from a broker that knows no better."""

    AUTO = "auto"
    V311 = "3.1.1"
    V5 = "5"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A broker and who we are to it; client_id names our lasting session and must never change."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    keepalive_s: int = 60
    protocol: Protocol = Protocol.AUTO
    trust: Trust | None = None  # None: not encrypted

    def renamed(self, client_id: str) -> Address:
        """The same under another session."""
        return replace(self, client_id=client_id)


class VersionRefusedError(RejectedError):
    """The broker does not speak this version of MQTT."""


class Received(NamedTuple):
    """A message, and what its acknowledgement needs; `session` tells connections apart."""

    message: Message
    mid: int
    qos: int
    session: int


class Session:
    """An open connection with its subscriptions granted; use it in one thread only."""

    def __init__(self, address: Address, filters: Sequence[str], *, version: Protocol, number: int, wake: int) -> None:
        """Connect and subscribe. wake: a descriptor that ends any waiting when it becomes readable.

        Raises UnavailableError where the broker does not answer, RejectedError where it says no.
        """
        self.number = number
        self.came: list[Received] = []
        self.lost = ""
        self._wake = wake
        self._filters = [(name, 1) for name in filters]
        self._pending: set[int] = set()  # packet ids that we have not acknowledged
        self._granted = False
        self._refused: RejectedError | None = None
        self._client = self._make(address, version)
        try:
            if address.trust is not None:
                self._client.tls_set_context(address.trust.context())
            if version is Protocol.V5:
                self._client.connect(
                    address.host, address.port, address.keepalive_s, clean_start=False, properties=_lasting()
                )
            else:
                self._client.connect(address.host, address.port, address.keepalive_s)
            self._await_subscriptions()
        except OSError as exc:
            self.close()
            raise UnavailableError(exc.strerror or str(exc) or "no answer") from exc
        except BaseException:
            self.close()
            raise

    def read(self, seconds: float, *, limit: int) -> int:
        """Wait up to `seconds` for something to come; add what came to `came`, at most `limit`; return how many."""
        before = len(self.came)
        bulk = self._client.bulk
        if self.lost or bulk is None:
            return 0
        if not bulk.ready:
            if not self._poll(seconds):
                return 0
            bulk.fill()
        while bulk.ready and len(self.came) - before < limit:
            self._client.loop_read()
            if self._client.socket() is None:
                self._lose(str(bulk.end or "connection lost"))
                break
        return len(self.came) - before

    def acknowledge(self, taken: Sequence[Received]) -> None:
        """Tell the broker that these are kept, in the order of receipt; those of another connection are not named.

        Goes out with the next `flush`.
        """
        for _, mid, qos, number in taken:
            if number == self.number:
                self._client.ack(mid, qos)
                self._pending.discard(mid)

    def answer(self, answers: Sequence[Answer]) -> None:
        """Publish acknowledgements to nodes with the next `flush`; one that is lost only causes a repeat."""
        for topic, ack in answers:
            self._client.publish(topic, ack.encode(), qos=0)

    def flush(self) -> None:
        """Send what waits, and test the line where it is silent."""
        if self._client.socket() is not None:
            self._client.loop_write()
            self._client.loop_misc()
        if self._client.bulk is not None:
            self._client.bulk.flush()

    def close(self) -> None:
        """Leave; the broker keeps what was not acknowledged."""
        self._lose("closed")
        self._client.on_disconnect = None
        if self._client.socket() is not None:
            self._client.disconnect()
            self._client.loop_write()  # after its last packet paho closes the socket

    # ------------------------------------------------------------ paho

    def _make(self, address: Address, version: Protocol) -> Client:
        five = version is Protocol.V5
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=address.client_id,
            clean_session=None if five else False,
            protocol=paho.MQTTv5 if five else paho.MQTTv311,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        if address.username:
            client.username_pw_set(address.username, address.password)
        # With this callback paho leaves packets in its queue until `loop_write`, instead of sending each at once.
        client.on_socket_register_write = lambda *_: None
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = lambda _client, _data, _flags, reason, _props: self._lose(str(reason))
        client.on_message = self._take_in
        return client

    def _await_subscriptions(self) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not self._granted:
            self.flush()
            if self._refused is not None:
                raise self._refused
            if self.lost:
                raise UnavailableError(self.lost)
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnavailableError("no answer")
            self.read(left, limit=1)
            if woken(self._wake):
                raise UnavailableError("asked to stop")

    def _connected(self, client: paho.Client, _data: object, _flags: object, reason: Any, _props: object) -> None:
        if reason.is_failure:
            kind = VersionRefusedError if str(reason) == _VERSIONS else RejectedError
            self._refused = kind(f"refused: {reason}")
        else:
            client.subscribe(self._filters)

    def _subscribed(self, _client: object, _data: object, _mid: int, reasons: Sequence[Any], _props: object) -> None:
        refused = [name for (name, _), reason in zip(self._filters, reasons, strict=True) if reason.is_failure]
        if refused:
            self._refused = RejectedError(f"subscription refused: {', '.join(refused)}")
        self._granted = not refused

    def _lose(self, reason: str) -> None:
        """Note the end of this connection; its first sign says why."""
        if not self.lost:
            self.lost = reason

    def _take_in(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError as exc:  # for quarantine, readable
            topic = bytes(exc.object).decode(errors="backslashreplace")
        if message.qos:
            if message.dup and message.mid in self._pending:  # the broker is impatient; we have it
                return
            self._pending.add(message.mid)
        self.came.append(Received(Message(topic, bytes(message.payload)), message.mid, message.qos, self.number))

    # ------------------------------------------------------------ waiting

    def _poll(self, seconds: float) -> bool:
        """Wait for something to read; say whether there is."""
        sock = self._client.bulk
        if sock is None or sock.fileno() < 0:
            self._lose("connection lost")
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLIN | (select.POLLOUT if sock.unsent else 0))
        poll.register(self._wake, select.POLLIN)
        ready = poll.poll(max(seconds, 0.0) * 1000)
        return any(descriptor == sock.fileno() and events & ~select.POLLOUT for descriptor, events in ready)


def _lasting() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's
    properties.SessionExpiryInterval = _KEPT_S
    properties.ReceiveMaximum = _IN_FLIGHT
    return properties


def woken(wake: int, seconds: float = 0.0) -> bool:
    """Wait for a wake-up call; say whether it came."""
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def wake_pair() -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a wake-up call: one to write to, one for sessions to wait on."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs
