"""Plays a recorded series: with its own times or as if it happened now, paced or as fast as the hub acknowledges."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from tweeling.wire.senml import Resolved
from tweeling_edge.drivers import Batch, Look, Site
from tweeling_edge.drivers.table import Bad, Good, ReplaySettings, Skipped, Table
from tweeling_edge.sample import Sample

log = logging.getLogger("tweeling_edge.replay")

_BATCH = 500
_JUMP_MS = 1000  # real ones: a clock that moved by more was set
_SHOWN = 20  # bad rows that are told one by one
_LOOKED_AT = 10_000  # rows, for a person


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file is played: the line and byte behind it, rows seen, and those of them that were bad or not wanted.

    For paced play, which follows time and not the file, `line` counts the readings played.
    """

    line: int = 1
    end: int | None = None
    rows: int = 0
    bad: int = 0
    skipped: int = 0

    @classmethod
    def read(cls, cursor: str | None) -> Place:
        """Read a cursor back."""
        return cls() if cursor is None else cls(*json.loads(cursor))

    def write(self) -> str:
        """Make a cursor."""
        return json.dumps([self.line, self.end, self.rows, self.bad, self.skipped])


class Replay:
    """One file, played once: a restart goes on behind the last reading that is durable."""

    Settings = ReplaySettings

    def __init__(self, settings: ReplaySettings, site: Site) -> None:
        """Raise ConfigError where the file cannot be read or lacks a column."""
        self._settings = settings
        self._clock = site.clock
        self._table = Table(settings)
        told = settings.model_dump_json(exclude={"speed"}) + ("max" if settings.speed == "max" else "paced")
        self.name = f"replay:{settings.file.name}:{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Yield the file's readings; the last batch has a cursor behind the last row, even if that row was bad."""
        place = Place.read(cursor)
        if self._settings.speed == "max":
            return self._at_once(place, stop)
        return self._paced(place, float(self._settings.speed), stop)

    def look(self) -> Iterator[Look]:
        """Show the first reading of each sensor, and the first row without meaning, of the first rows of the file."""
        seen: set[str] = set()
        for row in islice(self._table.rows(), _LOOKED_AT):
            if isinstance(row, Good) and row.sensor not in seen:
                seen.add(row.sensor)
                name = f"{row.sensor}/{self._settings.attribute}"
                yield Look(name, f"{row.value:g}", row.value, row.unit, row.time_ms)
            elif isinstance(row, Bad) and "" not in seen:
                seen.add("")
                yield Look(self._table.path.name, wrong=row.reason, remedy="Such rows are counted and skipped")
        if not seen:
            yield Look(self._table.path.name, wrong="holds no reading of these sensors", remedy="See `sensors`")

    def _at_once(self, place: Place, stop: threading.Event) -> Iterator[Batch]:
        samples: list[Sample] = []
        kept = place
        for row in self._table.rows(line=place.line, offset=place.end):
            place = replace(self._counted(place, row), line=row.line, end=row.end)
            if isinstance(row, Good):
                samples.append(self._sample(row.sensor, row.time_ms, row.value, row.unit))
            if len(samples) >= _BATCH:
                yield Batch(tuple(samples), place.write(), live=False)
                samples, kept = [], place
            if stop.is_set():
                return
        if place != kept:
            yield Batch(tuple(samples), place.write(), live=False)

    def _paced(self, place: Place, speed: float, stop: threading.Event) -> Iterator[Batch]:
        # In memory (some 60 bytes a reading), since a file need not be in order of time.
        rows, seen = self._load(stop)
        if place.line - 1 >= len(rows) or stop.is_set():
            return
        live = self._settings.times == "live"
        began_ms, began, first = self._clock.now_ms(), self._clock.passed_ms(), rows.time(place.line - 1)

        def due(index: int) -> float:
            return (rows.time(index) - first) / speed

        index = place.line - 1
        while index < len(rows) and self._clock.wait(due(index) - (self._clock.passed_ms() - began), stop):
            passed = self._clock.passed_ms() - began
            set_by = self._clock.now_ms() - began_ms - passed
            if abs(set_by) > _JUMP_MS * self._clock.speed:
                began_ms += round(set_by)
            samples: list[Sample] = []
            while index < len(rows) and len(samples) < _BATCH and due(index) <= passed:
                sensor, time_ms, value, unit = rows[index]
                samples.append(self._sample(sensor, began_ms + round(due(index)) if live else time_ms, value, unit))
                index += 1
            if samples:
                yield Batch(tuple(samples), replace(seen, line=index + 1).write(), live=live)

    def _load(self, stop: threading.Event) -> tuple[_Sorted, Place]:
        rows, seen = _Sorted(), Place()
        for row in self._table.rows():
            seen = self._counted(seen, row)
            if isinstance(row, Good):
                rows.add(row)
            if stop.is_set():
                break
        rows.sort()
        return rows, seen

    def _counted(self, place: Place, row: Good | Bad | Skipped) -> Place:
        if isinstance(row, Bad):
            if place.bad < _SHOWN:
                log.warning("replay.row_refused", extra={"file": self._table.path.name, "reason": row.reason})
            elif place.bad == _SHOWN:
                log.warning("replay.more_rows_refused", extra={"file": self._table.path.name})
            return replace(place, rows=place.rows + 1, bad=place.bad + 1)
        return replace(place, rows=place.rows + 1, skipped=place.skipped + isinstance(row, Skipped))

    def _sample(self, sensor: str, time_ms: int, value: float, unit: str) -> Sample:
        return (Resolved(f"{sensor}/{self._settings.attribute}", time_ms, value, unit, None),)


class _Sorted:
    """Readings in order of time, in columns."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], int] = {}
        self._codes, self._times, self._values = array("I"), array("q"), array("d")
        self._order: list[int] = []
        self._keys: list[tuple[str, str]] = []

    def add(self, row: Good) -> None:
        self._codes.append(self._names.setdefault((row.sensor, row.unit), len(self._names)))
        self._times.append(row.time_ms)
        self._values.append(row.value)

    def sort(self) -> None:
        self._order = sorted(range(len(self._times)), key=self._times.__getitem__)  # stable: ties stay in file order
        self._keys = list(self._names)

    def __len__(self) -> int:
        return len(self._order)

    def time(self, index: int) -> int:
        return self._times[self._order[index]]

    def __getitem__(self, index: int) -> tuple[str, int, float, str]:
        at = self._order[index]
        sensor, unit = self._keys[self._codes[at]]
        return sensor, self._times[at], self._values[at], unit
