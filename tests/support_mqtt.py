"""A broker that answers as a test wants it to: real sockets, real packets, no behaviour of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Self

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 13, 14


class Packet(NamedTuple):
    """One control packet as it came; `connection` counts from 0."""

    connection: int
    kind: int
    flags: int
    body: bytes

    @property
    def version(self) -> int:
        """The protocol level of a CONNECT."""
        return self.body[6]

    @property
    def topic(self) -> str:
        """Of a PUBLISH."""
        return self.body[2 : 2 + self._topic_length].decode()

    @property
    def mid(self) -> bytes:
        """The packet identifier of a PUBLISH with QoS 1, or of a SUBSCRIBE."""
        start = 2 + self._topic_length if self.kind == PUBLISH else 0
        return self.body[start : start + 2]

    @property
    def _topic_length(self) -> int:
        return int.from_bytes(self.body[:2])


HANG_UP = b""
Answer = Callable[[Packet], "bytes | None"]


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    """A control packet of less than 128 bytes."""
    return bytes([kind << 4 | flags, len(body)]) + body


def usual(came: Packet, *, v5: bool = True, properties: bytes = b"") -> bytes | None:
    """What a friendly broker says."""
    match came.kind:
        case 1:
            return packet(CONNACK, b"\0\0" + (bytes([len(properties)]) + properties if v5 else b""))
        case 8:
            return packet(SUBACK, came.mid + (b"\0" if v5 else b"") + b"\0\0")
        case 3:
            return packet(PUBACK, came.mid)
        case 12:
            return packet(PINGRESP, b"")
    return None


class ScriptedBroker:
    """Accepts connections one after another; `answer` says what to send for a packet, or HANG_UP."""

    def __init__(self, answer: Answer) -> None:
        self.packets: list[Packet] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._accept)

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def wait(self, condition: Callable[[], object], what: str, *, seconds: float = 20.0) -> None:
        """Wait until a packet makes the condition true."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds), f"not within {seconds:.0f} s: {what}; {self.packets}"

    def came(self, kind: int) -> list[Packet]:
        """All packets of a kind so far."""
        return [each for each in self.packets if each.kind == kind]

    def _accept(self) -> None:
        connection = 0
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, suppress(OSError, EOFError):
                self._peers.append(peer)
                self._talk(peer, connection)
            connection += 1

    def _talk(self, peer: socket.socket, connection: int) -> None:
        while True:
            came = _read(peer, connection)
            with self._changed:
                self.packets.append(came)
                self._changed.notify_all()
            answer = self._answer(came)
            if answer == HANG_UP:
                return
            if answer:
                peer.sendall(answer)


def _read(peer: socket.socket, connection: int) -> Packet:
    (first,) = _exactly(peer, 1)
    length = shift = 0
    while True:
        (byte,) = _exactly(peer, 1)
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return Packet(connection, first >> 4, first & 0x0F, _exactly(peer, length))


def _exactly(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = peer.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
