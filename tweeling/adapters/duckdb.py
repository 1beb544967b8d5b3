"""A time-series store in one DuckDB file, owned by one process.

Rows are unique by (series, t). Appending must stay cheap, so there is no index: the newest point of each series is
known in memory, and only what is not newer than it can meet a point that stands already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock, RLock
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from tweeling.adapters.columns import last_wins
from tweeling.domain.points import Point, Points
from tweeling.errors import UnavailableError
from tweeling.ports.timeseries import Aggregate, Windows

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (id INTEGER PRIMARY KEY, key VARCHAR NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS point (
    series INTEGER NOT NULL, t BIGINT NOT NULL, value DOUBLE NOT NULL, quality UTINYINT NOT NULL);
CREATE TABLE IF NOT EXISTS applied (source VARCHAR PRIMARY KEY, through BIGINT NOT NULL);
"""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    "memory_limit": "1GB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_AGGREGATES = {
    Aggregate.MEAN: "avg(value)",
    Aggregate.MIN: "min(value)",
    Aggregate.MAX: "max(value)",
    Aggregate.LAST: "arg_max(value, t)",
    Aggregate.COUNT: "count(*)::DOUBLE",
}
_DAMAGED = duckdb.SerializationException | duckdb.InternalException | duckdb.FatalException
_SIGNS_OF_DAMAGE = ("not a valid DuckDB", "orrupt", "checksum", "Could not read enough bytes")


class _Newest(NamedTuple):
    """The newest point of a series."""

    time_ms: int
    value: float
    quality: int


class DuckDBStore:
    """TimeSeriesStore in a file. Safe from any thread: one writes at a time, readers see whole batches."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = Lock()  # one transaction at a time
        self._lock = RLock()  # what memory knows; not held while DuckDB reads or writes points
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._ids: dict[str, int] = {}
        self._newest: dict[int, _Newest] = {}
        with self._cursor():
            pass

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Apply points and the source's cursor in one transaction."""
        with self._writing, self._cursor() as cursor:
            if through <= self._through(cursor, source):
                return
            fresh = self._fresh_ids(points)
            ids = np.array([fresh.get(name, self._ids.get(name, 0)) for name in points.names], dtype=np.int32)
            rows = last_wins(replace(points, series=ids[points.series]))  # sorted, it compresses well and is found fast
            cursor.begin()
            if fresh:
                cursor.executemany(
                    "INSERT INTO series VALUES (?, ?)", [(number, name) for name, number in fresh.items()]
                )
            self._replace(cursor, rows)
            cursor.execute("INSERT OR REPLACE INTO applied VALUES (?, ?)", [source, through])
            cursor.commit()
            with self._lock:
                self._ids.update(fresh)
                self._remember(rows)

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        with self._cursor() as cursor:
            return self._through(cursor, source)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        with self._cursor(), self._lock:
            return self._under(prefix)

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series."""
        with self._cursor(), self._lock:
            return [Point(name, *self._newest[self._ids[name]]) for name in self._under(prefix)]

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        sql = f"""SELECT t // ? * ? AS start, {_AGGREGATES[aggregate]} FROM point
            WHERE series = ? AND t >= ? AND t < ? GROUP BY start ORDER BY start"""  # noqa: S608  (from a closed table)
        with self._cursor() as cursor:
            found = cursor.execute(sql, [step_ms, step_ms, self._id(series), start_ms, end_ms]).fetchnumpy()
            times, values = found.values()
            return Windows(_column(times, np.int64), _column(values, np.float64))

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time."""
        sql = "SELECT t, value, quality FROM point WHERE series = ? AND t >= ? AND t < ? ORDER BY t"
        with self._cursor() as cursor:
            found = cursor.execute(sql, [self._id(series), start_ms, end_ms]).fetchnumpy()
            times = _column(found["t"], np.int64)
            values, quality = _column(found["value"], np.float64), _column(found["quality"], np.uint8)
            return Points((series,), np.zeros(len(times), dtype=np.int32), times, values, quality)

    def count(self, prefix: str = "") -> int:
        """How many points the store holds under `prefix`."""
        sql = "SELECT count(*) FROM point"
        where = " WHERE series IN (SELECT id FROM series WHERE starts_with(key, ?))"
        with self._cursor() as cursor:
            return _one(cursor.execute(sql + where, [prefix]) if prefix else cursor.execute(sql))

    def close(self) -> None:
        """Let go of the file; what was applied stays."""
        with self._writing, self._lock:
            self._closed = True
            self._let_go()

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of one's own; what DuckDB raises becomes UnavailableError."""
        cursor = None
        try:
            with self._lock:
                cursor = self._open().cursor()
            yield cursor
        except duckdb.Error as exc:
            with self._lock:
                self._let_go()  # what memory knows may be wrong now: the next call opens the file anew
            raise UnavailableError(_explain(self._path, exc)) from exc
        finally:
            if cursor is not None:
                cursor.close()  # rolls back what was not committed

    def _open(self) -> duckdb.DuckDBPyConnection:
        if self._closed:
            raise UnavailableError(f"{self._path}: the store is closed")
        if self._connection is None:
            connection = duckdb.connect(self._path, config=_CONFIG)
            try:
                connection.execute(_SCHEMA)
                self._ids = dict(connection.execute("SELECT key, id FROM series").fetchall())
                newest = "SELECT series, max(t), arg_max(value, t), arg_max(quality, t) FROM point GROUP BY series"
                self._newest = {row[0]: _Newest(*row[1:]) for row in connection.execute(newest).fetchall()}
            except duckdb.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @staticmethod
    def _through(cursor: duckdb.DuckDBPyConnection, source: str) -> int:
        return _one(cursor.execute("SELECT coalesce(max(through), 0) FROM applied WHERE source = ?", [source]))

    def _under(self, prefix: str) -> list[str]:
        return sorted(name for name in self._ids if name.startswith(prefix))

    def _id(self, series: str) -> int:
        with self._lock:
            return self._ids.get(series, 0)

    def _fresh_ids(self, points: Points) -> dict[str, int]:
        used = (points.names[code] for code in np.unique(points.series).tolist())
        unknown = (name for name in used if name not in self._ids)
        return {name: number for number, name in enumerate(unknown, start=len(self._ids) + 1)}

    def _replace(self, cursor: duckdb.DuckDBPyConnection, rows: Points) -> None:
        if not len(rows):
            return
        incoming = pa.table({"series": rows.series, "t": rows.times, "value": rows.values, "quality": rows.quality})
        cursor.register("incoming", incoming)
        known, where = np.unique(rows.series, return_inverse=True)
        newest = np.array([self._newest[row].time_ms if row in self._newest else -1 for row in known.tolist()])
        late = rows.times <= newest[where]
        if late.any():
            cursor.register("late", incoming.filter(pa.array(late)))
            cursor.execute(
                """DELETE FROM point USING late
                WHERE point.series = late.series AND point.t = late.t AND point.t BETWEEN ? AND ?""",
                [int(rows.times[late].min()), int(rows.times[late].max())],
            )
            cursor.unregister("late")
        cursor.execute("INSERT INTO point SELECT series, t, value, quality FROM incoming")
        cursor.unregister("incoming")

    def _remember(self, rows: Points) -> None:
        if not len(rows):
            return
        for last in np.append(np.flatnonzero(np.diff(rows.series)), len(rows.series) - 1).tolist():
            code, time_ms = int(rows.series[last]), int(rows.times[last])
            if code not in self._newest or time_ms >= self._newest[code].time_ms:
                self._newest[code] = _Newest(time_ms, float(rows.values[last]), int(rows.quality[last]))


def _column(column: Any, dtype: DTypeLike) -> NDArray[Any]:
    values: NDArray[Any] = np.asarray(np.ma.getdata(column), dtype=dtype)
    return values


def _one(cursor: duckdb.DuckDBPyConnection) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _explain(path: Path, exc: duckdb.Error) -> str:
    text = str(exc).splitlines()[0]
    if "Could not set lock" in text:
        holder = re.search(r"PID (\d+)", text)
        who = f"process {holder[1]}" if holder else "another process"
        return f"{path}: {who} holds the file. Ask the running hub, or stop it first"
    if isinstance(exc, _DAMAGED) or any(sign in text for sign in _SIGNS_OF_DAMAGE):
        return f"{path}: the file is damaged ({text}). Move it aside and restore the latest backup"
    return f"{path}: {text}"
