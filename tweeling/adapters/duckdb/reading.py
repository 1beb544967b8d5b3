"""The SQL that sees live points and sealed files as one.

Every query asks for `asked` (row, id, key), a table of series. A live point stands before the sealed one of the same
series and time, which it replaces; files of one kind never meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from tweeling.adapters.duckdb.parquet import VALUE
from tweeling.adapters.duckdb.pieces import HOUR_MS, Kind, Piece, listed
from tweeling.ports.timeseries import Aggregate

EVERY = 2**62
"""A batch behind every other."""
_OF_POINTS = {
    Aggregate.MEAN: "avg(value)",
    Aggregate.MIN: "min(value)",
    Aggregate.MAX: "max(value)",
    Aggregate.LAST: "arg_max(value, t)",
    Aggregate.COUNT: "count(*)::DOUBLE",
}
_OF_PARTS = {
    Aggregate.MEAN: "sum(total) / sum(n)",
    Aggregate.MIN: "min(low)",
    Aggregate.MAX: "max(high)",
    Aggregate.LAST: "arg_max(last, last_t * 2 + newer)",
    Aggregate.COUNT: "sum(n)::DOUBLE",
}
_OF_HOUR = {
    Aggregate.MEAN: "total / n",
    Aggregate.MIN: "low",
    Aggregate.MAX: "high",
    Aggregate.LAST: "last",
    Aggregate.COUNT: "n::DOUBLE",
}
_LIVE = """SELECT asked.row, point.t, point.value, point.quality FROM point JOIN asked ON point.series = asked.id
    WHERE point.t >= $start AND point.t < $end AND point.batch <= $through"""
_SEALED = f"""SELECT asked.row, file.t, {VALUE} AS value, file.quality
    FROM read_parquet($raw) file JOIN asked ON file.series = asked.key WHERE file.t >= $start AND file.t < $end"""
_REPLACED = """EXISTS (SELECT 1 FROM point WHERE point.series = asked.id AND point.t = file.t
    AND point.t >= $start AND point.t < $end AND point.batch <= $through)"""
_AS_PARTS = """SELECT row, t, 1 AS n, value AS total, value AS low, value AS high, value AS last, t AS last_t,
    quality, 1 AS newer FROM"""
_HOURS = """SELECT asked.row, file.t, n, total, low, high, last, last_t, quality, 0 AS newer
    FROM read_parquet($hourly) file JOIN asked ON file.series = asked.key WHERE file.t >= $start AND file.t < $end"""


class Look(NamedTuple):
    """What stands in [start, end), in the transaction of a cursor.

    overlaid, mixed: whether there are live points in the time of raw files, or of hourly ones. keys: the series asked
    for, where these are few. Told so, DuckDB looks them up in the files' dictionaries, and decodes little else; a join
    it would do row by row.
    """

    start_ms: int
    end_ms: int
    pieces: Sequence[Piece]
    overlaid: bool
    mixed: bool
    through: int = EVERY
    keys: Sequence[str] = ()

    @classmethod
    def at(cls, cursor: duckdb.DuckDBPyConnection, start_ms: int, end_ms: int, keys: Sequence[str]) -> Look:
        """See what there is."""
        pieces = [each for each in listed(cursor) if each.start_ms < end_ms and each.end_ms > start_ms]
        return cls.of(cursor, start_ms, end_ms, pieces)._replace(keys=keys)

    @classmethod
    def of(
        cls,
        cursor: duckdb.DuckDBPyConnection,
        start_ms: int,
        end_ms: int,
        pieces: Sequence[Piece],
        through: int = EVERY,
    ) -> Look:
        """Just these pieces, and live points."""

        def lively(kind: Kind) -> bool:
            last = max((each.end_ms for each in pieces if each.kind == kind), default=start_ms)
            found = cursor.execute("SELECT 1 FROM point WHERE t >= ? AND t < ? LIMIT 1", [start_ms, min(last, end_ms)])
            return bool(found.fetchall())

        return cls(start_ms, end_ms, pieces, lively("raw"), lively("hourly"), through)

    def names(self, kind: Kind) -> list[str]:
        """The files of a kind."""
        return [each.name for each in self.pieces if each.kind == kind]

    def points(self) -> str:
        """SQL for (row, t, value, quality) of every raw point."""
        if not self.names("raw"):
            return _LIVE
        standing = f" AND NOT {_REPLACED}" if self.overlaid else ""
        return f"{_LIVE} UNION ALL {_SEALED}{standing}{self._few()}"

    def replaced(self) -> str:
        """SQL for the sealed points that live ones stand before."""
        return f"{_SEALED} AND {_REPLACED}"

    def parts(self) -> str:
        """SQL for (row, t, n, total, low, high, last, last_t, quality, newer): raw points, each as one, and hours."""
        raw = f"{_AS_PARTS} ({self.points()})"
        return f"{raw} UNION ALL {_HOURS}{self._few()}" if self.names("hourly") else raw

    def windows(self, aggregate: Aggregate, step_ms: int) -> str:
        """SQL for (row, start, value), in no order. An hour that is kept alone is a window as it is."""
        window = "SELECT row, t // $step * $step AS start"
        if self.names("hourly") and (step_ms != HOUR_MS or self.mixed):
            return f"{window}, {_OF_PARTS[aggregate]} AS value FROM ({self.parts()}) GROUP BY 1, 2"
        points = f"{window}, {_OF_POINTS[aggregate]} AS value FROM ({self.points()}) GROUP BY 1, 2"
        if not self.names("hourly"):
            return points
        return f"{points} UNION ALL SELECT row, t, {_OF_HOUR[aggregate]} FROM ({_HOURS}{self._few()})"

    def given(self, folder: str, sql: str, **more: Any) -> dict[str, Any]:
        """What a query of this look is to be given."""
        known: dict[str, Any] = {"start": self.start_ms, "end": self.end_ms, "through": self.through}
        known["keys"] = list(self.keys)
        known |= {kind: [f"{folder}/{name}" for name in self.names(kind)] for kind in ("raw", "hourly")}
        return {name: value for name, value in (known | more).items() if f"${name}" in sql}

    def _few(self) -> str:
        return " AND file.series IN $keys" if self.keys else ""


def asked(ids: Sequence[int], keys: Iterable[str]) -> pa.Table:
    """The table of that name: row i is series ids[i]."""
    rows = pa.array(range(len(ids)), pa.int32())
    return pa.table({"row": rows, "id": pa.array(ids, pa.int32()), "key": pa.array(keys, pa.string())})
