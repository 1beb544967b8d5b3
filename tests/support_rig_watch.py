"""Asking a hub all the time what it shows, and how much memory it has."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from support_rig_program import Program

from tweeling.cli.client import HubClient
from tweeling.errors import UnavailableError

_EVERY_S = 0.05


class Watcher:
    """Looks again and again, in a thread, at the newest reading of some things; use as a context manager."""

    def __init__(self, folder: Path, things: Iterable[str], hub: Program) -> None:
        self.newest = dict.fromkeys(things, 0)
        self.memory_mb: list[float] = []
        self._folder, self._hub = folder, hub
        self._seen: list[tuple[float, dict[str, int]]] = []  # when asked, and the newest reading's time of each
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def waits_s(self, thing: str, made_ms: Iterable[int]) -> list[float]:
        """How long after each of its readings was made it was shown; each must be shown by now."""
        shown = [newest[thing] for _, newest in self._seen]
        made = list(made_ms)
        assert made, "no reading was made meanwhile"
        assert max(made) <= shown[-1], f"{thing}: the newest is not shown"
        return [max(self._seen[bisect.bisect_left(shown, at)][0] - at / 1000, 0.0) for at in made]

    def _watch(self) -> None:
        with HubClient(self._folder) as client:
            while not self._stop.wait(_EVERY_S):
                if self._hub.running:
                    self.memory_mb.append(self._hub.resident_mb())
                try:
                    things = client.things()
                except UnavailableError:
                    continue
                told = {row["thing"]: row["time_ms"] or 0 for row in things}
                self.newest = {thing: max(at, told.get(thing, 0)) for thing, at in self.newest.items()}
                self._seen.append((time.time(), self.newest))


def percentile(values: Iterable[float], share: float) -> float:
    """The value that this share of them does not pass."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
