"""A time-series store in VictoriaMetrics: written as line protocol through influxdb-client, read by its own HTTP API.

VictoriaMetrics cannot overwrite: of two samples at one moment it keeps either. So a point that replaces another goes to
the series' next revision (label `rev`), and readers take the highest. Quality is a label (`q`) too.

It answers before data is on disk, and a kill loses some of what it answered for. A snapshot puts all that came before
it on disk; only then the source's number is written, as a sample. After a kill the number may fall back, and what
followed is applied again; it is never ahead of the points.

Start it with `-retentionPeriod=100y -dedup.minScrapeInterval=1ms -search.latencyOffset=0s`. It refuses points more than
two days ahead of its own clock without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import RLock
from typing import Any, NamedTuple

import httpx
import numpy as np
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from numpy.typing import NDArray

from tweeling.adapters.columns import last_wins, reduce_windows
from tweeling.domain.points import Point, Points
from tweeling.errors import RejectedError, UnavailableError
from tweeling.ports.timeseries import Aggregate, Found, Kept, Windows

_POINT = "tweeling_value"
_CURSOR = "tweeling_applied_through"
_FOREVER = {"start": 0, "end": 36_500 * 86_400}  # a hundred years from 1970, in seconds
_AGES = "36499d"  # looks back from there to 1970-01-02: a range that touched 1970-01-01 would find nothing
_CURSOR_MS = 2 * 86_400_000  # a source's number stands as many milliseconds after this: no clock is needed
_AT_ONCE = 20_000  # lines in one request


class _Samples(NamedTuple):
    """Samples of one series of ours, from every revision and quality."""

    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    revision: NDArray[np.int32]


_NONE = _Samples(np.zeros(0, np.int64), np.zeros(0, np.float64), np.zeros(0, np.uint8), np.zeros(0, np.int32))


class VictoriaMetricsStore:
    """TimeSeriesStore in a VictoriaMetrics server at a URL; this process is the only one that writes to it."""

    precision = 2e-12  # it keeps a block of numbers as decimals of twelve digits under one exponent

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._url = url
        self._lock = RLock()
        self._newest: dict[str, int] | None = None
        self._http = httpx.Client(base_url=url, timeout=timeout_s, trust_env=False)
        self._client = InfluxDBClient(url=url, token="-", org="-", timeout=round(timeout_s * 1000))  # noqa: S106  (none)
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def apply(self, points: Points, *, source: str, through: int) -> None:
        """Apply points, see them on disk, then note the source's number."""
        with self._lock:
            if through <= self.applied(source):
                return
            newest = self._load_newest()
            self._newest = None  # until all of this is known to have arrived
            lines = list(self._lines(points, newest))
            for start in range(0, len(lines), _AT_ONCE):
                self._write(lines[start : start + _AT_ONCE])
            if lines:
                self._on_disk()
            self._write([f"tweeling_applied,source={_escape(source)} through={through} {_CURSOR_MS + through}"])
            self._get("/internal/force_flush")
            self._newest = newest

    def applied(self, source: str) -> int:
        """The number through which a source is applied durably, 0 when never."""
        found = self._instant(f"max_over_time({_CURSOR}{{source={_quote(source)}}}[{_AGES}])")
        return max((round(float(value)) for _, value in found), default=0)

    def series(self, prefix: str = "") -> Sequence[str]:
        """Every series key that begins with `prefix`, sorted."""
        found = self._get("/api/v1/label/series/values", **{"match[]": _match(prefix)}, **_FOREVER)
        return sorted(found.json()["data"])

    def latest(self, prefix: str = "") -> Sequence[Point]:
        """The point with the latest time of every series under `prefix`, sorted by series."""
        times = self._by_label(f"tlast_over_time({_match(prefix)}[{_AGES}])")
        values = self._by_label(f"last_over_time({_match(prefix)}[{_AGES}])")
        newest: dict[str, tuple[int, int, Point]] = {}
        for (name, quality, revision), seconds in times.items():
            time_ms = round(float(seconds) * 1000)
            value = values.get((name, quality, revision))
            if value is not None and (time_ms, revision) >= newest.get(name, (-1, 0))[:2]:
                newest[name] = (time_ms, revision, Point(name, time_ms, float(value), quality))
        return [newest[name][2] for name in sorted(newest)]

    def window(self, series: str, *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate) -> Windows:
        """Aggregate [start, end) in windows aligned to multiples of step since 1970."""
        return reduce_windows(self.raw(series, start_ms=start_ms, end_ms=end_ms), step_ms, aggregate)

    def windows(
        self, series: Sequence[str], *, start_ms: int, end_ms: int, step_ms: int, aggregate: Aggregate
    ) -> Mapping[str, Windows]:
        """`window` of many series at one look."""
        return {
            name: self.window(name, start_ms=start_ms, end_ms=end_ms, step_ms=step_ms, aggregate=aggregate)
            for name in series
        }

    def raw(self, series: str, *, start_ms: int, end_ms: int) -> Points:
        """Every point of one series in [start, end), by time."""
        samples = self._samples(series, start_ms, end_ms)
        order = np.lexsort((samples.revision, samples.times))
        times = samples.times[order]
        order = order[np.append(np.diff(times) != 0, True)[: len(times)]]
        codes = np.zeros(len(order), dtype=np.int32)
        return Points((series,), codes, samples.times[order], samples.values[order], samples.quality[order])

    def find(self, points: Points) -> Found:
        """What stands at the series and times of some points."""
        found = Found(np.zeros(len(points), np.bool_), np.zeros(len(points)), np.zeros(len(points), np.uint8))
        for code in np.unique(points.series).tolist():
            rows = np.flatnonzero(points.series == code)
            times = points.times[rows]
            kept = self.raw(points.names[code], start_ms=int(times.min()), end_ms=int(times.max()) + 1)
            if len(kept):
                at = np.minimum(np.searchsorted(kept.times, times), len(kept) - 1)
                found.there[rows] = kept.times[at] == times
                found.values[rows], found.quality[rows] = kept.values[at], kept.quality[at]
        return found

    def count(self, prefix: str = "") -> int:
        """How many points the store holds under `prefix`."""
        first = _match(prefix, ',rev="0"')  # every moment has one point of revision 0, and only one
        found = self._instant(f"sum(count_over_time({first}[{_AGES}]))")
        return round(float(found[0][1])) if found else 0

    @staticmethod
    def kept() -> Kept:
        """Everything: how long is the server's own business."""
        return Kept()

    def close(self) -> None:
        """Let go of sockets; what was applied stays."""
        self._writer.close()  # type: ignore[no-untyped-call]  # the library's
        self._client.close()  # type: ignore[no-untyped-call]  # likewise
        self._http.close()

    def _lines(self, points: Points, newest: dict[str, int]) -> Iterator[str]:
        """Line protocol of the points, each under the revision that makes it stand; `newest` is brought up to date."""
        rows = last_wins(points)
        ends = np.append(np.flatnonzero(np.diff(rows.series)), len(rows) - 1).tolist() if len(rows) else []
        start = 0
        for end in ends:
            name = points.names[int(rows.series[start])]
            times = rows.times[start : end + 1]
            revisions = self._revisions(name, times[times <= newest.get(name, -1)])
            tag = f"tweeling,series={_escape(name)}"
            values, quality = rows.values[start : end + 1].tolist(), rows.quality[start : end + 1].tolist()
            for time_ms, value, mark in zip(times.tolist(), values, quality, strict=True):
                yield f"{tag},q={mark},rev={revisions.get(time_ms, 0)} value={value!r} {time_ms}"
            newest[name] = max(newest.get(name, -1), int(times[-1]))
            start = end + 1

    def _revisions(self, name: str, late: NDArray[np.int64]) -> dict[int, int]:
        """The next revision at every moment, among those of `late` points, that holds a point already."""
        if not len(late):
            return {}
        samples = self._samples(name, int(late[0]), int(late[-1]) + 1)
        taken: dict[int, int] = {}
        for time_ms, revision in zip(samples.times.tolist(), samples.revision.tolist(), strict=True):
            taken[time_ms] = max(taken.get(time_ms, 0), revision + 1)
        return taken

    def _load_newest(self) -> dict[str, int]:
        return {row.series: row.time_ms for row in self.latest()} if self._newest is None else self._newest

    def _samples(self, series: str, start_ms: int, end_ms: int) -> _Samples:
        parts = [_NONE]
        if start_ms < end_ms:
            match = f"{_POINT}{{series={_quote(series)}}}"
            for found in self._export(match, start=start_ms / 1000, end=(end_ms - 1) / 1000):
                times, values = np.array(found["timestamps"], np.int64), np.array(found["values"], np.float64)
                quality = np.full(len(times), int(found["metric"]["q"]), np.uint8)
                parts.append(
                    _Samples(times, values, quality, np.full(len(times), int(found["metric"]["rev"]), np.int32))
                )
        return _Samples(*map(np.concatenate, zip(*parts, strict=True)))

    def _export(self, match: str, *, start: float, end: float) -> list[dict[str, Any]]:
        text = self._get("/api/v1/export", **{"match[]": match}, start=start, end=end).text
        return [json.loads(line) for line in text.splitlines()]

    def _by_label(self, query: str) -> dict[tuple[str, int, int], str]:
        found = self._instant(query)
        return {(label["series"], int(label["q"]), int(label["rev"])): value for label, value in found}

    def _instant(self, query: str) -> list[tuple[dict[str, str], str]]:
        found = self._get("/api/v1/query", query=query, time=_FOREVER["end"]).json()["data"]["result"]
        return [(row["metric"], row["value"][1]) for row in found]

    def _on_disk(self) -> None:
        """Return when everything accepted so far is on the server's disk."""
        snapshot = self._get("/snapshot/create").json()["snapshot"]
        self._get("/snapshot/delete", snapshot=snapshot)

    def _get(self, path: str, **parameters: str | float) -> httpx.Response:
        with self._translated():
            return self._http.get(path, params=parameters).raise_for_status()

    def _write(self, lines: Sequence[str]) -> None:
        with self._translated():
            self._writer.write(bucket="-", record="\n".join(lines), write_precision=WritePrecision.MS)  # type: ignore[arg-type]  # its constants are strings

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as exc:
            said = f"{self._url}: VictoriaMetrics said {exc.response.status_code}: {exc.response.text[:200]}"
            raise (RejectedError(said) if exc.response.is_client_error else UnavailableError(said)) from exc
        except ApiException as exc:
            said = f"{self._url}: VictoriaMetrics said {exc.status}: {str(exc.body)[:200]}"
            raise (RejectedError(said) if 400 <= (exc.status or 500) < 500 else UnavailableError(said)) from exc
        except (httpx.HTTPError, urllib3.exceptions.HTTPError) as exc:
            raise UnavailableError(f"{self._url}: VictoriaMetrics does not answer: {type(exc).__name__}") from exc


def _match(prefix: str, extra: str = "") -> str:
    return f"{_POINT}{{series=~{_quote(re.escape(prefix) + '.*')}{extra}}}"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _escape(tag: str) -> str:
    return re.sub(r"([,= \\])", r"\\\1", tag)
