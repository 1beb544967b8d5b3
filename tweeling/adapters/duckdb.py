"""A time-series store in one DuckDB file, owned by one process.

A transaction costs DuckDB much the same for one point as for ten thousand, so what is applied is held in memory for a
moment and written together: when it is old or much, and before anything is read but the newest points, which memory
knows. The journal keeps all of it meanwhile; `applied` tells only what is in the file.

Rows are unique by (series, t). Appending must stay cheap, so there is no index: only what is not newer than the newest
point written of its series can meet a point that stands already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import RLock
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from tweeling.adapters import copies
from tweeling.adapters.columns import concatenate, last_wins
from tweeling.adapters.newest import Newest
from tweeling.domain.points import Point, Points
from tweeling.errors import UnavailableError
from tweeling.ports.timeseries import Aggregate, Found, Windows

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
_FIND = """SELECT asked.row, point.value, point.quality FROM asked
    JOIN point ON point.series = asked.series AND point.t = asked.t WHERE point.t BETWEEN ? AND ?"""
_DAMAGED = duckdb.SerializationException | duckdb.InternalException | duckdb.FatalException
_SIGNS_OF_DAMAGE = ("not a valid DuckDB", "orrupt", "checksum", "Could not read enough bytes")


@dataclass(slots=True)
class _Held:
    """What is applied and not yet written; `series` of its points are numbers."""

    since: float = 0.0
    rows: int = 0
    points: list[Points] = field(default_factory=list)
    fresh: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)


class DuckDBStore:
    """TimeSeriesStore in a file. Safe from any thread: one writes at a time, readers see whole batches.

    hold_s, hold_rows: how long, and how many, points stay in memory before they are written.
    read_only: the file must be there, and several processes may so look at it; `apply` raises UnavailableError.
    """

    precision = 0.0

    def __init__(self, path: Path, *, hold_s: float = 0.5, hold_rows: int = 100_000, read_only: bool = False) -> None:
        self._path = path
        self._read_only = read_only
        self._hold_s, self._hold_rows = hold_s, hold_rows
        self._writing = RLock()  # one transaction at a time; taken before _lock
        self._lock = RLock()  # what memory knows; not held while DuckDB reads or writes points
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._closed = False
        self._ids: dict[str, int] = {}
        self._newest = Newest()
        self._written = Newest()
        self._held = _Held()
        self._lost = False
        with self._cursor():
            pass

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Apply points and the source's cursor; written together with others, or now where that is due."""
        with self._writing:
            with self._cursor(), self._lock:
                self._hold(points, source, through)
                held = self._held
            if held.rows >= self._hold_rows or time.monotonic() - held.since >= self._hold_s:
                try:
                    self._write()
                except UnavailableError:
                    self._lost = False  # who applies is told now
                    raise

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        with self._reading() as cursor:
            return self._through(cursor, source)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        with self._cursor(), self._lock:
            return self._under(prefix)

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series."""
        with self._cursor(), self._lock:
            found = ((name, self._newest.at(self._ids[name])) for name in self._under(prefix))
            return [Point(name, *newest) for name, newest in found if newest is not None]

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        sql = f"""SELECT t // ? * ? AS start, {_AGGREGATES[aggregate]} FROM point
            WHERE series = ? AND t >= ? AND t < ? GROUP BY start ORDER BY start"""  # noqa: S608  (from a closed table)
        with self._reading() as cursor:
            found = cursor.execute(sql, [step_ms, step_ms, self._id(series), start_ms, end_ms]).fetchnumpy()
            times, values = found.values()
            return Windows(_column(times, np.int64), _column(values, np.float64))

    def windows(
        self, series: Sequence[str], *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> Mapping[str, Windows]:
        """`window` of many series at one look."""
        sql = f"""SELECT point.series, t // ? * ? AS start, {_AGGREGATES[aggregate]} FROM point JOIN asked
            ON point.series = asked.id WHERE t >= ? AND t < ? GROUP BY ALL ORDER BY ALL"""  # noqa: S608  (as above)
        with self._reading() as cursor:
            ids = [self._id(name) for name in series]
            cursor.register("asked", pa.table({"id": pa.array(sorted(set(ids)), pa.int32())}))
            found = cursor.execute(sql, [step_ms, step_ms, start_ms, end_ms]).fetchnumpy()
        numbers, times, values = found.values()
        numbers, times, values = _column(numbers, np.int32), _column(times, np.int64), _column(values, np.float64)
        first, last = np.searchsorted(numbers, ids, "left"), np.searchsorted(numbers, ids, "right")
        cuts = zip(series, first.tolist(), last.tolist(), strict=True)
        return {name: Windows(times[start:end], values[start:end]) for name, start, end in cuts}

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time."""
        sql = "SELECT t, value, quality FROM point WHERE series = ? AND t >= ? AND t < ? ORDER BY t"
        with self._reading() as cursor:
            found = cursor.execute(sql, [self._id(series), start_ms, end_ms]).fetchnumpy()
            times = _column(found["t"], np.int64)
            values, quality = _column(found["value"], np.float64), _column(found["quality"], np.uint8)
            return Points((series,), np.zeros(len(times), dtype=np.int32), times, values, quality)

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        found = Found(np.zeros(len(points), np.bool_), np.zeros(len(points)), np.zeros(len(points), np.uint8))
        if not len(points):
            return found
        with self._reading() as cursor:
            with self._lock:
                ids = np.array([self._ids.get(name, 0) for name in points.names], dtype=np.int32)
            asked = {"row": np.arange(len(points)), "series": ids[points.series], "t": points.times}
            cursor.register("asked", pa.table(asked))
            rows = cursor.execute(_FIND, [int(points.times.min()), int(points.times.max())]).fetchnumpy()
            where = _column(rows["row"], np.int64)
            found.there[where] = True
            found.values[where] = _column(rows["value"], np.float64)
            found.quality[where] = _column(rows["quality"], np.uint8)
        return found

    def count(self, prefix: str = "") -> int:
        """How many points the store holds under `prefix`."""
        sql = "SELECT count(*) FROM point"
        where = " WHERE series IN (SELECT id FROM series WHERE starts_with(key, ?))"
        with self._reading() as cursor:
            return _one(cursor.execute(sql + where, [prefix]) if prefix else cursor.execute(sql))

    def copy_to(self, folder: Path) -> None:
        """See `Copied`; the copy is written anew, so it has no free room in it."""
        with self._writing:
            self._write()
            with self._lock:
                cursor = self._open().cursor()
            cursor.begin()
            cursor.execute("SELECT max(through) FROM applied").fetchall()  # the moment that is copied
        with closing(cursor):
            copies.copy_points(cursor, folder / self._path.name)

    def close(self) -> None:
        """Let go of the file; what was applied stays."""
        with self._writing:
            if self._connection is not None:
                self._write()
            with self._lock:
                self._closed = True
                self._let_go()

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of one's own, when all that was applied is written."""
        with self._writing:
            self._write()
        with self._cursor() as cursor:
            yield cursor

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
            connection = duckdb.connect(self._path, read_only=self._read_only, config=_CONFIG)
            try:
                if not self._read_only:
                    connection.execute(_SCHEMA)
                self._ids = dict(connection.execute("SELECT key, id FROM series").fetchall())
                newest = "SELECT series, max(t), arg_max(value, t), arg_max(quality, t) FROM point GROUP BY series"
                rows = connection.execute(newest).fetchall()
                self._newest, self._written = Newest(rows), Newest(rows)
            except duckdb.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._lost = self._lost or bool(self._held.places)
        self._held = _Held()

    @staticmethod
    def _through(cursor: duckdb.DuckDBPyConnection, source: str) -> int:
        return _one(cursor.execute("SELECT coalesce(max(through), 0) FROM applied WHERE source = ?", [source]))

    def _under(self, prefix: str) -> list[str]:
        return sorted(name for name in self._ids if name.startswith(prefix))

    def _id(self, series: str) -> int:
        with self._lock:
            return self._ids.get(series, 0)

    def _hold(self, points: Points, source: str, through: int) -> None:
        """Keep points in memory; raise UnavailableError where what was held before them is lost."""
        if self._lost:
            self._lost = False  # who applies is told once; that others have asked tells them nothing
            raise UnavailableError(f"{self._path}: what was applied last is not in the file; ask how far it goes")
        held = self._held
        if source not in held.places:
            with self._cursor() as cursor:
                held.places[source] = self._through(cursor, source)
        if through <= held.places[source]:
            return
        for code in np.unique(points.series).tolist():
            name = points.names[code]
            if name not in self._ids:
                held.fresh[name] = self._ids[name] = len(self._ids) + 1
        numbers = np.array([self._ids.get(name, 0) for name in points.names], dtype=np.int32)
        rows = replace(points, names=(), series=numbers[points.series])
        self._newest.add(rows)
        if not held.points:
            held.since = time.monotonic()
        held.points.append(rows)
        held.rows += len(rows)
        held.places[source] = through

    def _write(self) -> None:
        """Write what is held, in one transaction."""
        with self._lock:
            held = self._held
        if not held.points:
            return
        with self._cursor() as cursor:
            rows = last_wins(concatenate(held.points))  # sorted, it compresses well and is found fast
            cursor.begin()
            if held.fresh:
                fresh = pa.table({"id": list(held.fresh.values()), "key": list(held.fresh)})
                cursor.register("fresh", fresh)  # one by one, a thousand of them would take a second
                cursor.execute("INSERT INTO series SELECT id, key FROM fresh")
                cursor.unregister("fresh")
            self._replace(cursor, rows)
            for place in held.places.items():
                cursor.execute("INSERT OR REPLACE INTO applied VALUES (?, ?)", place)
            cursor.commit()
            with self._lock:
                self._written.add(rows)
                self._held = _Held(places=held.places)

    def _replace(self, cursor: duckdb.DuckDBPyConnection, rows: Points) -> None:
        if not len(rows):
            return
        incoming = pa.table({"series": rows.series, "t": rows.times, "value": rows.values, "quality": rows.quality})
        cursor.register("incoming", incoming)
        late = rows.times <= self._written.times(rows.series)
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
