"""The newest point of every series, in columns: what a store knows by heart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.points import Point, Points

NEVER = -1
"""The time of a series without a point."""


class Newest:
    """By number of series, from 1 on: time, value and quality of its newest point."""

    def __init__(self, rows: Iterable[tuple[int, int, float, int]] = ()) -> None:
        known = list(rows)
        self._times = np.full(0, NEVER, dtype=np.int64)
        self._values = np.zeros(0)
        self._quality = np.zeros(0, dtype=np.uint8)
        self._make_room(max((row[0] for row in known), default=0))
        for number, time_ms, value, quality in known:
            self._times[number], self._values[number], self._quality[number] = time_ms, value, quality

    def times(self, numbers: NDArray[np.int32]) -> NDArray[np.int64]:
        """The time of each of these series' newest point, NEVER where it has none."""
        known = numbers < len(self._times)
        found = np.full(len(numbers), NEVER, dtype=np.int64)
        found[known] = self._times[numbers[known]]
        return found

    def at(self, number: int) -> tuple[int, float, int] | None:
        """Time, value and quality of one series' newest point."""
        if number >= len(self._times) or self._times[number] == NEVER:
            return None
        return int(self._times[number]), float(self._values[number]), int(self._quality[number])

    def add(self, points: Points) -> None:
        """Take in points whose `series` are numbers; of equal times the last one stands."""
        if not len(points):
            return
        order = np.lexsort((points.times, points.series))
        series = points.series[order]
        last = order[np.append(np.flatnonzero(np.diff(series)), len(series) - 1)]
        numbers = points.series[last]
        self._make_room(int(numbers.max()))
        newer = points.times[last] >= self._times[numbers]
        numbers, last = numbers[newer], last[newer]
        self._times[numbers] = points.times[last]
        self._values[numbers] = points.values[last]
        self._quality[numbers] = points.quality[last]

    def _make_room(self, number: int) -> None:
        more = number + 1 - len(self._times)
        if more > 0:
            more += len(self._times)  # twice as much, so that growing costs little
            self._times = np.append(self._times, np.full(more, NEVER, dtype=np.int64))
            self._values = np.append(self._values, np.zeros(more))
            self._quality = np.append(self._quality, np.zeros(more, dtype=np.uint8))


class Known:
    """The newest point of every series, by name: what a client knows by heart of a server that only it writes to."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        held = list(points)
        self._numbers = {point.series: number for number, point in enumerate(held, 1)}
        self._newest = Newest((self._numbers[each.series], *each[1:]) for each in held)

    def times(self, points: Points) -> NDArray[np.int64]:
        """For each point, the time of its series' newest, NEVER where there is none."""
        numbers = np.array([self._numbers.get(name, 0) for name in points.names], dtype=np.int32)
        return self._newest.times(numbers[points.series])

    def add(self, points: Points) -> None:
        """Take in points; of equal times the last one stands."""
        for code in np.unique(points.series).tolist():
            self._numbers.setdefault(points.names[code], len(self._numbers) + 1)
        numbers = np.array([self._numbers.get(name, 0) for name in points.names], dtype=np.int32)
        self._newest.add(replace(points, names=(), series=numbers[points.series]))

    def latest(self, prefix: str) -> list[Point]:
        """The newest point of every series under `prefix`, sorted by series."""
        names = sorted(name for name in self._numbers if name.startswith(prefix))
        found = ((name, self._newest.at(self._numbers[name])) for name in names)
        return [Point(name, *newest) for name, newest in found if newest is not None]
