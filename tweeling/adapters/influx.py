"""A time-series store in InfluxDB 2: written as line protocol through influxdb-client, read with Flux, in columns.

A point is one line: measurement `tweeling`, tag `series`, fields `value` and `quality`. The same series and time
written again replaces both. A write is answered when it is in the server's write-ahead log on disk
(`storage-wal-fsync-delay` is 0 unless somebody sets it), so points are durable once accepted; how far a source is
applied is written only when somebody asks, behind them, and is never ahead.

Three buckets, made by `influx_setup`: raw points, with the retention that they have; hourly values of those that leave;
and places, which no retention may take. Windows of whole hours that begin before what is kept raw come from hourly
values, which stand at the start of their hour.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import RLock

import numpy as np

from tweeling.adapters.columns import last_wins
from tweeling.adapters.influx_rows import NONE, by_series, lines_of, of_hours, one_after_another
from tweeling.adapters.influx_server import Access, InfluxServer
from tweeling.adapters.lineprotocol import column, encoded, groups, pattern, printed, requests
from tweeling.adapters.newest import Known
from tweeling.domain.points import Point, Points
from tweeling.errors import TweelingError, UnavailableError
from tweeling.ports.timeseries import Aggregate, Found, Kept, Windows

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FOREVER_MS = 7_258_118_400_000  # the year 2200; Flux would end at the present, and readings may carry another time
_LONGEST = 20_000  # letters of names in one query

log = logging.getLogger(__name__)


class InfluxStore:
    """TimeSeriesStore in an InfluxDB 2; this process is the only one that writes to its buckets.

    raw_days: the retention of the raw bucket, 0 for ever. now_ms: the server's time, near enough.
    """

    precision = 0.0

    def __init__(self, access: Access, *, raw_days: float, now_ms: Callable[[], int]) -> None:
        self._server = InfluxServer(access)
        self._raw, self._hourly, self._places_in = access.bucket, access.hourly, access.places
        self._keeps_ms = round(raw_days * DAY_MS)
        self._now_ms = now_ms
        self._lock = RLock()
        self._known: Known | None = None  # None: ask the server; only who writes knows anything by heart
        self._places: dict[str, int] = {}  # numbers through which sources are applied
        self._unsaid: set[str] = set()  # those whose number is not written yet
        self._gone = Kept()

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Write points; `applied` writes the source's number. What is older than the raw bucket keeps is left out."""
        with self._lock:
            if through <= (self._places.get(source) or self._durable(source)):
                return
            rows = self._kept(last_wins(points))
            try:
                self._write(rows)
            except TweelingError:  # nobody knows how much of it arrived; what is not said is applied again
                self._known, self._places, self._unsaid = None, {}, set()
                raise
            if self._known is not None:
                self._known.add(rows)
            self._places[source] = through
            self._unsaid.add(source)

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        with self._lock:
            self._say()
            return self._durable(source)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        return sorted(self._names(self._raw, prefix) | self._names(self._hourly, prefix))

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series."""
        with self._lock:
            if self._known is None:
                if not self._places:  # somebody else may write
                    return self._ask_latest(prefix)
                self._known = Known(self._ask_latest())
            self._server.answers()
            return self._known.latest(prefix)

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        asked = {"start_ms": start_ms, "end_ms": end_ms, "step_ms": step_ms}
        return self.windows((series,), **asked, aggregate=aggregate)[series]

    def windows(
        self, series: Sequence[str], *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> Mapping[str, Windows]:
        """`window` of many series at one look; the server aggregates."""
        found = dict.fromkeys(series, NONE)
        turn = self._turn_ms() if step_ms % HOUR_MS == 0 else start_ms
        whole = max(start_ms, -(-turn // step_ms) * step_ms) if turn > start_ms else start_ms
        for names in groups(found, _LONGEST):
            older = self._from_hours(names, start_ms, turn, min(whole, end_ms), step_ms, aggregate)
            newer = self._from_raw(names, whole, end_ms, step_ms, aggregate)
            for name in older.keys() | newer.keys():
                found[name] = one_after_another(older.get(name, NONE), newer.get(name, NONE))
        return found

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time, as far as they are kept raw."""
        return self._read((series,), start_ms, end_ms)

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        found = Found(np.zeros(len(points), np.bool_), np.zeros(len(points)), np.zeros(len(points), np.uint8))
        if not len(points):
            return found
        start, end = int(points.times.min()), int(points.times.max()) + 1
        held = self._read(points.names, start, end)
        asked = points.series.astype(np.int64) * (end - start) + points.times - start
        keys = held.series.astype(np.int64) * (end - start) + held.times - start
        at = np.minimum(np.searchsorted(keys, asked), max(len(held) - 1, 0))
        if len(held):
            found.there[:] = keys[at] == asked
            found.values[found.there] = held.values[at[found.there]]
            found.quality[found.there] = held.quality[at[found.there]]
        return found

    def count(self, prefix: str = "") -> int:
        """How many points the store holds raw under `prefix`."""
        rows = self._server.ask(
            f"""{self._from(self._raw, self._turn_ms())} |> filter(fn: (r) => r._field == "value")
            |> filter(fn: (r) => {_under(prefix)}) |> count() |> group() |> sum()"""
        )
        return round(float(rows.values().sum()))

    def kept(self) -> Kept:
        """Raw points from the hour on in which retention has not begun; the hours before it are asked for once each."""
        turn = self._turn_ms()
        if turn != self._gone.from_ms:
            rows = self._server.ask(
                f"""{self._from(self._hourly, 0, turn)} |> filter(fn: (r) => r._field == "count")
                |> sum() |> group() |> sum()"""
            )
            self._gone = Kept(turn, round(float(rows.values().sum())))
        return self._gone

    def close(self) -> None:
        """Note how far sources are applied, where the server answers, and let go of sockets."""
        with suppress(UnavailableError), self._lock:  # then the journal keeps it
            self._say()
        self._server.close()

    def _turn_ms(self) -> int:
        """The first whole hour of which every point is kept raw; hours before it answer for themselves."""
        return -(-max(self._now_ms() - self._keeps_ms, 0) // HOUR_MS) * HOUR_MS if self._keeps_ms else 0

    def _kept(self, rows: Points) -> Points:
        """The points that the raw bucket still keeps."""
        if not self._keeps_ms:
            return rows
        kept = rows.times >= self._now_ms() - self._keeps_ms
        if not kept.all():
            log.warning("store.too_old", extra={"points": int((~kept).sum()), "keeps_days": self._keeps_ms / DAY_MS})
        return Points(rows.names, rows.series[kept], rows.times[kept], rows.values[kept], rows.quality[kept])

    def _write(self, rows: Points) -> None:
        if not len(rows):
            return
        heads = [f"tweeling,series={encoded(name)} value=" for name in rows.names]
        parts = column(heads, rows.series), printed(rows.values), ",quality=", printed(rows.quality), "i "
        for body in requests(*parts, printed(rows.times)):
            if not self._server.write(self._raw, body):
                log.warning("store.too_old", extra={"bucket": self._raw})

    def _say(self) -> None:
        """Write the numbers of sources behind whose points they stand."""
        if self._unsaid:
            numbers = (
                f"tweeling_applied,source={encoded(name)} through={self._places[name]}i 0" for name in self._unsaid
            )
            self._server.write(self._places_in, "\n".join(numbers).encode())
            self._unsaid = set()

    def _durable(self, source: str) -> int:
        """The number that the server holds."""
        rows = self._server.ask(
            f"""from(bucket: {_quote(self._places_in)}) |> range(start: {_time(0)}, stop: {_time(1)})
            |> filter(fn: (r) => r._measurement == "tweeling_applied" and r.source == {_quote(encoded(source))})"""
        )
        self._places[source] = round(float(rows.values().max(initial=0)))
        return self._places[source]

    def _names(self, bucket: str, prefix: str) -> set[str]:
        """All names out of the index, which takes a hundred times as long to look for some of ten thousand."""
        rows = self._server.ask(
            f"""import "influxdata/influxdb/schema"
            schema.tagValues(bucket: {_quote(bucket)}, tag: "series", predicate: (r) => true,
                start: {_time(0)}, stop: {_time(FOREVER_MS)})
            |> rename(columns: {{_value: "series"}})"""
        )
        return {name for name in rows.named("series")[0] if name.startswith(prefix)}

    def _ask_latest(self, prefix: str = "") -> list[Point]:
        """Look at the last day, and only for series that were silent further back: a shard costs, empty or not."""
        missing, end_ms = self._names(self._raw, prefix), FOREVER_MS
        found: list[Point] = []
        for start_ms in (*(max(self._now_ms() - days * DAY_MS, 0) for days in (1, 8, 64, 512)), 0):
            few = list(groups(sorted(missing), _LONGEST))
            if not few or start_ms >= end_ms:
                continue
            where = _any_of(few[0]) if len(few) == 1 else _under(prefix)
            rows = self._server.ask(
                f"""{self._from(self._raw, start_ms, end_ms)} |> filter(fn: (r) => {where})
                |> group(columns: ["series", "_field"]) |> last() |> toFloat() {_COLUMNS}"""
            )
            newer = [point for point in lines_of(rows).rows() if point.series in missing]
            missing.difference_update(point.series for point in newer)
            found += newer
            end_ms = start_ms
        return sorted(found + self._silent(self._names(self._hourly, prefix) - {point.series for point in found}))

    def _silent(self, names: set[str]) -> list[Point]:
        """The last hourly value of series that were silent for so long that no point of them is kept, at its hour."""
        found: list[Point] = []
        for some in groups(sorted(names), _LONGEST):
            rows = self._server.ask(
                f"""{self._from(self._hourly)} |> filter(fn: (r) => r._field == "last" and {_any_of(some)})
                |> group(columns: ["series", "_field"]) |> last() {_COLUMNS}"""
            )
            newest = by_series(rows, Aggregate.LAST).items()
            found += [Point(name, int(at[-1]), float(values[-1])) for name, (at, values) in newest if name in names]
        return found

    def _read(self, names: Sequence[str], start_ms: int, end_ms: int) -> Points:
        """The points of some series in [start, end), by series and time."""
        parts = [Points.of(())]
        codes = {name: code for code, name in enumerate(names)}
        for some in groups(names, _LONGEST):
            if start_ms < end_ms:
                flux = f"{self._from(self._raw, start_ms, end_ms)} |> filter(fn: (r) => {_any_of(some)})"
                parts.append(lines_of(self._server.ask(f"{flux} |> toFloat() {_COLUMNS}")))
        places = [np.array([codes[name] for name in part.names], np.int32)[part.series] for part in parts]
        return last_wins(
            Points(
                tuple(names),
                np.concatenate(places),
                np.concatenate([part.times for part in parts]),
                np.concatenate([part.values for part in parts]),
                np.concatenate([part.quality for part in parts]),
            )
        )

    def _from_raw(
        self, names: Sequence[str], start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> dict[str, Windows]:
        if start_ms >= end_ms:
            return {}
        rows = self._server.ask(
            f"""{self._from(self._raw, start_ms, end_ms)}
            |> filter(fn: (r) => r._field == "value" and {_any_of(names)})
            |> aggregateWindow(every: {step_ms}ms, fn: {aggregate}, createEmpty: false, timeSrc: "_start") {_COLUMNS}"""
        )
        # A window that the range cuts says that it begins there.
        return {name: Windows(at // step_ms * step_ms, values) for name, (at, values) in by_series(rows).items()}

    def _from_hours(
        self, names: Sequence[str], start_ms: int, turn_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> dict[str, Windows]:
        """Windows of whole hours: hourly values that begin in [start, turn), and hours of raw points in [turn, end)."""
        if start_ms >= end_ms:
            return {}
        rows = self._server.ask(
            f"""{self._from(self._hourly, start_ms, min(turn_ms, end_ms))}
            |> filter(fn: (r) => (r._field == "{aggregate}" or r._field == "count") and {_any_of(names)})
            |> toFloat() {_COLUMNS}"""
        )

        def hours(of: Aggregate) -> dict[str, Windows]:
            older, newer = by_series(rows, of), self._from_raw(names, turn_ms, end_ms, HOUR_MS, of)
            both = older.keys() | newer.keys()
            return {name: one_after_another(older.get(name, NONE), newer.get(name, NONE)) for name in both}

        asked, counts = hours(aggregate), hours(Aggregate.COUNT)
        return {name: of_hours(asked[name], counts[name], step_ms, aggregate) for name in asked if name in counts}

    @staticmethod
    def _from(bucket: str, start_ms: int = 0, end_ms: int = FOREVER_MS) -> str:
        return (
            f"from(bucket: {_quote(bucket)}) |> range(start: {_time(start_ms)}, stop: {_time(end_ms)})"
            ' |> filter(fn: (r) => r._measurement == "tweeling")'
        )


_COLUMNS = '|> keep(columns: ["_time", "_value", "_field", "series"])'


def _time(ms: int) -> str:
    return f"time(v: {ms * 1_000_000})"


def _quote(text: str) -> str:
    """A Flux string that means this text, whatever stands in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\x24")
    return f'"{escaped}"'


def _under(prefix: str) -> str:
    return f"r.series =~ /^{_regex(prefix)}/" if prefix else "true"


def _any_of(names: Sequence[str]) -> str:
    return f"r.series =~ /^({'|'.join(map(_regex, names))})$/"


def _regex(name: str) -> str:
    return pattern(name).replace("/", "\\/")
