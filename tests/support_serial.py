"""An indicator on the other end of a pseudo terminal: a real line, a real port, and a cable that can be pulled."""

from __future__ import annotations

import os
import select
import threading
import tty
from pathlib import Path
from typing import Self

BEAT_S = 0.01


class Indicator:
    """Sends what it shows, again and again; or, where it waits to be asked, once per question."""

    def __init__(self, port: Path, shown: bytes = b"", *, question: bytes = b"") -> None:
        self.port = port
        self.asked = 0
        self._shown = shown
        self._question = question
        self._printed = b""
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._fds: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self.plug()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self.unplug()

    def show(self, frame: bytes) -> None:
        """Send this from now on."""
        with self._lock:
            self._shown = frame

    def print(self, raw: bytes) -> None:
        """Send this once."""
        with self._lock:
            self._printed += raw

    def plug(self) -> None:
        """Put the cable in; it is found under the same name."""
        with self._lock:
            master, slave = os.openpty()
            tty.setraw(slave)
            self._fds = master, slave
            self.port.unlink(missing_ok=True)
            self.port.symlink_to(os.ttyname(slave))

    def unplug(self) -> None:
        """Pull the cable out."""
        with self._lock:
            for fd in self._fds or ():
                os.close(fd)
            self._fds = None

    def _run(self) -> None:
        while not self._ending.wait(BEAT_S):
            with self._lock:
                if self._fds is not None:
                    self._speak(self._fds[0])

    def _speak(self, master: int) -> None:
        # A terminal that nobody reads fills up, as a real one's buffer does; then nothing more fits.
        heard = os.read(master, 4096) if select.select([master], [], [], 0)[0] else b""
        self.asked += heard.count(self._question) if self._question else 0
        answer = self._shown if not self._question or self._question in heard else b""
        raw, self._printed = self._printed + answer, b""
        if raw and select.select([], [master], [], 0)[1]:
            os.write(master, raw)
