"""The twin's state now: a fold of what is committed, kept in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from threading import Lock
from typing import NamedTuple

import numpy as np

from tweeling.domain.now import NodeNow, ThingNow
from tweeling.domain.points import Points
from tweeling.domain.region import Region
from tweeling.domain.telemetry import FILLING_LEVEL, Direction, Movement, Quality, Series
from tweeling.ports.facts import Facts
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.services.changes import Changes

_NOTHING: dict[str, int] = {}


class _Level(NamedTuple):
    """The newest fill level of a thing."""

    time_ms: int
    value: float
    quality: int


_UNKNOWN = (None, None, int(Quality.GOOD))


class Twin:
    """Fill, stock and presence. Safe from any thread; what it hands out never changes afterwards."""

    def __init__(self, store: TimeSeriesStore, facts: Facts) -> None:
        self._store = store
        self._facts = facts
        self._lock = Lock()
        self._changes = Changes()
        self._region = Region(hubs=(), zones=(), materials=(), tenants=(), flows=())
        self._levels: dict[tuple[str, str], _Level] = {}
        self._stock: dict[tuple[str, str], dict[str, int]] = {}
        self._nodes: dict[tuple[str, str], NodeNow] = {}
        self._things: tuple[ThingNow, ...] | None = None

    def load(self) -> None:
        """Start from what the stores hold. To be called before anything is applied, or it would count twice.

        Raises UnavailableError while a store does not answer; then nothing has changed.
        """
        region = self._facts.region()
        stock: dict[tuple[str, str], dict[str, int]] = {}
        for row in self._facts.balances():
            stock.setdefault((row.hub, row.zone), {})[row.material] = row.in_g - row.out_g
        newest = self._store.latest()
        with self._lock:
            self._region, self._stock, self._levels = region, stock, {}
            for point in newest:
                self._see(point.series, _Level(point.time_ms, point.value, point.quality))
            self._things = None
        self._changes.touch()

    def apply(self, points: Points, movements: Iterable[Movement]) -> None:
        """Take in what was committed, once each, in the order of commits."""
        latest = [(points.names[points.series[at]], _level(points, at)) for at in _newest(points)]
        with self._lock:
            for series, level in latest:
                self._see(series, level)
            for movement in movements:
                self._move(movement)
            self._things = None
        self._changes.touch()

    def presence(self, node: NodeNow) -> None:
        """Take in what a node says of itself, or the broker in its last will.

        The last will of an earlier connection may come after the word of a later one: it is no news.
        """
        with self._lock:
            before = self._nodes.get((node.hub, node.node))
            if before is not None and before.online and not node.online and node.since_ms < before.since_ms:
                return
            self._nodes[node.hub, node.node] = node
        self._changes.touch()

    def region(self) -> Region:
        """What stands still."""
        return self._region

    def things(self) -> Sequence[ThingNow]:
        """Every zone of the region in its order, then every other container that reports a fill, by hub and name."""
        with self._lock:
            if self._things is None:
                self._things = tuple(self._now())
            return self._things

    def nodes(self) -> Sequence[NodeNow]:
        """Every node that ever spoke, by hub and name."""
        with self._lock:
            return sorted(self._nodes.values())

    @property
    def revision(self) -> int:
        """Grows with every change."""
        return self._changes.revision

    def touch(self) -> None:
        """Say that something else changed that screens show beside the twin's own state."""
        self._changes.touch()

    def changes(self) -> AsyncIterator[int]:
        """Yield the revision now, then again whenever it has grown; slow readers skip, never queue."""
        return self._changes.follow()

    def _see(self, key: str, level: _Level) -> None:
        series = Series.parse(key)
        if series.attribute == FILLING_LEVEL:
            place = series.hub, series.thing
            before = self._levels.get(place)
            if before is None or level.time_ms >= before.time_ms:
                self._levels[place] = level

    def _move(self, movement: Movement) -> None:
        place = movement.identity.hub, movement.zone  # a node moves its own hub's stock and no other's
        stock = self._stock.get(place, _NOTHING)
        came = movement.net_g if movement.direction is Direction.IN else -movement.net_g
        # A new dict, since the one before may be in somebody's hands.
        self._stock[place] = {**stock, movement.material: stock.get(movement.material, 0) + came}

    def _now(self) -> Iterable[ThingNow]:
        others = dict(self._levels)
        for zone in self._region.zones:
            level = others.pop((zone.hub, zone.id), None)
            yield self._thing(zone.hub, zone.id, zone.name, level, zone.capacity_m3)
        for hub, thing in sorted(others):
            yield self._thing(hub, thing, thing, others[hub, thing], None)

    def _thing(self, hub: str, thing: str, name: str, level: _Level | None, capacity_m3: float | None) -> ThingNow:
        time_ms, fill, quality = level or _UNKNOWN
        return ThingNow(hub, thing, name, fill, time_ms, quality, self._stock.get((hub, thing), _NOTHING), capacity_m3)


def _level(points: Points, at: int) -> _Level:
    return _Level(int(points.times[at]), float(points.values[at]), int(points.quality[at]))


def _newest(points: Points) -> list[int]:
    """Where each series has its newest point; of equal times the last one stands."""
    order = np.lexsort((points.times, points.series))
    codes = points.series[order]
    last = np.append(codes[1:] != codes[:-1], True) if len(codes) else np.empty(0, dtype=bool)
    newest: list[int] = order[last].tolist()
    return newest
