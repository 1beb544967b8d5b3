"""A revision that grows, and those who wait for it: from any thread, on any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from threading import Lock


class _Reader:
    """One event loop's wish to be woken; at most one wake-up is under way."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.news = asyncio.Event()
        self.called = False


class Changes:
    """Counts changes. A reader gets the newest revision; those it was too slow for it never sees."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._revision = 0
        self._readers: set[_Reader] = set()

    @property
    def revision(self) -> int:
        """How many changes there were."""
        return self._revision

    def touch(self) -> None:
        """Say that something changed."""
        with self._lock:
            self._revision += 1
            for reader in tuple(self._readers):
                if not reader.called:
                    reader.called = True
                    self._call(reader)

    async def follow(self) -> AsyncIterator[int]:
        """Yield the revision now, then again whenever it has grown."""
        reader = _Reader()
        with self._lock:
            self._readers.add(reader)
        try:
            seen = -1
            while True:
                with self._lock:
                    now, reader.called = self._revision, False
                    reader.news.clear()
                if now != seen:
                    seen = now
                    yield now
                else:
                    await reader.news.wait()
        finally:
            with self._lock:
                self._readers.discard(reader)

    def _call(self, reader: _Reader) -> None:
        try:
            reader.loop.call_soon_threadsafe(reader.news.set)
        except RuntimeError:  # its loop was closed under it
            self._readers.discard(reader)
