"""Some messages, decoded together: each envelope's head, and the readings of all of them in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.points import one_table
from tweeling.domain.telemetry import Movement
from tweeling.wire.ack import State
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Topic

Run = tuple[int, int, int]
"""First and last seq, and how many records each of them owns."""


class Head(NamedTuple):
    """What one envelope says beside its readings; `rows` tells whose they are, in order."""

    hub: str
    node: str
    epoch: str
    low: int
    dropped: tuple[tuple[int, int, str], ...]
    ask: bool
    accepted: SeqSet
    refused: tuple[tuple[int, int, str], ...]
    rows: tuple[Run, ...]
    movements: tuple[Movement, ...]

    @property
    def size(self) -> int:
        """How many readings it has."""
        return sum((last - first + 1) * each for first, last, each in self.rows)


class Arrival(NamedTuple):
    """An envelope and the bytes it came in, for the record. heard_ms: the time it was judged by."""

    topic: str
    payload: bytes
    heard_ms: int
    head: Head


class Suspect(NamedTuple):
    """A message without meaning, or an envelope of which a seq was refused: kept as it came."""

    topic: str
    payload: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Readings:
    """Reading i is `values[i]` of `names[series[i]]` at `times[i]`; see `Points`, whose columns these become."""

    names: tuple[str, ...]
    series: NDArray[np.int32]
    times: NDArray[np.int64]
    values: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.times)

    def rows(self, start: int, end: int) -> Readings:
        """Rows [start, end)."""
        return Readings(self.names, self.series[start:end], self.times[start:end], self.values[start:end])

    def where(self, mask: NDArray[np.bool_]) -> Readings:
        """Only some rows."""
        return Readings(self.names, self.series[mask], self.times[mask], self.values[mask])


def concatenate(parts: Sequence[Readings]) -> Readings:
    """All rows in order, under one table of names."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Readings((), np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))
    names, tables = one_table([part.names for part in parts])
    return Readings(
        names,
        np.concatenate([table[part.series] for table, part in zip(tables, parts, strict=True)]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


class Parcel(NamedTuple):
    """What some messages said. readings: those of the arrivals, in their order."""

    arrivals: tuple[Arrival, ...] = ()
    readings: Readings = concatenate(())
    suspects: tuple[Suspect, ...] = ()
    states: tuple[tuple[Topic, State], ...] = ()

    @classmethod
    def join(cls, parcels: Sequence[Parcel]) -> Parcel:
        """One parcel of several, in order."""
        if len(parcels) == 1:
            return parcels[0]
        return cls(
            tuple(each for parcel in parcels for each in parcel.arrivals),
            concatenate([parcel.readings for parcel in parcels]),
            tuple(each for parcel in parcels for each in parcel.suspects),
            tuple(each for parcel in parcels for each in parcel.states),
        )

    def singles(self) -> Iterator[Parcel]:
        """One parcel for each arrival."""
        start = 0
        for arrival in self.arrivals:
            end = start + arrival.head.size
            yield Parcel((arrival,), self.readings.rows(start, end))
            start = end
