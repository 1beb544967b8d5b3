"""One week of one flow, from the state it starts in: a pure step, so that any week can be told again.

Mass is exact: every gram that leaves came in, as a lot that a truck brought or that processing made.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from random import Random
from types import MappingProxyType
from typing import NamedTuple

from tweeling.domain.region import Flow
from tweeling.simulation.hours import Interval
from tweeling.simulation.parameters import (
    HANDLING,
    LOAD_SPREAD,
    OFFTAKE_GAIN,
    OFFTAKE_VARIATION,
    PROCESSES,
    TARE_SPREAD,
    Process,
)

_BATCH_MS = 90 * 60_000  # processing takes this long from the first hour of a day
_MIN_DAY_MS = 2 * _BATCH_MS
BEFORE_MS = 3_600_000
"""So long before the gate opens, what leaves past every scale has left."""


class Lot(NamedTuple):
    """What was brought together and stays together."""

    id: str
    grams: int


class Day(NamedTuple):
    """A day's opening hours, those before the simulation's start cut off; share of the whole week's hours."""

    day: date
    hours: Sequence[Interval]
    share: float


class Passage(NamedTuple):
    """A load through the gate, not yet on a ticket."""

    time_ms: int
    direction: str
    net_g: int
    tare_g: int
    lot: str


class Batch(NamedTuple):
    """A day's processing."""

    time_ms: int
    inputs: tuple[Lot, ...]
    outputs: tuple[Lot, ...]
    loss_g: int
    step: str


@dataclass(frozen=True, slots=True)
class State:
    """What one week leaves to the next: lots in order of age, and what is due in and out of whole loads."""

    lots: tuple[Lot, ...]
    due_in_g: float = 0.0
    due_out_g: float = 0.0

    @property
    def stock_g(self) -> int:
        """All that lies there."""
        return sum(lot.grams for lot in self.lots)


class Gone(NamedTuple):
    """What left past every scale."""

    time_ms: int
    grams: int


class Week(NamedTuple):
    """What happened in a week, unordered, and the state after it."""

    passages: list[Passage]
    batches: list[Batch]
    gone: list[Gone]
    state: State


def opening(flow: Flow, rng: Random) -> State:
    """The stock a flow starts with: what its mean dwell time keeps there, in lots of the usual size."""
    lots: list[Lot] = []
    due = flow.inflow_t_week * 1e6 * flow.dwell_weeks
    while due > 0:
        grams = _load(flow, rng)
        lots.append(Lot(f"{flow.zone}-0-{flow.tenant}-{len(lots) + 1}", grams))
        due -= grams
    return State(tuple(lots))


def week(
    flow: Flow,
    state: State,
    days: Sequence[Day],
    *,
    season: float,
    mean: float,
    rng: Random,
    emptied: Mapping[date, float] = MappingProxyType({}),
) -> Week:
    """Live one week. season: this week's factor on the flow; mean: the year's mean of it.

    emptied: the share of the stock that is gone on some mornings, an hour before the gate opens.
    """
    return _Work(flow, state, rng).live(days, season=season, mean=mean, emptied=emptied)


class _Work:
    """The moving parts of one week of one flow."""

    def __init__(self, flow: Flow, state: State, rng: Random) -> None:
        self.flow = flow
        self.rng = rng
        self.process = PROCESSES.get((flow.zone, flow.material))
        self.tare_kg, self.division_g = HANDLING[flow.material][1:]
        self.lots = deque(state.lots)
        self.due_in, self.due_out = state.due_in_g, state.due_out_g
        self.stock_g = state.stock_g
        self.passages: list[Passage] = []
        self.batches: list[Batch] = []
        self.gone: list[Gone] = []

    def live(self, days: Sequence[Day], *, season: float, mean: float, emptied: Mapping[date, float]) -> Week:
        usual = self.flow.inflow_t_week * 1e6
        spread = math.sqrt(math.log(1 + self.flow.variation**2))
        supply = usual * season * math.exp(self.rng.gauss(-spread * spread / 2, spread))
        surplus = self.stock_g / (usual * self.flow.dwell_weeks) - 1
        offtake = usual * mean * max(0.0, 1 + OFFTAKE_GAIN * surplus) * (1 + self.rng.gauss(0, OFFTAKE_VARIATION))
        for day in days:
            if day.day in emptied:
                self._empty(day.hours[0][0] - BEFORE_MS, emptied[day.day])
            clock = _Clock(day.hours, self.rng)
            self.due_out = min(self.due_out + offtake * day.share, offtake)
            if self.process is None:
                self._ship(clock)
            elif clock.open_ms >= _MIN_DAY_MS:
                self._make(self.process, day, clock)
            self.due_in += supply * day.share
            self._receive(day, clock)  # last: what comes today can leave tomorrow at the earliest
        return Week(self.passages, self.batches, self.gone, State(tuple(self.lots), self.due_in, self.due_out))

    def _empty(self, time_ms: int, share: float) -> None:
        """Let whole lots vanish, the oldest first, until at least this share is gone."""
        wanted = share * sum(lot.grams for lot in self.lots)
        grams = 0
        while self.lots and grams < wanted:
            grams += self.lots.popleft().grams
        if grams:
            self.gone.append(Gone(time_ms, grams))

    def _receive(self, day: Day, clock: _Clock) -> None:
        number = 0
        while self.due_in > 0:
            number += 1
            lot = Lot(f"{self.flow.zone}-{day.day:%y%m%d}-{self.flow.tenant}-{number}", _load(self.flow, self.rng))
            self.due_in -= lot.grams
            self.lots.append(lot)
            self._pass(clock.moment(), "in", lot)

    def _ship(self, clock: _Clock) -> None:
        """Send whole lots away as they came, the oldest first."""
        while self.due_out > 0 and self.lots:
            lot = self.lots.popleft()
            self.due_out -= lot.grams
            self._pass(clock.moment(), "out", lot)

    def _make(self, process: Process, day: Day, clock: _Clock) -> None:
        """Process what leaves today, in the morning, into lots of one load each; ship them later that day."""
        room = int(sum(lot.grams for lot in self.lots) * (1 - process.loss))
        outputs: list[Lot] = []
        while self.due_out > 0 and (grams := _load(self.flow, self.rng)) <= room:
            name = f"{self.flow.zone}-{day.day:%y%m%d}-{self.flow.tenant}-P{len(outputs) + 1}"
            outputs.append(Lot(name, grams))
            self.due_out -= grams
            room -= grams
        if not outputs:
            return
        made = sum(lot.grams for lot in outputs)
        loss = round(made * process.loss)
        done_ms = clock.after(_BATCH_MS)
        inputs = tuple(self._take(made + loss))
        self.batches.append(Batch(done_ms, inputs, tuple(outputs), loss, process.step))
        for lot in outputs:
            self._pass(clock.moment(behind_ms=_BATCH_MS), "out", lot)

    def _take(self, grams: int) -> list[Lot]:
        """Take this much of the oldest lots; the last of them may stay in part."""
        taken: list[Lot] = []
        while grams > 0:
            lot = self.lots.popleft()
            if lot.grams > grams:
                self.lots.appendleft(lot._replace(grams=lot.grams - grams))
                lot = lot._replace(grams=grams)
            taken.append(lot)
            grams -= lot.grams
        return taken

    def _pass(self, time_ms: int, direction: str, lot: Lot) -> None:
        tare = self.tare_kg * 1000 * self.rng.uniform(1 - TARE_SPREAD, 1 + TARE_SPREAD)
        tare_g = round(tare / self.division_g) * self.division_g
        self.passages.append(Passage(time_ms, direction, lot.grams, tare_g, lot.id))


class _Clock:
    """Random moments in opening hours."""

    def __init__(self, hours: Sequence[Interval], rng: Random) -> None:
        self._hours = hours
        self._rng = rng
        self._ends = list(accumulate(end - start for start, end in hours))
        self.open_ms = self._ends[-1] if self._ends else 0

    def moment(self, *, behind_ms: int = 0) -> int:
        """Some moment in the open time behind the first `behind_ms` of it."""
        return self.after(behind_ms + int(self._rng.random() * (self.open_ms - behind_ms)))

    def after(self, open_ms: int) -> int:
        """The moment at which it has been open for this long."""
        interval = bisect(self._ends, open_ms)
        return self._hours[interval][1] - (self._ends[interval] - open_ms)


def _load(flow: Flow, rng: Random) -> int:
    net_kg, _, division = HANDLING[flow.material]
    grams = net_kg * 1000 * rng.uniform(1 - LOAD_SPREAD, 1 + LOAD_SPREAD)
    return round(grams / division) * division
