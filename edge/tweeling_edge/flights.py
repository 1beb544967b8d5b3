"""Messages that the hub has not answered: what each carries, and since when the broker has it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from tweeling.wire.ranges import SeqSet


@dataclass(slots=True)
class Flight:
    """Readings under way together. handed_at: when the broker confirmed that it has them."""

    seqs: SeqSet
    live: bool
    handed_at: float | None = None


class Flights:
    """By message number. What is asked often, such as which is overdue, does not look at them all."""

    def __init__(self) -> None:
        self._open: dict[int, Flight] = {}  # the broker has not confirmed these
        self._handed: dict[int, Flight] = {}  # the longest waiting first

    def __len__(self) -> int:
        return len(self._open) + len(self._handed)

    def __contains__(self, message: int) -> bool:
        return message in self._open or message in self._handed

    def __iter__(self) -> Iterator[int]:
        """Message numbers, as they were sent."""
        return iter(sorted((*self._open, *self._handed)))

    @property
    def unconfirmed(self) -> bool:
        """Whether the broker owes a confirmation."""
        return bool(self._open)

    @property
    def handed_at(self) -> float | None:
        """When the broker took the one that has waited longest for the hub."""
        return next((flight.handed_at for flight in self._handed.values()), None)

    def add(self, message: int, flight: Flight) -> None:
        """A message leaves."""
        self._open[message] = flight

    def hand(self, message: int, now: float) -> None:
        """The broker has it."""
        if flight := self._open.pop(message, None):
            flight.handed_at = now
            self._handed[message] = flight

    def pop(self, message: int) -> Flight:
        """Give it up."""
        return self._open.pop(message, None) or self._handed.pop(message)

    def clear(self) -> None:
        """Give all up."""
        self._open.clear()
        self._handed.clear()

    def overdue(self, now: float, wait: float) -> list[int]:
        """Those that the broker has had for so long."""
        found = []
        for message, flight in self._handed.items():
            if flight.handed_at is None or now < flight.handed_at + wait:
                break
            found.append(message)
        return found

    def carrying(self, seqs: SeqSet) -> list[tuple[int, Flight, SeqSet]]:
        """Every message that carries some of these, and which."""
        if not seqs:
            return []
        first, last = seqs.ranges[0][0], seqs.ranges[-1][1]
        return [
            (message, flight, some)
            for flights in (self._handed, self._open)
            for message, flight in flights.items()
            if flight.seqs.ranges[0][0] <= last and flight.seqs.ranges[-1][1] >= first
            if (some := _common(flight.seqs, seqs))
        ]

    def release(self, seqs: SeqSet) -> None:
        """The hub has answered, or nobody waits for it any more."""
        for message, flight, some in self.carrying(seqs):
            flight.seqs -= some
            if not flight.seqs:
                self.pop(message)


def _common(few: SeqSet, many: SeqSet) -> SeqSet:
    """Both, at the price of the few."""
    begin = bisect_left(many.ranges, few.ranges[0][0], key=lambda span: span[1])
    end = bisect_right(many.ranges, few.ranges[-1][1], key=lambda span: span[0])
    return few & SeqSet(many.ranges[begin:end])
