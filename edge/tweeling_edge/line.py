"""One connection to a broker: paho, carried by a thread of ours, reading and writing in bulk.

paho by itself asks the socket for every byte of a header, and sends each packet alone. Here it talks to a buffer; the
socket is read and written once a round, however many packets that is.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal, Self, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from tweeling.errors import ConfigError
from tweeling.wire.bulk import BulkSocket
from tweeling_edge.config import Tls

if TYPE_CHECKING:
    from paho.mqtt.client import SocketLike

VERSIONS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}
_CHUNK = 1 << 16
_ROUND_S = 1.0  # between two looks at the keep-alive
_SUCCESS = ReasonCode(PacketTypes.PUBACK)
_NO_PROPERTIES = Properties(PacketTypes.PUBACK)  # type: ignore[no-untyped-call]  # paho left it so


class Line(paho.Client):
    """A paho client without a thread: whoever calls `serve` is its thread, and all callbacks come from there."""

    def __init__(
        self,
        *,
        client_id: str,
        protocol: MQTTProtocolVersion,
        patience_s: float,
        clean: bool = True,
        manual_ack: bool = False,
    ) -> None:
        """patience_s: after so long without a word the connection is dead. clean: the broker then forgets us."""
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=protocol,
            clean_session=clean if protocol < MQTTProtocolVersion.MQTTv5 else None,
            reconnect_on_failure=False,
            manual_ack=manual_ack,
        )
        self.bulk: BulkSocket | None = None
        self._patience_s = patience_s
        self._asked_at = 0.0
        self._server = 0  # the thread that serves
        self._sleeper, self._waker = socket.socketpair()
        self._sleeper.setblocking(False)
        self._waker.setblocking(False)
        self._bursts = 0
        self.on_socket_register_write = lambda *_: self._stir()  # called by whoever publishes first

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bulk is not None:
            self.bulk.close()
        self._sleeper.close()
        self._waker.close()

    @property
    def end(self) -> str:
        """Why the network ended the connection; empty where it did not."""
        return str(self.bulk.end or "") if self.bulk is not None else ""

    def narrow(self, messages: int) -> None:
        """Have no more than so many messages at the broker unconfirmed; paho keeps the others back."""
        self._max_inflight_messages = messages  # its setter is not for a connection that stands

    def wake(self) -> None:
        """Let `serve` look again at what is to be done; for other threads."""
        if threading.get_ident() != self._server:
            with suppress(OSError):  # full of wake-ups already, or closed: there is nobody to wake
                self._waker.send(b"\0")

    def _stir(self) -> None:
        if not self._bursts:
            self.wake()

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Wake the serving thread once, at the end, however much is published in between; for one other thread."""
        if threading.get_ident() == self._server:
            yield
            return
        self._bursts += 1
        try:
            yield
        finally:
            self._bursts -= 1
            self.wake()

    def serve(self, done: Callable[[], object], *, seconds: float = float("inf")) -> None:
        """Carry packets until the connection ends, `done` holds (`wake` makes it looked at), or time is up."""
        if (bulk := self.bulk) is None or self.socket() is None:
            return
        self._server = threading.get_ident()
        now = time.monotonic()
        end, misc_at = now + seconds, now + _ROUND_S
        with selectors.DefaultSelector() as ready:
            watched = ready.register(bulk, selectors.EVENT_READ).events
            ready.register(self._sleeper, selectors.EVENT_READ)
            while not done() and now < end:
                self.loop_write()
                bulk.flush()
                if self.socket() is None:
                    return
                if self.want_write() and not bulk.full:
                    continue  # came meanwhile, when we seemed awake
                if watched != (wanted := _interest(bulk)):
                    watched = ready.modify(bulk, wanted).events
                events = ready.select(0.0 if bulk.ready else min(misc_at, end) - now)
                if any(key.fileobj is self._sleeper for key, _ in events):
                    self._sleeper.recv(_CHUNK)
                bulk.fill()
                while bulk.ready and self.socket() is not None:
                    self.loop_read()
                now = time.monotonic()
                if now >= misc_at:
                    misc_at = now + _ROUND_S
                    self._keep_alive(bulk, now)

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        # The usual PUBACK, a success without further words, costs paho a third of a message's time in new objects.
        packet = self._in_packet["packet"]
        if cmd != "PUBACK" or len(packet) != 2:
            return super()._handle_pubackcomp(cmd)
        mid = packet[0] << 8 | packet[1]
        with self._out_message_mutex:
            if mid in self._out_messages:
                return self._do_on_publish(mid, _SUCCESS, _NO_PROPERTIES)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _keep_alive(self, bulk: BulkSocket, now: float) -> None:
        # paho's own way leaves a connection only after twice the keep-alive without a word.
        if now - bulk.heard_at >= self._patience_s:
            bulk.give_up(TimeoutError(f"nothing heard for {now - bulk.heard_at:.0f} s"))
            self.loop_read()
        every = min(self.keepalive, self._patience_s / 2) - _ROUND_S
        if self.is_connected() and now - max(self._asked_at, min(bulk.said_at, bulk.heard_at)) >= every:
            self._asked_at = now
            self._send_pingreq()

    def _create_socket(self) -> SocketLike:
        sock = cast(socket.socket, super()._create_socket())  # paho's only other kind is for websockets
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bulk = BulkSocket(sock)
        return self.bulk


def tls_context(settings: Tls, *, field: str = "broker.tls") -> ssl.SSLContext:
    """What TLS settings ask for, or raise ConfigError."""
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.cert_file is not None:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ssl.SSLError) as exc:
        raise ConfigError(f"cannot be used: {exc}", field=field, remedy="It should name PEM files") from exc
    return context


def _interest(bulk: BulkSocket) -> int:
    """What to wait for."""
    return selectors.EVENT_READ | (selectors.EVENT_WRITE if bulk.unsent else 0)
