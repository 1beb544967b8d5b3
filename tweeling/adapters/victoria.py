"""A time-series store in VictoriaMetrics: written as line protocol through influxdb-client, read by its own HTTP API.

VictoriaMetrics cannot overwrite: of two samples at one moment it keeps either. So a point that replaces another goes to
the series' next revision (label `rev`), and readers take the highest. Quality is a label (`q`) too.

It answers before data is on disk, and a kill loses some of what it answered for. So what was applied is only `given`,
until somebody asks how far that is durable: a snapshot puts all that came before it on disk, the server shows that it
is still the run that took it in, and only then the source's number is written, as a sample. After a kill the number may
fall back, and what followed is applied again; it is never ahead of the points.

Start it with `-retentionPeriod=100y -dedup.minScrapeInterval=1ms -search.latencyOffset=0s`. It refuses points more than
two days ahead of its own clock without a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tweeling.adapters.columns import last_wins, rows_at, spans, split_windows
from tweeling.adapters.lineprotocol import column, encoded, groups, pattern, printed, requests
from tweeling.adapters.newest import Known
from tweeling.adapters.victoria_server import AGES, POINT, Run, Samples, Server
from tweeling.domain.points import Point, Points
from tweeling.errors import TweelingError, UnavailableError
from tweeling.ports.timeseries import Aggregate, Found, Kept, Windows

_PLACE = "tweeling_applied_through"
_PLACE_MS = 2 * 86_400_000  # a source's number stands as many milliseconds after this: no clock is needed
_FIRST_MS = 86_400_000  # see AGES
_NEAR = 10_000  # numbers: all that a source ever had are kept, and looking at few of them is fast
_LONGEST = 6_000  # letters of names in one query, which may have 16,384 and names them twice
_GRID = 10_000  # windows in one query, which may have 30,000

_OVER_TIME = {
    Aggregate.MEAN: "sum(sum_over_time({0})) by (series) / sum(count_over_time({0})) by (series)",
    Aggregate.MIN: "min(min_over_time({0})) by (series)",
    Aggregate.MAX: "max(max_over_time({0})) by (series)",
    Aggregate.LAST: "max(last_over_time({0})) by (series)",  # where there is but one
    Aggregate.COUNT: "sum(count_over_time({0})) by (series)",
}


class _Standing(NamedTuple):
    """What stands at some moments: rows of `samples`, whose highest revision is in row `last` of each moment."""

    samples: Samples
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @property
    def there(self) -> NDArray[np.bool_]:
        return self.last >= self.first


class VictoriaMetricsStore:
    """TimeSeriesStore in a VictoriaMetrics server at a URL; this process is the only one that writes to it."""

    precision = 2e-12  # it keeps a block of numbers as decimals of twelve digits under one exponent

    def __init__(self, url: str, *, ca_file: Path | None = None, timeout_s: float = 10.0) -> None:
        self._server = Server(url, ca_file=ca_file, timeout_s=timeout_s)
        self._lock = RLock()
        self._known: Known | None = None  # None: ask the server; only who writes knows anything by heart
        self._places: dict[str, int] = {}  # numbers through which sources are applied, durably or not
        self._given: dict[str, int] = {}  # those of them that nobody has proven yet
        self._since: Run | None = None  # the run of the server that took in the first of these
        self._unseen = True  # another client may have written just now

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Hand points to the server; `applied` sees them on disk, and notes the source's number."""
        with self._lock:
            if through <= (self._places.get(source) or self._durable(source)):
                return
            try:
                if self._since is None:
                    self._since = self._server.run()
                self._write(last_wins(points))
            except TweelingError:
                self._forget()
                raise
            self._given[source] = self._places[source] = through

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        with self._lock:
            self._prove()
            return self._durable(source)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        self._show()
        return sorted(self._server.names(_match(prefix)))

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series."""
        with self._lock:
            if self._known is None:
                self._show()
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
        """`window` of many series at one look: the server aggregates, but where points were replaced."""
        none = Windows(np.zeros(0, np.int64), np.zeros(0))
        found = dict.fromkeys(series, none)
        start_ms = max(start_ms, _FIRST_MS)
        if start_ms >= end_ms:
            return found
        self._show()
        for names in groups(found, _LONGEST):
            parts = self._server.parts(_any_of(names), start_ms, end_ms)
            replaced = {name for name, revision in parts if revision}
            if aggregate is Aggregate.LAST:  # of several qualities the server cannot tell which was last
                replaced.update(name for name, number in Counter(name for name, _ in parts).items() if number > 1)
            if plain := sorted({name for name, _ in parts} - replaced):
                found |= self._grid(plain, start_ms, end_ms, step_ms, aggregate)
            if replaced:
                points = self._read(sorted(replaced), start_ms, end_ms)
                found |= split_windows(points, step_ms, aggregate)
        return found

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time."""
        self._show()
        return self._read((series,), start_ms, end_ms)

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        self._show()
        standing = self._standing(points)
        there, samples = standing.there, standing.samples
        found = Found(there, np.zeros(len(points)), np.zeros(len(points), np.uint8))
        found.values[there] = samples.values[standing.last[there]]
        found.quality[there] = samples.quality[standing.last[there]]
        return found

    def count(self, prefix: str = "") -> int:
        """How many points the store holds under `prefix`."""
        self._show()
        first = _match(prefix, ',rev="0"')  # every moment has one point of revision 0, and only one
        found = self._server.now(f"sum(count_over_time({first}[{AGES}]))")
        return round(sum(found.values()))

    @staticmethod
    def kept() -> Kept:
        """Everything: how long is the server's own business."""
        return Kept()

    def close(self) -> None:
        """See on disk what was given, where the server answers, and let go of sockets."""
        with suppress(UnavailableError):  # then the journal keeps it
            self._prove()
        self._server.close()

    def _write(self, rows: Points) -> None:
        """Write points, sorted and without repeats, each under the revision that makes it stand."""
        known = self._known or Known(self._ask_latest())
        self._known = None  # until all of this is known to have arrived
        revision = np.zeros(len(rows), np.int64)
        writes = np.ones(len(rows), np.bool_)
        late = np.flatnonzero(rows.times <= known.times(rows))
        if len(late):
            self._show()
            standing = self._standing(rows_at(rows, late))
            at, there = standing.last[standing.there], late[standing.there]
            samples = standing.samples
            revision[there] = samples.revision[at] + 1
            margin = self.precision * np.maximum(np.abs(samples.values[at]), np.abs(rows.values[there]))
            same = (np.abs(samples.values[at] - rows.values[there]) <= margin) & (
                samples.quality[at] == rows.quality[there]
            )
            writes[there] = ~same
            # A kill may have taken the first point of a moment, and left its correction.
            self._send(rows_at(rows, there[samples.revision[standing.first[standing.there]] > 0]), revision=None)
        self._send(rows_at(rows, np.flatnonzero(writes)), revision[writes])
        known.add(rows)
        self._known = known

    def _send(self, rows: Points, revision: NDArray[np.int64] | None) -> None:
        if not len(rows):
            return
        numbers = np.zeros(len(rows), np.int64) if revision is None else revision
        keys = (numbers << 40) | (rows.series.astype(np.int64) << 8) | rows.quality
        distinct, codes = np.unique(keys, return_inverse=True)
        names = [encoded(name) for name in rows.names]
        heads = [
            f"tweeling,series={names[key >> 8 & 0xFFFFFFFF]},q={key & 0xFF},rev={key >> 40} value="
            for key in distinct.tolist()
        ]
        for body in requests(column(heads, codes), printed(rows.values), " ", printed(rows.times)):
            self._server.write(body)
        self._unseen = True

    def _prove(self) -> None:
        """See on disk what was given, and note how far that goes; or forget it, where the server has begun anew."""
        if not self._given:
            return
        self._server.keep()
        if self._since is None or not self._since.goes_on(self._server.run()):
            self._forget()
            return
        numbers = (
            f"tweeling_applied,source={encoded(source)} through={through} {_PLACE_MS + through}"
            for source, through in self._given.items()
        )
        self._server.write("\n".join(numbers).encode())
        self._unseen = True
        self._given, self._since = {}, None

    def _durable(self, source: str) -> int:
        """The number that the server holds: at, or shortly before, the highest that this client knows, or anywhere."""
        self._show()
        place = f'{_PLACE}{{source="{encoded(source)}"}}'
        known = (self._places.get(source, 0) + _PLACE_MS) / 1000
        found = self._server.now(f"max_over_time({place}[{_NEAR}ms])", known) or self._server.now(
            f"max_over_time({place}[{AGES}])"
        )
        self._places[source] = round(max(found.values(), default=0))
        return self._places[source]

    def _forget(self) -> None:
        """What was given and what is known by heart may be lost: the server is asked again."""
        self._known, self._places, self._given, self._since = None, {}, {}, None
        self._unseen = True

    def _show(self) -> None:
        with self._lock:
            if self._unseen:
                self._server.show()
                self._unseen = False

    def _ask_latest(self, prefix: str = "") -> list[Point]:
        times = self._server.now(f"tlast_over_time({_match(prefix)}[{AGES}])")
        values = self._server.now(f"last_over_time({_match(prefix)}[{AGES}])")
        newest: dict[str, tuple[int, int, Point]] = {}
        for (name, quality, revision), seconds in times.items():
            time_ms = round(seconds * 1000)
            value = values.get((name, quality, revision))
            if value is not None and (time_ms, revision) >= newest.get(name, (-1, 0))[:2]:
                newest[name] = (time_ms, revision, Point(name, time_ms, value, quality))
        return [newest[name][2] for name in sorted(newest)]

    def _grid(
        self, names: Sequence[str], start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> dict[str, Windows]:
        """Windows that the server aggregates, of series without replaced points."""
        selected = _any_of(names, ',rev="0"')
        times: dict[str, list[NDArray[np.int64]]] = {}
        values: dict[str, list[NDArray[np.float64]]] = {}
        for start, end, width in spans(start_ms, end_ms, step_ms, at_most=_GRID):
            # A range looks back from its moment, without its far end: at the last millisecond it holds its window.
            query = _OVER_TIME[aggregate].format(f"{selected}[{width}ms]")
            for name, at, found in self._server.grid(query, start + width - 1, end - 1, width):
                times.setdefault(name, []).append((at - width + 1) // step_ms * step_ms)
                values.setdefault(name, []).append(found)
        return {name: Windows(np.concatenate(times[name]), np.concatenate(values[name])) for name in times}

    def _read(self, names: Sequence[str], start_ms: int, end_ms: int) -> Points:
        """The points of some series in [start, end) that stand, by series and time."""
        samples = self._samples(names, start_ms, end_ms)
        last = np.append((np.diff(samples.codes) != 0) | (np.diff(samples.times) != 0), True)[: len(samples.times)]
        codes = samples.codes[last].astype(np.int32)
        return Points(tuple(names), codes, samples.times[last], samples.values[last], samples.quality[last])

    def _standing(self, points: Points) -> _Standing:
        """What stands at the series and times of points."""
        if not len(points):
            nothing = np.zeros(0, np.int64)
            return _Standing(self._samples((), 0, 0), nothing, nothing - 1)
        start, end = int(points.times.min()), int(points.times.max()) + 1
        samples = self._samples(points.names, start, end)
        asked = points.series.astype(np.int64) * (end - start) + points.times - start
        held = samples.codes * (end - start) + samples.times - start
        return _Standing(samples, np.searchsorted(held, asked), np.searchsorted(held, asked, "right") - 1)

    def _samples(self, names: Sequence[str], start_ms: int, end_ms: int) -> Samples:
        """Every sample of some series in [start, end), by series, time and revision."""
        codes = {name: code for code, name in enumerate(names)}
        some = groups(names if start_ms < end_ms else (), _LONGEST)
        return Samples.of([self._server.samples(_any_of(group), codes, start_ms, end_ms) for group in some])


def _match(prefix: str, extra: str = "") -> str:
    return f'{POINT}{{series=~"{pattern(prefix)}.*"{extra}}}'


def _any_of(names: Sequence[str], extra: str = "") -> str:
    return f'{POINT}{{series=~"{"|".join(map(pattern, names))}"{extra}}}'
