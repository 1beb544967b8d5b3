"""The twin at one moment, taken once for every screen that watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, TypeVar

from tweeling.domain.now import EventNow, NodeNow, PartNow, ThingNow
from tweeling.domain.region import Region
from tweeling.errors import UnavailableError
from tweeling.ports.view import TwinView

T = TypeVar("T")

EVENTS = 15
"""How many custody events a screen shows."""

FILL_MOST = 100
"""A hundred times full is no reading."""


class Snapshot(NamedTuple):
    """What screens show. missing: the parts that did not answer, of which the last known value stands here."""

    number: int
    now_ms: int
    region: Region
    things: tuple[ThingNow, ...]
    events: tuple[EventNow, ...]
    nodes: tuple[NodeNow, ...]
    parts: tuple[PartNow, ...]
    counts: dict[str, int]
    missing: frozenset[str]


def take(view: TwinView, former: Snapshot | None = None) -> Snapshot:
    """Read the twin once; what does not answer keeps its former value."""
    missing = set()

    def ask(name: str, read: Callable[[], T], known: T) -> T:
        try:
            return read()
        except UnavailableError:
            missing.add(name)
            return known

    before = former or NOTHING
    return Snapshot(
        number=before.number + 1,
        now_ms=view.now_ms(),
        region=ask("region", view.region, before.region),
        things=ask("things", lambda: tuple(map(_sound, view.things())), before.things),
        events=ask("events", lambda: tuple(view.events(EVENTS)), before.events),
        nodes=ask("nodes", lambda: tuple(view.nodes()), before.nodes),
        parts=ask("health", lambda: tuple(view.health()), before.parts),
        counts=ask("counts", view.counts, before.counts),
        missing=frozenset(missing),
    )


def _sound(thing: ThingNow) -> ThingNow:
    """A fill that is no fraction of anything counts as none: everything on a screen sorts and measures by it."""
    return thing if thing.fill is None or abs(thing.fill) < FILL_MOST else thing._replace(fill=None)


class Snapshots:
    """Shares each snapshot among all who ask at the same time, and never reads the twin without pause."""

    def __init__(self, view: TwinView, *, pause_s: float = 0.1, pulse_s: float = 5) -> None:
        self._view = view
        self._least_pause_s = self._pause_s = pause_s
        self._pulse_s = pulse_s
        self._begun = float("-inf")
        self._newest: Snapshot | None = None
        self._lock = asyncio.Lock()

    async def fresh(self) -> Snapshot:
        """A snapshot begun after this call."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self._lock:
            if self._newest is None or self._begun < asked:
                await asyncio.sleep(self._begun + self._pause_s - asked)
                self._begun = loop.time()
                self._newest = await asyncio.to_thread(take, self._view, self._newest)
                # A slow twin is asked less often: at most a fifth of the time goes into reading it.
                self._pause_s = max(self._least_pause_s, 4 * (loop.time() - self._begun))
            return self._newest

    async def follow(self) -> AsyncGenerator[Snapshot, None]:
        """A snapshot now, after each change, and every few seconds without one: ages grow, and silence is no news."""
        changes = self._view.changes()
        change = asyncio.ensure_future(anext(changes))
        try:
            # What changes after a snapshot is heard of only by who listened before it.
            await asyncio.sleep(0)
            while True:
                yield await self.fresh()
                await asyncio.wait({change}, timeout=self._pulse_s)
                if not change.done():
                    continue
                if isinstance(change.exception(), UnavailableError | StopAsyncIteration):
                    await asyncio.sleep(self._pulse_s)
                    changes = self._view.changes()
                else:
                    change.result()
                change = asyncio.ensure_future(anext(changes))
        finally:
            change.cancel()
            with contextlib.suppress(asyncio.CancelledError, UnavailableError, StopAsyncIteration):
                await change


NOTHING = Snapshot(
    number=0,
    now_ms=0,
    region=Region(hubs=(), zones=(), materials=(), tenants=(), flows=()),
    things=(),
    events=(),
    nodes=(),
    parts=(),
    counts={},
    missing=frozenset(),
)
