"""paho over a socket that reads and writes in large pieces.

paho asks the kernel three times for each packet it reads, and once for each acknowledgement it writes. Those calls are
half of what a message costs a subscriber. Here they go to memory, and to the kernel once for many packets.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho

_READ_BYTES = 1 << 18


class BufferedSocket:
    """Stands between paho and a connected, non-blocking socket; what paho sends waits for `flush`."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._came = b""
        self._at = 0
        self._out = bytearray()

    def recv(self, size: int) -> bytes:
        """As of a socket: up to `size` bytes, none at the end of the stream; raise BlockingIOError for not yet."""
        if self._at >= len(self._came):
            self._came, self._at = self._sock.recv(_READ_BYTES), 0
        part = self._came[self._at : self._at + size]
        self._at += len(part)
        return part

    def pending(self) -> int:
        """Bytes that came and were not asked for, which no poll of the descriptor tells."""
        inner = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return len(self._came) - self._at + inner

    def send(self, data: bytes) -> int:
        """Take all of it."""
        self._out += data
        return len(data)

    def flush(self) -> None:
        """Send what the kernel takes now; raise OSError where the connection is gone."""
        while self._out:
            try:
                sent = self._sock.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._out[:sent]

    @property
    def unsent(self) -> int:
        """Bytes that wait for the kernel."""
        return len(self._out)

    def close(self) -> None:
        """Send what can still be sent, and close."""
        with suppress(OSError):  # a goodbye that does not arrive is none
            self.flush()
        self._sock.close()

    def __getattr__(self, name: str) -> Any:
        """Be the socket in all else."""
        return getattr(self._sock, name)


class Client(paho.Client):
    """A paho client on a buffered socket, for a loop that calls `loop_read`, `loop_write` and `loop_misc` itself."""

    buffered: BufferedSocket | None = None

    def _create_socket(self) -> Any:
        # The one method of paho's insides that is used here; a test fails should it ever be called otherwise.
        sock: Any = super()._create_socket()
        # Small packets go as they come: an ack held back for a fuller segment costs 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffered = BufferedSocket(sock)
        return self.buffered
