"""A hub as its gateway hears of it: the story of a simulator, through sensors, lines and clocks that fail."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from operator import attrgetter
from typing import NamedTuple

from tweeling.simulation.faults import Episode, Fault, Faults, Kind, Schedule
from tweeling.simulation.hours import HOUR_MS
from tweeling.simulation.parameters import RESOLUTION
from tweeling.simulation.simulator import Fill, Load, Simulator

_DAY_MS = 24 * HOUR_MS
_OF_SENSORS: tuple[Kind, ...] = ("stuck", "dropout", "duplicate", "spike", "drift")


class Told(NamedTuple):
    """What reaches the gateway at a moment; the item's own time is what the node's clock said."""

    at_ms: int
    item: Fill | Load


class Faulty:
    """One hub with faults; like a simulator it tells the same, however it is asked.

    A load is weighed once and right, and only its time may be wrong: sensors' faults are those of level sensors.
    """

    def __init__(self, seed: int, hub: str, start_ms: int, faults: Faults) -> None:
        """Raise ConfigError where the demo region has no such hub."""
        self.simulator = Simulator(seed, hub, start_ms, emptied=faults.emptied)
        self._start_ms = start_ms
        self._faults = faults
        zones = dict.fromkeys(_OF_SENSORS, self.simulator.zones) | {"clock": ("",)}
        self._schedules: dict[Kind, dict[str, Schedule]] = {
            kind: {
                zone: Schedule(f"{seed}/{hub}/{start_ms}/{kind}/{zone}", per_week=often.per_week, hours=often.hours)
                for zone in names
            }
            for kind, names in zones.items()
            if (often := getattr(faults, kind)) is not None
        }

    def tell(self, from_ms: int, to_ms: int, *, every_ms: int) -> Iterator[Told]:
        """Everything that arrives in [from, to), in order of arrival; sensors sample at multiples of `every_ms`."""
        late = (self._late(zone, from_ms, to_ms, every_ms) for zone in self._schedules.get("dropout", ()))
        return heapq.merge(self._in_time(from_ms, to_ms, every_ms), *late, key=attrgetter("at_ms"))

    def faults(self, from_ms: int, to_ms: int) -> list[Fault]:
        """The truth: every fault that was there at some moment of [from, to), whole, in order of its beginning."""
        found = [
            Fault(episode.from_ms, episode.to_ms, kind, zone, self._size(kind, episode))
            for kind, schedules in self._schedules.items()
            for zone, schedule in schedules.items()
            for episode in schedule.touching(from_ms, to_ms)
        ]
        if self._faults.overfull is not None:
            found += (
                Fault(row.from_ms, row.to_ms, "overfull", row.zone, row.peak)
                for row in self.simulator.overfull(from_ms, to_ms)
            )
        found += (
            Fault(row.time_ms, row.time_ms, "emptied", row.zone, row.grams)
            for row in self.simulator.removed(from_ms, to_ms)
        )
        return sorted(found)

    def _in_time(self, from_ms: int, to_ms: int, every_ms: int) -> Iterator[Told]:
        for item in self.simulator.observe(from_ms, to_ms, every_ms=every_ms):
            if isinstance(item, Load):
                yield Told(item.time_ms, item._replace(time_ms=self._clocked(item.time_ms)))
            elif self._at("dropout", item.zone, item.time_ms) is None:
                told = Told(item.time_ms, self._reported(item, every_ms))
                yield told
                if self._at("duplicate", item.zone, item.time_ms) is not None:
                    yield told

    def _late(self, zone: str, from_ms: int, to_ms: int, every_ms: int) -> Iterator[Told]:
        """What a line that comes back in [from, to) brings, in the order in which it was measured."""
        for episode in self._schedules["dropout"][zone].touching(from_ms - 1, to_ms):
            if not from_ms <= episode.to_ms < to_ms:
                continue
            first = -(-max(episode.from_ms, self._start_ms) // every_ms) * every_ms
            for time_ms in range(first, episode.to_ms, every_ms):
                yield Told(episode.to_ms, self._reported(self.simulator.fill(zone, time_ms), every_ms))

    def _reported(self, fill: Fill, every_ms: int) -> Fill:
        """What the gateway hears of a sample: the value as the sensor says it, the time as the node does."""
        said = fill
        if (stuck := self._at("stuck", fill.zone, fill.time_ms)) is not None:
            first = -(-max(stuck.from_ms, self._start_ms) // every_ms) * every_ms
            said = self.simulator.fill(fill.zone, first)
        return Fill(self._clocked(fill.time_ms), fill.zone, self._said(said))

    def _said(self, fill: Fill) -> float:
        """What the sensor makes of the truth."""
        level = fill.level
        if self._faults.overfull is not None and self.simulator.level(fill.zone, fill.time_ms) > 1:
            level = 1.0 if self._faults.overfull.says == "full" else 0.0
        if (drift := self._at("drift", fill.zone, fill.time_ms)) is not None:
            level += self._size("drift", drift) * (fill.time_ms - drift.from_ms) / _DAY_MS
        if (spike := self._at("spike", fill.zone, fill.time_ms)) is not None:
            level += self._size("spike", spike) * (1 if level < 0.5 else -1)  # where there is room for it
        return round(min(1.0, max(0.0, level)), RESOLUTION)

    def _clocked(self, time_ms: int) -> int:
        skew = self._at("clock", "", time_ms)
        return time_ms if skew is None else time_ms + round(self._size("clock", skew))

    def _at(self, kind: Kind, zone: str, time_ms: int) -> Episode | None:
        schedules = self._schedules.get(kind)
        return None if schedules is None else schedules[zone].at(time_ms)

    def _size(self, kind: Kind, episode: Episode) -> float:
        faults = self._faults
        if kind == "clock" and faults.clock is not None:
            return episode.sign * faults.clock.minutes * 60_000
        if kind == "drift" and faults.drift is not None:
            return episode.sign * faults.drift.per_day
        return faults.spike.size if kind == "spike" and faults.spike is not None else 0.0
