"""A hub that lives by itself: what its sensors and scales report, and what is true."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import lru_cache
from itertools import count
from random import Random
from typing import NamedTuple

from tweeling.domain.region import Flow, Zone
from tweeling.errors import ConfigError
from tweeling.simulation import world
from tweeling.simulation.faults import Emptying, Schedule
from tweeling.simulation.hours import Hours, Interval, local_day, monday, utc_ms
from tweeling.simulation.region import load, seasons
from tweeling.simulation.seeds import seed_of
from tweeling.simulation.sensor import Sensor

_A_MOMENT_H = 1 / 60
_COMPANY = "9521141"  # GS1 keeps prefix 952 for demonstrations


class Fill(NamedTuple):
    """A level sensor's sample, 0..1."""

    time_ms: int
    zone: str
    level: float


class Load(NamedTuple):
    """A weighed load. direction: `in` or `out`, seen from the hub; gross - tare = net, in grams."""

    time_ms: int
    zone: str
    material: str
    tenant: str
    direction: str
    gross_g: int
    tare_g: int
    net_g: int
    ticket: str
    lot: str


class Processing(NamedTuple):
    """Lots became other lots; the mass of inputs is that of outputs and loss together."""

    time_ms: int
    zone: str
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, str, int], ...]
    loss_g: int
    step: str


class Removed(NamedTuple):
    """What left a zone past every scale."""

    time_ms: int
    zone: str
    material: str
    grams: int


class Overfull(NamedTuple):
    """A zone was more than full in [from, to), at most to this level."""

    from_ms: int
    to_ms: int
    zone: str
    peak: float


class Stock(NamedTuple):
    """How much of a material lies in a zone."""

    zone: str
    material: str
    grams: int


class _Week(NamedTuple):
    """A lived week of the hub: events in order, and per zone the volume (m3) from each moment of change on."""

    loads: list[Load]
    load_times: list[int]
    processing: list[Processing]
    removed: list[Removed]
    moves: list[tuple[int, str, str, int]]  # time, zone, material, and grams more or less of it
    changes: Mapping[str, tuple[list[int], list[float]]]


class Simulator:
    """One hub of the demo region, living from `start_ms` on.

    The same seed, hub and start tell the same story, byte by byte, however it is asked for: in one call or in many,
    forwards, backwards, or by another process after a restart.
    """

    def __init__(self, seed: int, hub: str, start_ms: int, *, emptied: Emptying | None = None) -> None:
        """emptied: what leaves past every scale, which makes another story. Raises ConfigError for an unknown hub."""
        region = load()
        known = {row.id: row for row in region.hubs}
        if hub not in known:
            raise ConfigError(
                f"{hub!r} is not a hub of the demo region", field="hub", remedy=f"One of {', '.join(known)}"
            )
        self._seed = f"{seed}/{hub}/{start_ms}"
        self._start_ms = start_ms
        self._first = monday(local_day(start_ms))
        self._hours = Hours(known[hub].opening_hours)
        self._hub = hub
        self._zones = region.zones_of(hub)
        self._capacity = {zone.id: zone.capacity_m3 for zone in self._zones}
        names = {zone.id for zone in self._zones}
        self._flows = tuple(flow for flow in region.flows if flow.zone in names)
        self._density = {row.id: row.density_kg_m3 for row in region.materials}
        codes = {row.id: number for number, row in enumerate(region.materials, start=1)}
        self._lot = {row: f"urn:epc:class:lgtin:{_COMPANY}.0{code:05d}." for row, code in codes.items()}
        self._sensors = {zone.id: Sensor(seed_of(f"{self._seed}/sensor/{zone.id}")) for zone in self._zones}
        self._states = [tuple(world.opening(flow, self._random(flow, "opening")) for flow in self._flows)]
        self._emptied = {} if emptied is None else {zone.id: self._emptying(zone, emptied) for zone in self._zones}
        self._share = 0.0 if emptied is None else emptied.share
        self._week = lru_cache(maxsize=8)(self._live)

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that have a sensor."""
        return tuple(zone.id for zone in self._zones)

    def observe(self, from_ms: int, to_ms: int, *, every_ms: int) -> Iterator[Fill | Load]:
        """Everything sensors and scales report in [from, to), in order of time; fills at multiples of `every_ms`."""
        for number, start, end in self._weeks(from_ms, to_ms):
            week = self._week(number)
            time_ms = -(-start // every_ms) * every_ms
            first, last = bisect_left(week.load_times, start), bisect_left(week.load_times, end)
            cursor = first
            while time_ms < end:
                until = bisect_right(week.load_times, time_ms, cursor, last)
                yield from week.loads[cursor:until]
                cursor = until
                for zone in self._zones:
                    yield self._fill(week, zone.id, time_ms)
                time_ms += every_ms
            yield from week.loads[cursor:last]

    def fill(self, zone: str, time_ms: int) -> Fill:
        """What the sensor of a zone reports at a moment of the story."""
        return self._fill(self._week(self._number_of(time_ms)), zone, time_ms)

    def level(self, zone: str, time_ms: int) -> float:
        """How full a zone truly is at a moment of the story; more than 1 is over-full."""
        return self._level(self._week(self._number_of(time_ms)), zone, time_ms)

    def processing(self, from_ms: int, to_ms: int) -> Iterator[Processing]:
        """What was crushed, sorted, baled or repaired in [from, to), in order of time."""
        for number, start, end in self._weeks(from_ms, to_ms):
            yield from (event for event in self._week(number).processing if start <= event.time_ms < end)

    def removed(self, from_ms: int, to_ms: int) -> Iterator[Removed]:
        """What left past every scale in [from, to), in order of time."""
        for number, start, end in self._weeks(from_ms, to_ms):
            yield from (event for event in self._week(number).removed if start <= event.time_ms < end)

    def overfull(self, from_ms: int, to_ms: int) -> Iterator[Overfull]:
        """When zones were more than full at some moment of [from, to): each such time whole."""
        for zone in self.zones:
            yield from (row for row in self._overfull(zone, from_ms, to_ms) if row.to_ms > from_ms)

    def opening(self) -> list[Stock]:
        """The stock that lies there at the start."""
        return _sums(self._flows, self._states[0])

    def truth(self, time_ms: int) -> dict[str, dict[str, int]]:
        """Grams per zone and material, with all that happened up to and at this moment."""
        number = self._number_of(max(time_ms, self._start_ms))
        week = self._week(number)
        stock: dict[str, dict[str, int]] = {zone.id: {} for zone in self._zones}
        for row in _sums(self._flows, self._states[number]):
            stock[row.zone][row.material] = row.grams
        for moved_ms, zone, material, grams in week.moves:
            if moved_ms <= time_ms:
                stock[zone][material] += grams
        return stock

    def _weeks(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int, int]]:
        """The weeks that [from, to) touches, each with its part of it."""
        start = max(from_ms, self._start_ms)
        while start < to_ms:
            number = self._number_of(start)
            end = min(to_ms, utc_ms(self._monday(number + 1)))
            yield number, start, end
            start = end

    def _number_of(self, time_ms: int) -> int:
        return (local_day(time_ms) - self._first).days // 7

    def _monday(self, number: int) -> date:
        return self._first + timedelta(weeks=number)

    def _random(self, flow: Flow, what: str) -> Random:
        return Random(seed_of(f"{self._seed}/{flow.zone}/{flow.material}/{flow.tenant}/{what}"))

    def _emptying(self, zone: Zone, emptied: Emptying) -> Schedule:
        return Schedule(f"{self._seed}/emptied/{zone.id}", per_week=emptied.per_week, hours=_A_MOMENT_H)

    def _fill(self, week: _Week, zone: str, time_ms: int) -> Fill:
        return Fill(time_ms, zone, self._sensors[zone].read(self._level(week, zone, time_ms), time_ms))

    def _level(self, week: _Week, zone: str, time_ms: int) -> float:
        times, volumes = week.changes[zone]
        return volumes[bisect_right(times, time_ms) - 1] / self._capacity[zone]

    def _overfull(self, zone: str, from_ms: int, to_ms: int) -> Iterator[Overfull]:
        """Every over-full time that begins before `to`, from the one that lasts at `from` on."""
        number = self._number_of(max(from_ms, self._start_ms))
        while number and self.level(zone, self._begins(number)) > 1:
            number -= 1
        since, peak = 0, 0.0
        for week in count(number):
            if not since and self._begins(week) >= to_ms:
                return
            for time_ms, volume in zip(*self._week(week).changes[zone], strict=True):
                at, level = max(time_ms, self._begins(week)), volume / self._capacity[zone]
                if level > 1:
                    since, peak = since or at, max(peak, level)
                elif since:
                    if since < to_ms:
                        yield Overfull(since, at, zone, peak)
                    since, peak = 0, 0.0

    def _begins(self, number: int) -> int:
        return max(utc_ms(self._monday(number)), self._start_ms)

    def _live(self, number: int) -> _Week:
        """Live a week; its start is known from the weeks before it, which are lived first."""
        for earlier in range(len(self._states) - 1, number):
            self._states.append(tuple(week.state for week in self._step(earlier)))
        lived = self._step(number)
        if number == len(self._states) - 1:
            self._states.append(tuple(week.state for week in lived))
        return self._tell(number, lived)

    def _step(self, number: int) -> list[world.Week]:
        first = self._monday(number)
        season = min(first.isocalendar().week, 52) - 1
        days = self._days(first)
        factors = seasons()
        return [
            world.week(
                flow,
                state,
                days,
                season=factors[flow.season][season],
                mean=sum(factors[flow.season]) / 52,
                rng=self._random(flow, str(number)),
                emptied=self._mornings(flow.zone, days),
            )
            for flow, state in zip(self._flows, self._states[number], strict=True)
        ]

    def _mornings(self, zone: str, days: Sequence[world.Day]) -> dict[date, float]:
        """The days of these on which a zone is found emptied, and the share that is gone."""
        if (schedule := self._emptied.get(zone)) is None or not days:
            return {}
        found = {local_day(row.from_ms) for row in schedule.touching(utc_ms(days[0].day), days[-1].hours[-1][1])}
        since = self._start_ms + world.BEFORE_MS
        return {row.day: self._share for row in days if row.day in found and row.hours[0][0] >= since}

    def _days(self, first: date) -> Sequence[world.Day]:
        hours = [(day, self._hours.of(day)) for day in (first + timedelta(days=number) for number in range(7))]
        whole = sum(_length(row) for _, row in hours)
        cut = ((day, [(max(a, self._start_ms), b) for a, b in row if b > self._start_ms]) for day, row in hours)
        return [world.Day(day, row, _length(row) / whole) for day, row in cut if row]

    def _tell(self, number: int, lived: Sequence[world.Week]) -> _Week:
        """Put the flows' weeks together: tickets in order of time, lots as GS1 identifiers."""
        pairs = list(zip(self._flows, lived, strict=True))
        passages = sorted((row, index) for index, (_, week) in enumerate(pairs) for row in week.passages)
        loads: list[Load] = []
        day, ticket = date.min, 0
        for row, index in passages:
            flow, today = self._flows[index], local_day(row.time_ms)
            day, ticket = today, ticket + 1 if today == day else 1
            name = f"{self._hub}-{day:%y%m%d}-{ticket:03d}"
            gross, lot = row.net_g + row.tare_g, self._lot[flow.material] + row.lot
            sides = (row.direction, gross, row.tare_g, row.net_g)
            loads.append(Load(row.time_ms, flow.zone, flow.material, flow.tenant, *sides, name, lot))
        processing = sorted(self._processing(flow, batch) for flow, week in pairs for batch in week.batches)
        removed = sorted(Removed(at, flow.zone, flow.material, g) for flow, week in pairs for at, g in week.gone)
        moves = [
            (row.time_ms, row.zone, row.material, -row.net_g if row.direction == "out" else row.net_g) for row in loads
        ]
        moves += [(row.time_ms, row.zone, row.outputs[0][1], -row.loss_g) for row in processing]
        moves += [(row.time_ms, row.zone, row.material, -row.grams) for row in removed]
        moves.sort()
        changes = self._changes(number, moves)
        return _Week(loads, [row.time_ms for row in loads], processing, removed, moves, changes)

    def _processing(self, flow: Flow, batch: world.Batch) -> Processing:
        prefix = self._lot[flow.material]
        inputs = tuple((prefix + lot.id, lot.grams) for lot in batch.inputs)
        outputs = tuple((prefix + lot.id, flow.material, lot.grams) for lot in batch.outputs)
        return Processing(batch.time_ms, flow.zone, inputs, outputs, batch.loss_g, batch.step)

    def _changes(
        self, number: int, moves: Iterable[tuple[int, str, str, int]]
    ) -> dict[str, tuple[list[int], list[float]]]:
        volume = dict.fromkeys((zone.id for zone in self._zones), 0.0)
        for zone, material, grams in _sums(self._flows, self._states[number]):
            volume[zone] += grams / 1000 / self._density[material]
        changes = {zone: ([0], [cubic]) for zone, cubic in volume.items()}
        for time_ms, zone, material, grams in moves:
            times, volumes = changes[zone]
            times.append(time_ms)
            volumes.append(volumes[-1] + grams / 1000 / self._density[material])
        return changes


def _sums(flows: Sequence[Flow], states: Sequence[world.State]) -> list[Stock]:
    sums: dict[tuple[str, str], int] = {}
    for flow, state in zip(flows, states, strict=True):
        sums[flow.zone, flow.material] = sums.get((flow.zone, flow.material), 0) + state.stock_g
    return [Stock(zone, material, grams) for (zone, material), grams in sums.items()]


def _length(hours: Sequence[Interval]) -> int:
    return sum(end - start for start, end in hours)
