"""A socket that is read and written in large pieces, for a protocol client that asks for small ones.

paho asks the kernel three times for each packet that it reads, and once for each that it writes; those calls are half
of what a message costs. Behind this they go to memory, and to the kernel once a round, however many packets that is.
"""

from __future__ import annotations

import ssl
import time
from typing import Protocol

_CHUNK = 1 << 17  # more than a TLS record, so none of it can hide from a poll of the descriptor
_FULL = 1 << 18  # bytes that may wait for the kernel; the client keeps the rest
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Stream(Protocol):
    """A connected, non-blocking socket, with or without TLS."""

    def recv(self, size: int, /) -> bytes:
        """Read at most so many bytes; none at the end."""
        ...

    def send(self, data: bytearray, /) -> int:
        """Write some of it; return how much."""
        ...

    def close(self) -> None:
        """Let go."""
        ...

    def fileno(self) -> int:
        """The descriptor, -1 when closed."""
        ...

    def setblocking(self, flag: bool, /) -> None:
        """Wait, or not."""
        ...


class BulkSocket:
    """A socket behind a buffer each way: `recv` and `send` never touch the network, `fill` and `flush` do.

    end: why the network ended the connection, None while it did not. heard_at, said_at: when something came, and went,
    in monotonic seconds.
    """

    def __init__(self, sock: Stream) -> None:
        self._sock = sock
        self._in, self._at = b"", 0
        self._out = bytearray()
        self.end: OSError | None = None
        self.heard_at = self.said_at = time.monotonic()

    # ------------------------------------------------------------ for the client

    def recv(self, size: int) -> bytes:
        """What is there, at most `size` bytes; raise BlockingIOError for not yet, and what ended the connection."""
        start = self._at
        data = self._in[start : start + size]
        if not data and size:
            if self.end is None:
                raise BlockingIOError
            raise self.end
        self._at = start + len(data)
        return data

    def send(self, data: bytes | bytearray) -> int:
        """Keep data for the next flush, all or nothing."""
        if self.full:
            raise BlockingIOError
        self._out += data
        return len(data)

    def close(self) -> None:
        """Write what can be written at once, and close."""
        self.flush()
        self._sock.close()

    def fileno(self) -> int:
        """As a socket's."""
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        """As a socket's."""
        self._sock.setblocking(flag)

    # ------------------------------------------------------------ for whoever serves it

    @property
    def ready(self) -> bool:
        """Whether `recv` has something to say."""
        return self._at < len(self._in) or self.end is not None

    @property
    def full(self) -> bool:
        """Whether `send` takes nothing now."""
        return len(self._out) >= _FULL

    @property
    def unsent(self) -> int:
        """Bytes that wait for the kernel."""
        return len(self._out)

    def fill(self) -> None:
        """Read what is there."""
        try:
            data = self._sock.recv(_CHUNK)
        except _NOT_NOW:
            return
        except OSError as exc:
            self.give_up(exc)
            return
        if not data:
            self.give_up(ConnectionResetError("the other side closed the connection"))
            return
        self._in, self._at = self._in[self._at :] + data, 0
        self.heard_at = time.monotonic()

    def flush(self) -> None:
        """Write what the network takes."""
        while self._out and self.end is None:
            try:
                sent = self._sock.send(self._out)
            except _NOT_NOW:
                return
            except OSError as exc:
                self.give_up(exc)
                return
            del self._out[:sent]
            self.said_at = time.monotonic()

    def give_up(self, reason: OSError) -> None:
        """Let the client find the connection ended."""
        self.end = self.end or reason
