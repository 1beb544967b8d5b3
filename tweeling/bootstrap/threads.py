"""Threads that end together."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("tweeling.hub")


class Threads:
    """Threads that end together: one that fails says why and stops the rest."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._threads: list[threading.Thread] = []
        self.failed = ""
        self._wakes: list[Callable[[], object]] = []

    def start(
        self, name: str, run: Callable[[threading.Event], object], wake: Callable[[], object] = lambda: None
    ) -> None:
        """Run in a thread of this name; wake: makes it look at `stop`."""

        def body() -> None:
            try:
                run(self._stop)
            except Exception:
                log.exception("thread.failed", extra={"which": name})
                self.fail(name)

        self._wakes.append(wake)
        self._threads.append(threading.Thread(target=body, name=name, daemon=True))
        self._threads[-1].start()

    def fail(self, name: str) -> None:
        """Stop them all, because this part failed; it has said why."""
        self.failed = name
        self._stop.set()

    def join(self) -> None:
        """Stop them all and wait."""
        self._stop.set()
        for wake in self._wakes:
            wake()
        for thread in self._threads:
            thread.join(15)
            if thread.is_alive():
                log.error("thread.stuck", extra={"which": thread.name})
