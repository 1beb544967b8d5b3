"""Sealing: points that are old move from the live file into their month's file, and at last become hourly values.

At every moment each point is in exactly one place that counts. New files are written and synced under new names; then
one transaction of the live file lists them, forgets those they replace, and deletes the live points that they hold.
What a crash leaves behind is not listed, and is removed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import duckdb
import pyarrow as pa

from tweeling.adapters.duckdb import parquet, reading
from tweeling.adapters.duckdb.live import Live, one
from tweeling.adapters.duckdb.pieces import (
    HOUR_MS,
    Kind,
    Part,
    Piece,
    listed,
    month_of,
    name,
    newest_number,
    plan,
    start_of,
    strays,
    trouble,
)
from tweeling.adapters.duckdb.reading import Look
from tweeling.errors import UnavailableError

log = logging.getLogger(__name__)

DAY_MS = 24 * HOUR_MS
_MANY = 500_000  # live points that are old enough are sealed at once, however short ago the last time was

_HOURLY = """SELECT row, t // 3600000 * 3600000 AS t, sum(n)::BIGINT AS n, fsum(total) AS total, min(low) AS low,
    max(high) AS high, arg_max(last, last_t * 2 + newer) AS last, max(last_t) AS last_t,
    arg_max(quality, last_t * 2 + newer) AS quality FROM ({parts}) GROUP BY 1, 2 ORDER BY 1, 2"""
_OF_LIVE = "FROM point WHERE t >= ? AND t < ? AND batch <= ?"
_NEWEST = f"""SELECT series, max(t), arg_max(value, t * 2 + live), arg_max(quality, t * 2 + live)
    FROM (SELECT *, 0 AS live FROM newest UNION ALL SELECT series, t, value, quality, 1 {_OF_LIVE}) GROUP BY series"""
_MONTHS = """SELECT DISTINCT date_diff('month', TIMESTAMP '1970-01-01', epoch_ms(t)) FROM point
    WHERE t < ? AND batch <= ?"""
_TABLES = {
    "point": "series, t", "series": "id", "newest": "series", "applied": "source", "sealed": "name", "kept": "raw_ms",
}  # fmt: skip


class Keeping(NamedTuple):
    """What is kept, and where; 0 for ever.

    seal_ms: points older than this are sealed. raw_ms: for at least this long every point stays, then its month becomes
    hourly values. hourly_ms: likewise for these, before they are removed.
    """

    seal_ms: int = 6 * HOUR_MS
    raw_ms: int = 90 * DAY_MS
    hourly_ms: int = 0


class _Work(NamedTuple):
    """One round: months before raw_ms become hourly; live points before end_ms move, of batches through a number."""

    raw_ms: int
    end_ms: int
    through: int


class Sealing:
    """Seals what is old of a live file. flush: writes what memory holds, and returns the number of its last batch."""

    def __init__(self, live: Live, folder: Path, keeping: Keeping, flush: Callable[[], int]) -> None:
        self._live = live
        self._folder = folder
        self._keeping = keeping
        self._flush = flush
        self._alone = Lock()

    def sweep(self) -> None:
        """Remove what a process that died has left."""
        with self._live.cursor(reading=True) as cursor:
            pieces = listed(cursor)
        with self._told():
            for path in strays(self._folder, pieces):
                log.info("store.stray", extra={"file": str(path)})
                path.unlink(missing_ok=True)

    def damage(self) -> Iterator[str]:
        """Read every file that counts; each that is not as it was written, and what to do."""
        with self._live.cursor(reading=True) as cursor:
            pieces = listed(cursor)
        for piece in pieces:
            problem = trouble(self._folder, [piece])
            try:
                parquet.verify(self._folder / piece.name)
            except UnavailableError as exc:
                problem = problem or trouble(self._folder, [piece], exc)
            if problem:
                yield problem

    def maintain(self, now_ms: int) -> None:
        """Do what is due. A month that cannot be done is left as it is; after the others it raises UnavailableError."""
        with self._alone, self._told():
            through = self._flush()
            self.sweep()
            work = self._due(now_ms, through)
            if work is None:
                return
            self._folder.mkdir(exist_ok=True)
            failed: UnavailableError | None = None
            changed = False
            for month in self._months(work):
                try:
                    with self._told():
                        changed |= (self._downsample if start_of(month) < work.raw_ms else self._seal)(month, work)
                except UnavailableError as exc:
                    failed = failed or exc
            if self._expire(now_ms) or changed:
                self._tidy()
            if failed is not None:
                raise failed
            with self._live.writing, self._live.cursor() as cursor:
                cursor.execute("UPDATE kept SET sealed_ms = ?", [work.end_ms])

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the disk refuses, as an error that names the folder: nothing is lost, and the next time tries again."""
        try:
            yield
        except OSError as exc:
            raise UnavailableError(
                f"{exc.filename or self._folder}: {exc.strerror or exc}. Let the hub write to {self._folder}, and make "
                "room on its disk; until then points stay where they are"
            ) from exc

    def _due(self, now_ms: int, through: int) -> _Work | None:
        """What this round is about; None where it would be about little."""
        keeping = self._keeping
        end_ms = (now_ms - keeping.seal_ms) // HOUR_MS * HOUR_MS
        from_ms = start_of(month_of(now_ms - keeping.raw_ms)) if keeping.raw_ms else 0
        with self._live.cursor(reading=True) as cursor:
            sealed_ms, raw_ms = cursor.execute("SELECT sealed_ms, raw_ms FROM kept").fetchall()[0]
            many = one(cursor.execute("SELECT count(*) FROM point WHERE t < ?", [end_ms])) >= _MANY
        if from_ms > raw_ms:
            raw_ms = from_ms
            with self._live.writing, self._live.cursor() as cursor:
                cursor.execute("UPDATE kept SET raw_ms = ?", [raw_ms])
        elif not many and abs(end_ms - sealed_ms) < max(HOUR_MS, keeping.seal_ms // 4):  # a clock may be set back
            return None
        return _Work(raw_ms, end_ms, through)

    def _months(self, work: _Work) -> list[int]:
        """Months with live points to move, with more than one file though they are over, or past their raw time."""
        with self._live.cursor(reading=True) as cursor:
            months = {row[0] for row in cursor.execute(_MONTHS, [work.end_ms, work.through]).fetchall()}
            raw = [month_of(each.start_ms) for each in listed(cursor) if each.kind == "raw"]
        split = {month for month in raw if raw.count(month) > 1 and start_of(month + 1) <= work.end_ms}
        return sorted(months | split | {month for month in raw if start_of(month) < work.raw_ms})

    def _seal(self, month: int, work: _Work) -> bool:
        """Write the files that a month's live points ask for; say whether there were any."""
        with self._live.cursor(reading=True) as cursor:
            pieces = [each for each in self._of(cursor, month) if each.kind == "raw"]

            def waiting(start_ms: int, end_ms: int) -> int:
                return one(cursor.execute(f"SELECT count(*) {_OF_LIVE}", [start_ms, end_ms, work.through]))

            start_ms = pieces[-1].end_ms if pieces else start_of(month)
            end_ms = max(start_ms, min(start_of(month + 1), work.end_ms))
            late = [waiting(each.start_ms, each.end_ms) for each in pieces]
            new = waiting(start_ms, end_ms)
        whole = end_ms == start_of(month + 1)
        parts = plan(pieces, late, new=new, start_ms=start_ms, end_ms=end_ms, whole=whole)
        made = [self._write("raw", part, work, "{points} ORDER BY row, t") for part in parts]
        if made:
            self._switch(made, [piece for part in parts for piece in part.replaces], work)
        return bool(made)

    def _downsample(self, month: int, work: _Work) -> bool:
        """Make hourly values of all there is of a month."""
        with self._live.cursor(reading=True) as cursor:
            pieces = self._of(cursor, month)
        part = Part(tuple(pieces), start_of(month), start_of(month + 1))
        made = self._write("hourly", part, work, _HOURLY)
        self._switch([made], pieces, work)
        return True

    def _of(self, cursor: duckdb.DuckDBPyConnection, month: int) -> list[Piece]:
        pieces = [each for each in listed(cursor) if month_of(each.start_ms) == month]
        if problem := trouble(self._folder, pieces):
            raise UnavailableError(problem)
        return pieces

    def _write(self, kind: Kind, part: Part, work: _Work, sql: str) -> Piece:
        """Write one file from the pieces it replaces and from live points."""
        path = self._folder / name(kind, part.start_ms, newest_number(self._folder) + 1)
        try:
            for each in part.replaces:
                parquet.verify(self._folder / each.name)  # what is wrong there must not go on under a new name
            with self._live.cursor(reading=True) as cursor:
                rows = cursor.execute("SELECT id, key FROM series ORDER BY key").fetchall()
                keys = pa.array([key for _, key in rows], pa.string())
                cursor.register("asked", reading.asked([id_ for id_, _ in rows], keys))
                look = Look.of(cursor, part.start_ms, part.end_ms, part.replaces, work.through)
                filled = sql.format(points=look.points(), parts=look.parts())
                found = cursor.sql(filled, params=look.given(str(self._folder), filled))
                note = {"start_ms": part.start_ms, "end_ms": part.end_ms}
                with found.to_arrow_reader(parquet.ROWS) as batches:
                    points = parquet.write(path, kind, batches, keys, note)
                found.close()
        except (OSError, pa.ArrowException, UnavailableError) as exc:
            with suppress(OSError):
                path.with_name(path.name + ".part").unlink(missing_ok=True)
            problem = trouble(self._folder, part.replaces, exc)
            raise UnavailableError(problem or f"{path}: cannot be written, nothing has changed ({exc})") from exc
        return Piece(path.name, kind, part.start_ms, part.end_ms, points, path.stat().st_size)

    def _switch(self, made: Sequence[Piece], replaced: Sequence[Piece], work: _Work) -> None:
        """Let the new files count from now on; whoever reads the old ones has them open, or asks again."""
        hours = sum(each.points for each in made if each.kind == "hourly")
        hours -= sum(each.points for each in replaced if each.kind == "hourly")
        with self._live.writing, self._live.cursor() as cursor:
            cursor.begin()
            for each in made:
                moved = [each.start_ms, each.end_ms, work.through]
                cursor.execute(f"CREATE OR REPLACE TEMP TABLE seen AS {_NEWEST}", moved)
                cursor.execute("DELETE FROM newest")
                cursor.execute("INSERT INTO newest FROM seen")
                cursor.execute(f"DELETE {_OF_LIVE}", moved)
            self._forget(cursor, replaced)
            cursor.executemany("INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?)", made)
            cursor.execute("UPDATE kept SET removed = removed + ?", [hours])
            cursor.commit()
        self._unlink(replaced)
        for each in made:
            log.info("store.sealed", extra={"file": each.name, "points": each.points, "bytes": each.bytes})

    def _expire(self, now_ms: int) -> bool:
        """Remove hourly values whose time is over; say whether there were any."""
        if not self._keeping.hourly_ms:
            return False
        until_ms = now_ms - self._keeping.hourly_ms
        with self._live.writing, self._live.cursor() as cursor:
            over = [each for each in listed(cursor) if each.kind == "hourly" and each.end_ms <= until_ms]
            self._forget(cursor, over)
        self._unlink(over)
        return bool(over)

    @staticmethod
    def _forget(cursor: duckdb.DuckDBPyConnection, pieces: Iterable[Piece]) -> None:
        cursor.execute("DELETE FROM sealed WHERE list_contains(?, name)", [[each.name for each in pieces]])

    def _unlink(self, pieces: Iterable[Piece]) -> None:
        for each in pieces:
            (self._folder / each.name).unlink(missing_ok=True)

    def _tidy(self) -> None:
        """Give the live file's free space back: what is left in it is written anew, in order, to its front."""
        with self._live.writing, self._live.cursor() as cursor:
            self._checkpoint(cursor)
            cursor.begin()
            for table, order in _TABLES.items():  # all of them: one at the file's end would keep it long
                cursor.execute(f"CREATE TABLE tidy AS FROM {table} ORDER BY {order}")
                cursor.execute(f"DROP TABLE {table}")
                cursor.execute(f"ALTER TABLE tidy RENAME TO {table}")
            cursor.commit()
            self._checkpoint(cursor)

    @staticmethod
    def _checkpoint(cursor: duckdb.DuckDBPyConnection) -> None:
        with suppress(duckdb.TransactionException):  # somebody reads at just this moment: the next time will do
            cursor.execute("CHECKPOINT")
