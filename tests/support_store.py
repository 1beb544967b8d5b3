"""Time-series stores for tests: each kind opened on the same place as often as asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import TimeSeriesStore

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_767_225_600_000  # 2026-01-01T00:00Z

Opener = Callable[[], AbstractContextManager[TimeSeriesStore]]


def points(*rows: tuple[str, int, float] | tuple[str, int, float, int]) -> Points:
    """Columns of (series, time, value[, quality])."""
    return Points.of(Point(*row) for row in rows)


def duckdb_opener(folder: Path) -> Opener:
    """Open the same DuckDB file each time."""
    return lambda: closing(DuckDBStore(folder / "points.duckdb"))
