"""Series to forecast: made ones whose law is known, and the real recordings."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from support_shared import shared

from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import Windows
from tweeling.services.forecasting.history import History, on_grid

HOUR = 3_600_000
WEEK = 168
MONDAY = 1_767_571_200_000  # 2026-01-05T00:00Z

Floats = NDArray[np.float64]


def history(values: Floats, *, end_ms: int = MONDAY, series: str = "H1/H1-A/fillingLevel") -> History:
    """A history that ends at a time."""
    return History(series, end_ms, np.asarray(values, dtype=np.float64))


def sawtooth(weeks: int, *, seed: int = 1, rate: float = 0.11) -> Floats:
    """A container that fills by day and is emptied every Tuesday at noon, read with noise."""
    rng = np.random.default_rng(seed)
    level = 0.3
    levels: list[float] = []
    for hour in range(weeks * WEEK):
        if 8 <= hour % 24 < 20:
            level += rng.gamma(2.0, rate / 24)
        if hour % WEEK == 36:
            level = 0.02
        levels.append(level)
    return np.clip(np.array(levels) + rng.normal(0, 0.005, len(levels)), 0, 1)


def wandering(weeks: int, *, seed: int = 1, step: float = 0.004) -> Floats:
    """A level that nothing foretells: a random walk pulled to the middle."""
    rng = np.random.default_rng(seed)
    level = 0.5
    levels: list[float] = []
    for noise in rng.normal(0, step, weeks * WEEK).tolist():
        level += noise + (0.5 - level) / 1000
        levels.append(level)
    bounded: Floats = np.clip(np.array(levels), 0, 1)
    return bounded


def weekly(weeks: int) -> Floats:
    """A pattern of the week: up in working hours, down in the night."""
    hours = np.arange(WEEK)
    open_ = (hours % 24 >= 8) & (hours % 24 < 18) & (hours < 120)
    change = np.where(open_, 0.01, 0.0) - np.where(hours % 24 == 20, 0.1 * 5 / 7, 0.0)
    pattern: Floats = np.tile(np.cumsum(change), weeks)
    return pattern


def points(key: str, values: Floats, *, end_ms: int) -> Points:
    """Hourly readings, each half an hour before the whole hour at which the grid has it; NaN was not read."""
    first = end_ms - len(values) * HOUR + HOUR // 2
    rows = (Point(key, first + at * HOUR, value) for at, value in enumerate(values.tolist()))
    return Points.of(row for row in rows if row.value == row.value)


def prague() -> dict[str, History]:
    """The recordings of public containers, hourly, each up to its last reading."""
    with shared("data/series/prague_container_fill.csv").open(newline="") as file:
        series: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for row in csv.DictReader(file):
            moment = datetime.fromisoformat(row["ts_utc"]).replace(tzinfo=UTC)
            series[row["container_id"]][int(moment.timestamp()) * 1000 // HOUR * HOUR] = float(row["fill_pct"]) / 100
    return {name: _regular(name, rows) for name, rows in series.items()}


def _regular(name: str, rows: dict[int, float]) -> History:
    windows = Windows(np.array(list(rows), dtype=np.int64), np.array(list(rows.values())))
    end_ms = max(rows) + HOUR
    return History.of(f"praha/{name}/fillingLevel", on_grid(windows, end_ms=end_ms), end_ms=end_ms)
