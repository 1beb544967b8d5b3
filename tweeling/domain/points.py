"""Columns of points: the form of telemetry between decoding and store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Point(NamedTuple):
    """One value of one series at one time; only for borders and tests, columns do the work."""

    series: str
    time_ms: int
    value: float
    quality: int = 0


def one_table(tables: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], list[NDArray[np.int32]]]:
    """One table of names for several, and for each of these where its names stand in it."""
    codes: dict[str, int] = {}
    places = [np.array([codes.setdefault(name, len(codes)) for name in names], dtype=np.int32) for names in tables]
    return tuple(codes), places


@dataclass(frozen=True, slots=True)
class Points:
    """Point i is `values[i]` of `names[series[i]]` at `times[i]`.

    names: distinct series keys. series: int32, n. times: int64, n, milliseconds since 1970 (UTC).
    values: float64, n, in the property's canonical unit. quality: uint8, n, see `Quality`.
    """

    names: tuple[str, ...]
    series: NDArray[np.int32]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def of(cls, points: Iterable[Point]) -> Points:
        """Build columns from single points."""
        rows = list(points)
        codes: dict[str, int] = {}
        series = [codes.setdefault(row.series, len(codes)) for row in rows]
        return cls.columns(
            tuple(codes),
            series,
            [row.time_ms for row in rows],
            [row.value for row in rows],
            [row.quality for row in rows],
        )

    @classmethod
    def columns(
        cls,
        names: tuple[str, ...],
        series: Sequence[int],
        times: Sequence[int],
        values: Sequence[float],
        quality: Sequence[int],
    ) -> Points:
        """Take plain columns of equal length."""
        return cls(
            names,
            np.asarray(series, dtype=np.int32),
            np.asarray(times, dtype=np.int64),
            np.asarray(values, dtype=np.float64),
            np.asarray(quality, dtype=np.uint8),
        )

    def slice(self, start: int, end: int) -> Points:
        """Points [start, end), under the names that these have."""
        used, series = np.unique(self.series[start:end], return_inverse=True)
        return Points(
            tuple(self.names[code] for code in used.tolist()),
            series.astype(np.int32),
            self.times[start:end],
            self.values[start:end],
            self.quality[start:end],
        )

    def rows(self) -> list[Point]:
        """Every point as a row."""
        return [
            Point(self.names[code], time, value, quality)
            for code, time, value, quality in zip(
                self.series.tolist(),
                self.times.tolist(),
                self.values.tolist(),
                self.quality.tolist(),
                strict=True,
            )
        ]
