"""The time-series store itself: what is applied, and what is answered.

A transaction costs DuckDB much the same for one point as for ten thousand, so what is applied is held in memory for a
moment and written together: when it is old or much, and before anything is read but the newest points, which memory
knows. The journal keeps all of it meanwhile; `applied` tells only what is in the file.

Rows are unique by (series, t). Appending must stay cheap, so there is no index: only what is not newer than the newest
point written of its series can meet a point that stands already. A point that meets a sealed one stays in the live file
and stands before it, until the month is sealed anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from tweeling.adapters import copies
from tweeling.adapters.columns import concatenate, last_wins
from tweeling.adapters.duckdb import adopting, reading
from tweeling.adapters.duckdb.live import Live, one
from tweeling.adapters.duckdb.pieces import listed, trouble
from tweeling.adapters.duckdb.reading import Look
from tweeling.adapters.duckdb.sealing import Keeping, Sealing
from tweeling.adapters.folders import link
from tweeling.adapters.newest import Newest
from tweeling.domain.points import Point, Points
from tweeling.errors import UnavailableError
from tweeling.ports.timeseries import Aggregate, Found, Kept, Windows

_NEWEST = """SELECT series, max(t), arg_max(value, t * 2 + live), arg_max(quality, t * 2 + live)
    FROM (SELECT *, 0 AS live FROM newest UNION ALL SELECT series, t, value, quality, 1 FROM point) GROUP BY series"""
_KEEPING = Keeping()
_ALWAYS = (-(2**62), 2**62)
_FEW = 500  # names that are worth looking up one by one, if there are twice as many
_PATIENCE = 10  # times what is due to be written, before applying waits for whoever writes

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class _Held:
    """What is applied and not yet written; `series` of its points are numbers."""

    since: float = 0.0
    rows: int = 0
    points: list[Points] = field(default_factory=list)
    fresh: dict[str, int] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)


class DuckDBStore:
    """TimeSeriesStore in a file and a folder beside it. Safe from any thread; readers see whole batches.

    path: the live file. Sealed files lie beside it in `folder`, of the same name with `.sealed` for a suffix.
    hold_s, hold_rows: how long, and how many, points stay in memory before they are written.
    read_only: the file must be there, and several processes may so look at it; `apply` raises UnavailableError.
    """

    precision = 0.0

    def __init__(
        self,
        path: Path,
        *,
        hold_s: float = 0.5,
        hold_rows: int = 100_000,
        read_only: bool = False,
        keeping: Keeping = _KEEPING,
    ) -> None:
        self.folder = path.with_suffix(".sealed")
        self._live = Live(path, read_only=read_only, on_open=self._learn, on_let_go=self._unlearn)
        self._hold_s, self._hold_rows = hold_s, hold_rows
        self._ids: dict[str, int] = {}
        self._newest = Newest()
        self._written = Newest()
        self._held = _Held()
        self._batch = 0  # never falls, not even when the file is opened anew: what is being sealed is told by it
        self._lost = False
        self._overlaid: tuple[object, int] = (None, 0)
        self._sealing = Sealing(self._live, self.folder, keeping, self._flush)
        with self._live.cursor():
            pass
        if not read_only:
            self._sealing.sweep()

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Apply points and the source's cursor; written together with others, or now where that is due.

        While somebody else writes or tidies up, what is due waits in memory, up to ten times as much.
        """
        with self._live.cursor(), self._live.lock:
            self._hold(points, source, through)
            held = self._held
        due = held.rows >= self._hold_rows or time.monotonic() - held.since >= self._hold_s
        if due and self._live.writing.acquire(blocking=held.rows >= _PATIENCE * self._hold_rows):
            try:
                self._write()
            except UnavailableError:
                self._lost = False  # who applies is told now
                raise
            finally:
                self._live.writing.release()

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        self._flush()
        with self._live.cursor(reading=True) as cursor:
            return self._through(cursor, source)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        with self._live.cursor(), self._live.lock:
            return self._under(prefix)

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series; also where it is no more."""
        with self._live.cursor(), self._live.lock:
            found = ((name, self._newest.at(self._ids[name])) for name in self._under(prefix))
            return [Point(name, *newest) for name, newest in found if newest is not None]

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        return self.windows([series], start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, aggregate=aggregate)[series]

    def windows(
        self, series: Sequence[str], *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> Mapping[str, Windows]:
        """`window` of many series at one look; where only hours are kept, each stands at its beginning."""

        def ask(cursor: duckdb.DuckDBPyConnection, look: Look) -> dict[str, NDArray[Any]]:
            sql = look.windows(aggregate, step_ms)
            return cursor.execute(sql, look.given(str(self.folder), sql, step=step_ms)).fetchnumpy()

        rows, starts, found = self._look(start_ms, end_ms, series, ask).values()
        rows, starts = _column(rows, np.int32), _column(starts, np.int64)
        order = np.lexsort((starts, rows))
        rows, times, values = rows[order], starts[order], _column(found, np.float64)[order]
        cuts = np.searchsorted(rows, np.arange(len(series) + 1)).tolist()
        return {
            name: Windows(times[cuts[at] : cuts[at + 1]], values[cuts[at] : cuts[at + 1]])
            for at, name in enumerate(series)
        }

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end) that is kept as it came, by time."""

        def ask(cursor: duckdb.DuckDBPyConnection, look: Look) -> dict[str, NDArray[Any]]:
            sql = f"SELECT t, value, quality FROM ({look.points()}) ORDER BY t"
            return cursor.execute(sql, look.given(str(self.folder), sql)).fetchnumpy()

        times, values, quality = self._look(start_ms, end_ms, [series], ask).values()
        times = _column(times, np.int64)
        codes = np.zeros(len(times), dtype=np.int32)
        return Points((series,), codes, times, _column(values, np.float64), _column(quality, np.uint8))

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        result = Found(np.zeros(len(points), np.bool_), np.zeros(len(points)), np.zeros(len(points), np.uint8))
        if not len(points):
            return result

        def ask(cursor: duckdb.DuckDBPyConnection, look: Look) -> dict[str, NDArray[Any]]:
            sql = f"""SELECT wanted.place, found.value, found.quality FROM ({look.points()}) found
                JOIN wanted ON found.row = wanted.row AND found.t = wanted.t"""
            return cursor.execute(sql, look.given(str(self.folder), sql)).fetchnumpy()

        wanted = pa.table({"place": np.arange(len(points)), "row": points.series, "t": points.times})
        first, last = int(points.times.min()), int(points.times.max())
        rows = self._look(first, last + 1, points.names, ask, wanted=wanted)
        where = _column(rows["place"], np.int64)
        result.there[where] = True
        result.values[where] = _column(rows["value"], np.float64)
        result.quality[where] = _column(rows["quality"], np.uint8)
        return result

    def count(self, prefix: str = "") -> int:
        """How many points the store holds under `prefix` as they came; `kept` tells of others."""

        def ask(cursor: duckdb.DuckDBPyConnection, look: Look) -> int:
            if prefix:
                return self._number(cursor, look, look.points())
            if problem := trouble(self.folder, look.pieces):
                raise UnavailableError(problem)
            sealed = sum(each.points for each in look.pieces if each.kind == "raw")
            return sealed + one(cursor.execute("SELECT count(*) FROM point")) - self._replaced(cursor, look)

        return self._look(*_ALWAYS, self.series(prefix), ask)

    def kept(self) -> Kept:
        """From when on every point is kept as it came, and how many older ones became hourly values."""
        with self._live.cursor(reading=True) as cursor:
            return Kept(*cursor.execute("SELECT raw_ms, removed FROM kept").fetchall()[0])

    def maintain(self, now_ms: int) -> None:
        """Seal, downsample and remove what is old at this time; other threads go on meanwhile.

        Raises UnavailableError for what could not be done, after all else is; nothing is lost, and the next time tries
        again.
        """
        self._sealing.maintain(now_ms)

    def damage(self) -> Iterator[str]:
        """Read every sealed file; each that is not as it was written, by name and with what to do."""
        return self._sealing.damage()

    def size(self) -> int:
        """Bytes on disk: the live file with its log, and every sealed file."""
        paths = [*self._live.path.parent.glob(f"{self._live.path.name}*"), *self.folder.glob("*")]
        return sum(path.stat().st_size for path in paths if path.is_file())

    def copy_to(self, folder: Path) -> None:
        """See `Copied`; the live file is written anew, and sealed files, which never change, are linked."""
        sealed = folder / self.folder.name
        try:
            with ExitStack() as opened:
                with self._live.writing:  # nothing that counts now is unlinked before it is linked
                    self._write()
                    cursor = opened.enter_context(self._live.cursor(reading=True))
                    cursor.begin()
                    pieces = listed(cursor)  # the moment that is copied
                    sealed.mkdir(mode=0o700)
                    for piece in pieces:
                        link(self.folder / piece.name, sealed / piece.name)
                copies.copy_points(cursor, folder / self._live.path.name)
        except OSError as exc:
            raise UnavailableError(f"{sealed}: {exc.strerror}") from exc

    def close(self) -> None:
        """Let go of the file; what was applied stays."""
        with self._live.writing:
            if self._live.is_open:
                self._write()
            self._live.close()

    def _look(
        self,
        start_ms: int,
        end_ms: int,
        names: Sequence[str],
        ask: Callable[[duckdb.DuckDBPyConnection, Look], _Answer],
        **tables: pa.Table,
    ) -> _Answer:
        """Ask in one transaction, when all that was applied is written; again if a file was replaced meanwhile."""
        self._flush()
        with self._live.lock:
            ids = [self._ids.get(name, 0) for name in names]
            few = names if len(names) <= min(_FEW, len(self._ids) // 2) else ()
        tables["asked"] = reading.asked(ids, names)
        while True:
            look: Look | None = None
            try:
                with self._live.cursor(reading=True) as cursor:
                    for name, table in tables.items():
                        cursor.register(name, table)
                    cursor.begin()
                    look = Look.at(cursor, start_ms, end_ms, few)
                    return ask(cursor, look)
            except UnavailableError as exc:
                if look is None:
                    raise
                with self._live.cursor(reading=True) as cursor:
                    replaced = set(look.pieces) - set(listed(cursor))
                if replaced:
                    continue
                if problem := trouble(self.folder, look.pieces, exc):
                    raise UnavailableError(problem) from exc
                raise

    def _replaced(self, cursor: duckdb.DuckDBPyConnection, look: Look) -> int:
        """How many sealed points live ones stand before; looked up anew only where something changed."""
        if not look.overlaid:
            return 0
        end_ms = max(each.end_ms for each in look.pieces if each.kind == "raw")
        late = cursor.execute(
            "SELECT count(*), max(batch), min(t), max(t) FROM point WHERE t < ?", [end_ms]
        ).fetchall()[0]
        state = (late, tuple(look.pieces))
        if self._overlaid[0] != state:
            first, last = late[2], late[3] + 1
            near = [each for each in look.pieces if each.kind == "raw" and each.start_ms < last and each.end_ms > first]
            replaced = 0
            if near:
                part = look._replace(start_ms=first, end_ms=last, pieces=near)
                replaced = self._number(cursor, part, part.replaced())
            self._overlaid = state, replaced
        return self._overlaid[1]

    def _number(self, cursor: duckdb.DuckDBPyConnection, look: Look, rows: str) -> int:
        return one(cursor.execute(f"SELECT count(*) FROM ({rows})", look.given(str(self.folder), rows)))

    def _flush(self) -> int:
        """Write what is held; the number of the last batch written."""
        with self._live.writing:
            self._write()
            return self._batch

    def _learn(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Take from the file what memory knows by heart."""
        if not self._live.read_only:
            adopting.begin(connection, self.folder)
        self._ids = dict(connection.execute("SELECT key, id FROM series").fetchall())
        rows = connection.execute(_NEWEST).fetchall()
        self._newest, self._written = Newest(rows), Newest(rows)
        self._batch = max(self._batch, one(connection.execute("SELECT max(batch) FROM point")))

    def _unlearn(self) -> None:
        self._lost = self._lost or bool(self._held.places)
        self._held = _Held()

    @staticmethod
    def _through(cursor: duckdb.DuckDBPyConnection, source: str) -> int:
        return one(cursor.execute("SELECT max(through) FROM applied WHERE source = ?", [source]))

    def _under(self, prefix: str) -> list[str]:
        return sorted(name for name in self._ids if name.startswith(prefix))

    def _hold(self, points: Points, source: str, through: int) -> None:
        """Keep points in memory; raise UnavailableError where what was held before them is lost."""
        if self._lost:
            self._lost = False  # who applies is told once; that others have asked tells them nothing
            raise UnavailableError(f"{self._live.path}: what was applied last is not in the file; ask how far it goes")
        held = self._held
        if source not in held.places:
            with self._live.cursor(reading=True) as cursor:
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
        """Write what is held, in one transaction; who calls has `writing`. Meanwhile others may hold more."""
        with self._live.lock:
            held = self._held
            if not held.points:
                return
            self._held = _Held(places=dict(held.places))
        with self._live.cursor() as cursor:
            rows = last_wins(concatenate(held.points))  # sorted, it compresses well and is found fast
            cursor.begin()
            if held.fresh:
                fresh = pa.table({"id": list(held.fresh.values()), "key": list(held.fresh)})
                cursor.register("fresh", fresh)  # one by one, a thousand of them would take a second
                cursor.execute("INSERT INTO series SELECT id, key FROM fresh")
                cursor.unregister("fresh")
            self._replace(cursor, rows)
            places = pa.table({"source": list(held.places), "through": list(held.places.values())})
            cursor.register("places", places)
            cursor.execute("DELETE FROM applied USING places WHERE applied.source = places.source")
            cursor.execute("INSERT INTO applied FROM places")
            cursor.unregister("places")
            cursor.commit()
            self._batch += 1
            with self._live.lock:
                self._written.add(rows)

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
        cursor.execute("INSERT INTO point SELECT series, t, value, quality, ? FROM incoming", [self._batch + 1])
        cursor.unregister("incoming")


def _column(column: Any, dtype: DTypeLike) -> NDArray[Any]:
    values: NDArray[Any] = np.asarray(np.ma.getdata(column), dtype=dtype)
    return values
