"""When a weight is a weighing: once per load, at rest, above a threshold, after the scale was empty.

A scale is *ready* once it was seen empty. A load that rests long enough on a ready scale is counted, and the scale is
ready again only when it was empty. Where the line was down, a load that differs from the one counted by as much as a
load weighs is another one: trucks do not wait for cables.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from tweeling_edge.scale.reading import NoWeight, Reading

_TWICE = 2  # a single reading, cut short by the line, must neither count a load nor clear the scale

Counts = Literal["any", "gross", "net"]


class Weighing(NamedTuple):
    """One load, in grams; gross - tare = net where both are known."""

    net_g: int
    gross_g: int | None = None
    tare_g: int | None = None
    ticket: str = ""


class Rules(NamedTuple):
    """What is a load. above_g: at least so much; below_g: at most so much is empty; hold_ms: it rests for so long.

    counts: which weights may be loads; where only net ones are, an empty container is none. tare_g: a known tare.
    """

    above_g: int
    below_g: int
    hold_ms: float
    counts: Counts = "any"
    tare_g: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What outlives a restart: whether the scale was seen empty, what was counted last, and which ticket that had."""

    ready: bool = False
    counted_g: int | None = None
    ticket: str = ""


class Watch:
    """Sees every reading of a scale; says when one is a weighing. Whenever the line was down, another one begins."""

    def __init__(self, rules: Rules, memory: Memory) -> None:
        self._rules = rules
        self.memory = memory
        self._unseen = True  # what rests there first may have come while nobody looked
        self._resting: Reading | None = None
        self._since_ms = 0.0
        self._seen = 0
        self._empty = 0

    def see(self, said: Reading | NoWeight, passed_ms: float) -> Weighing | None:
        """Take in what the indicator said after so many milliseconds on any clock that is never set."""
        if isinstance(said, NoWeight):
            self._unsettle()
            self._empty = 0
        elif said.mode == "tare":
            pass  # a statement, no weight on the scale
        elif self._is_empty(said):
            self._clear()
        elif self._is_settled(said, passed_ms) and self._is_new(said):
            self.memory = replace(self.memory, ready=False, counted_g=said.weight_g)
            return weighing(said, self._rules.tare_g)
        return None

    def _is_empty(self, said: Reading) -> bool:
        gross = said.weight_g if said.gross_g is None or self._rules.counts == "net" else said.gross_g
        return gross <= self._rules.below_g

    def _clear(self) -> None:
        self._unsettle()
        self._empty += 1
        if self._empty >= _TWICE and not self.memory.ready:
            self.memory = replace(self.memory, ready=True)

    def _is_settled(self, said: Reading, passed_ms: float) -> bool:
        self._empty = 0
        counts = said.weight_g >= self._rules.above_g and self._rules.counts in {"any", said.mode}
        if said.stable is False or not counts:
            self._unsettle()
            return False
        if self._resting is None or said != self._resting:
            self._resting, self._since_ms, self._seen = said, passed_ms, 0
        self._seen += 1
        return self._seen >= _TWICE and passed_ms - self._since_ms >= self._rules.hold_ms

    def _is_new(self, said: Reading) -> bool:
        unseen, self._unseen = self._unseen, False
        counted = self.memory.counted_g
        another = counted is not None and abs(said.weight_g - counted) >= self._rules.above_g
        return self.memory.ready or (unseen and another)

    def _unsettle(self) -> None:
        self._resting = None


class Tickets:
    """Sees the lines that an indicator prints: each is a weighing, but a copy of the last ticket.

    A copy has its number and its weight: numbers begin again, every day or when the indicator is switched on.
    """

    def __init__(self, rules: Rules, memory: Memory) -> None:
        self._rules = rules
        self.memory = memory

    def see(self, said: Reading | NoWeight, _passed_ms: float) -> Weighing | None:
        """Take in a printed line."""
        if isinstance(said, NoWeight) or said.mode == "tare" or said.stable is False:
            return None
        if said.weight_g < self._rules.above_g or self._rules.counts not in {"any", said.mode}:
            return None
        if said.ticket and (said.ticket, said.weight_g) == (self.memory.ticket, self.memory.counted_g):
            return None
        self.memory = replace(self.memory, counted_g=said.weight_g, ticket=said.ticket)
        return weighing(said, self._rules.tare_g)


def weighing(said: Reading, tare_g: int) -> Weighing:
    """The load behind a reading; a known tare is taken off where the indicator has not done so."""
    if said.mode == "net":
        return Weighing(said.weight_g, said.gross_g, said.tare_g, said.ticket)
    if tare_g:
        return Weighing(said.weight_g - tare_g, said.weight_g, tare_g, said.ticket)
    return Weighing(said.weight_g, said.gross_g, 0 if said.gross_g is not None else None, said.ticket)
