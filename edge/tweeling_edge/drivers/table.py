"""A CSV file of readings, read row by row: what can be read, and what is wrong with the rest, by line and column."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from tweeling.errors import ConfigError
from tweeling_edge.drivers.times import known_zone, time_ms
from tweeling_edge.settings import DriverSettings, Section, beside

_SENSOR = re.compile(r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}$")
_MAX_LINE = 65_536


class Columns(Section):
    """Which columns of the file hold what; a unit column is optional."""

    sensor: str = Field("sensor", min_length=1, description="the column that names the sensor")
    time: str = Field("time", min_length=1, description="the column that holds the time")
    value: str = Field("value", min_length=1, description="the column that holds the value")
    unit: str | None = Field(None, description="the column that holds the unit, if there is one")


class ReplaySettings(DriverSettings):
    """Plays a recorded series (CSV)."""

    kind: Literal["replay"] = "replay"
    file: Path = Field(description="a CSV file with a header line")
    columns: Columns = Field(Columns(), description="a table: sensor, time, value and perhaps unit = column names")
    unit: str = Field("", max_length=16, description="the SenML unit of every value without one, such as % or /")
    attribute: str = Field(
        "fillingLevel", pattern=r"^[A-Za-z][A-Za-z0-9:._-]{0,63}$", description="what is measured, such as fillingLevel"
    )
    zone: str = Field("UTC", description="the time zone of times without one, such as Europe/Amsterdam")
    speed: float | Literal["max"] = Field("max", description='a factor above 0, or "max": as fast as acknowledged')
    times: Literal["historical", "live"] = Field(
        "historical", description="historical (keep the recorded times) or live (as if it happened now)"
    )
    sensors: tuple[str, ...] = Field((), description="the sensors to play; none means all")

    _resolve = field_validator("file")(beside)

    _known_zone = field_validator("zone")(known_zone)

    @model_validator(mode="after")
    def _speed_makes_sense(self) -> ReplaySettings:
        if self.speed == "max" and self.times == "live":
            raise ValueError('as live, a speed of "max" would put every reading at one moment')
        if self.speed != "max" and self.speed <= 0:
            raise ValueError("a speed is above 0")
        return self


class Good(NamedTuple):
    """A reading of the file; `end` is the byte behind its row, `line` that of its last line."""

    sensor: str
    time_ms: int
    value: float
    unit: str
    line: int
    end: int


class Bad(NamedTuple):
    """A row without meaning, and why."""

    reason: str
    line: int
    end: int


class Skipped(NamedTuple):
    """A row of a sensor that is not wanted, or an empty one."""

    line: int
    end: int


class Table:
    """A CSV file with a header that has the columns wanted; raises ConfigError naming the one that is missing."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._zone = ZoneInfo(settings.zone)
        self._wanted = frozenset(settings.sensors)
        self.path = settings.file
        try:
            with self.path.open("rb") as stream:
                header = stream.readline(_MAX_LINE)
        except OSError as exc:
            raise ConfigError(f"cannot be read: {exc.strerror}", source=str(self.path), field="file") from exc
        text = header.decode("utf-8-sig", "replace").rstrip("\r\n")
        self._delimiter = max(",;\t", key=text.count)
        self._start = len(header)
        self._names = [name.strip() for name in next(csv.reader([text], delimiter=self._delimiter), [])]
        columns = settings.columns
        self._sensor, self._time, self._value = (
            self._column(role, name)
            for role, name in (("sensor", columns.sensor), ("time", columns.time), ("value", columns.value))
        )
        self._unit = None if columns.unit is None else self._column("unit", columns.unit)

    def rows(self, *, line: int = 1, offset: int | None = None) -> Iterator[Good | Bad | Skipped]:
        """Read every row behind a line and its end; begin behind the header."""
        with self.path.open("rb") as stream:
            stream.seek(self._start if offset is None else offset)
            lines = _Lines(stream, line)
            reader = csv.reader(lines, delimiter=self._delimiter)
            while True:
                try:
                    row = next(reader)
                except StopIteration:
                    return
                except csv.Error as exc:
                    yield Bad(f"line {lines.line}: {exc}", lines.line, lines.end)
                    continue
                yield self._read(row, lines.line, lines.end)

    def _column(self, role: str, name: str) -> int:
        if name not in self._names:
            raise ConfigError(
                f"has no column {name!r} for the {role}; it has {', '.join(map(repr, self._names)) or 'none'}",
                source=str(self.path),
                field=f"columns.{role}",
                remedy=f"Say which column it is: --columns {role}=NAME, or columns.{role} in the configuration",
            )
        return self._names.index(name)

    def _read(self, row: list[str], line: int, end: int) -> Good | Bad | Skipped:
        if not any(cell.strip() for cell in row):
            return Skipped(line, end)
        try:
            sensor = self._cell(row, self._sensor)
            if self._wanted and sensor not in self._wanted:
                return Skipped(line, end)
            self._check_name(sensor)
            at_ms = self._time_ms(self._cell(row, self._time))
            value = self._number(self._cell(row, self._value))
            unit = self._settings.unit if self._unit is None else self._cell(row, self._unit) or self._settings.unit
        except _CellError as exc:
            return Bad(f"line {line}, column {self._names[exc.column]!r}: {exc}", line, end)
        return Good(sensor, at_ms, value, unit, line, end)

    def _cell(self, row: list[str], column: int) -> str:
        if column >= len(row):
            raise _CellError(column, "is missing, the row is too short")
        return row[column].strip()

    def _check_name(self, sensor: str) -> None:
        if not _SENSOR.match(sensor):
            raise _CellError(self._sensor, f"{sensor[:40]!r} is no name (letters, digits, : . _ -)")

    def _time_ms(self, text: str) -> int:
        try:
            return time_ms(text, self._zone)
        except ValueError as exc:
            raise _CellError(self._time, str(exc)) from None

    def _number(self, text: str) -> float:
        try:
            value = float(text.replace(",", ".") if self._delimiter != "," else text)
        except ValueError:
            raise _CellError(self._value, f"{text[:40]!r} is no number") from None
        if not math.isfinite(value):
            raise _CellError(self._value, f"{text[:40]!r} is no finite number")
        return value


class _CellError(Exception):
    """What is wrong in one cell."""

    def __init__(self, column: int, reason: str) -> None:
        super().__init__(reason)
        self.column = column


class _Lines:
    """Decoded lines of a file, with the number and the end of the last one handed out."""

    def __init__(self, stream: BinaryIO, line: int) -> None:
        self._stream = stream
        self.line = line
        self.end = stream.tell()

    def __iter__(self) -> Iterator[str]:
        while raw := self._stream.readline(_MAX_LINE):
            self.line += 1
            self.end += len(raw)
            yield raw.decode("utf-8", "replace")
