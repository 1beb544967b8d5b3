"""What an indicator sends, cut into its frames: however the bytes come in pieces, the frames are the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

MAX_FRAME = 256
"""Bytes; no indicator says so much about one weight."""

_BETWEEN = frozenset(b"\r\n\0 ")  # what may lie between two frames without being noise


class Framing(NamedTuple):
    """How a frame is told from its neighbours.

    start: the byte each begins with; without one, a frame begins behind the last. trailer: bytes behind the end that
    belong to it, such as a checksum, and may have any value.
    """

    start: bytes = b""
    ends: tuple[bytes, ...] = (b"\r", b"\n")
    trailer: int = 0


class Frame(NamedTuple):
    """What lies between start and end, and the trailer behind."""

    body: bytes
    trailer: bytes = b""


class Noise(NamedTuple):
    """Bytes that make no frame, and why."""

    reason: str
    raw: bytes


class Framer:
    """Takes bytes in, gives frames and noise out; holds at most one frame."""

    def __init__(self, framing: Framing) -> None:
        self._framing = framing
        self._start = framing.start[0] if framing.start else None
        self._inside = self._start is None
        self._skipping = False
        self._owed = 0
        self._body = bytearray()
        self._trailer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[Frame | Noise]:
        """Take what came; yield what is complete."""
        for byte in chunk:
            if (found := self._take(byte)) is not None:
                yield found

    def _take(self, byte: int) -> Frame | Noise | None:
        if self._owed:  # not looked at: a checksum may look like a start or an end
            self._trailer.append(byte)
            self._owed -= 1
            return None if self._owed else self._complete()
        if byte == self._start:
            return self._begin()
        if not self._inside:
            return self._outside(byte)
        self._body.append(byte)
        end = next((end for end in self._framing.ends if self._body.endswith(end)), None)
        if end is None:
            return self._grown()
        return self._end(len(end))

    def _begin(self) -> Noise | None:
        """A start ends what was there before."""
        left = bytes(self._body)
        reason = "cut off by the start of the next" if self._inside else "outside a frame"
        skipped = self._skipping
        self._body.clear()
        self._inside, self._skipping = True, False
        return Noise(reason, left) if left and not skipped else None

    def _outside(self, byte: int) -> Noise | None:
        if byte in _BETWEEN and not self._body:
            return None
        self._body.append(byte)
        if len(self._body) < MAX_FRAME:
            return None
        left = bytes(self._body)
        self._body.clear()
        return Noise("outside a frame", left)

    def _grown(self) -> Noise | None:
        if len(self._body) <= MAX_FRAME:
            return None
        left = bytes(self._body)
        del self._body[: -max(map(len, self._framing.ends))]  # an end may be half there
        if self._skipping:
            return None
        self._skipping = True
        return Noise(f"longer than {MAX_FRAME} bytes", left)

    def _end(self, length: int) -> Frame | None:
        del self._body[-length:]
        self._inside = self._start is None
        if self._skipping:
            self._body.clear()
            self._skipping = False
            return None
        if self._framing.trailer and self._body:
            self._owed = self._framing.trailer
            return None
        if self._body.strip():
            return self._complete()
        self._body.clear()
        return None

    def _complete(self) -> Frame:
        frame = Frame(bytes(self._body), bytes(self._trailer))
        self._body.clear()
        self._trailer.clear()
        return frame
