"""A VictoriaMetrics server: what is asked of it over HTTP, and what its answers say."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.domain.write_precision import WritePrecision
from influxdb_client.rest import ApiException
from numpy.typing import NDArray

from tweeling.adapters.lineprotocol import BODY_LIMIT, PASSING, decoded
from tweeling.domain.hosts import on_loopback
from tweeling.errors import ConfigError, RefusedError, UnavailableError

POINT = "tweeling_value"
FOREVER = {"start": 0, "end": 36_500 * 86_400}  # a hundred years from 1970, in seconds
AGES = "36499d"  # looks back from there to 1970-01-02: a range that touched 1970-01-01 would find nothing


class Samples(NamedTuple):
    """Samples in columns: code of the series, time, value, quality, revision."""

    codes: NDArray[np.int64]
    times: NDArray[np.int64]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    revision: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[Samples]) -> Samples:
        """All of them, by series, time and revision."""
        codes = np.concatenate([np.zeros(0, np.int64), *(part.codes for part in parts)])
        times = np.concatenate([np.zeros(0, np.int64), *(part.times for part in parts)])
        values = np.concatenate([np.zeros(0), *(part.values for part in parts)])
        quality = np.concatenate([np.zeros(0, np.uint8), *(part.quality for part in parts)])
        revision = np.concatenate([np.zeros(0, np.int64), *(part.revision for part in parts)])
        order = np.lexsort((revision, times, codes))
        return cls(codes[order], times[order], values[order], quality[order], revision[order])


class Run(NamedTuple):
    """One run of the server's process: the second in which it began, its age when asked, and the connection that asked.

    A run that ends takes its connections along. One that was older than a second can have no namesake, should the
    connection be gone for another reason.
    """

    started_s: int
    age_s: int
    port: int

    def goes_on(self, later: Run) -> bool:
        """Whether it is the same run that was asked later."""
        return self.started_s == later.started_s and (self.port == later.port or self.age_s > 1)


class _Labels(msgspec.Struct):
    series: str = ""
    q: str = "0"
    rev: str = "0"


class _Exported(msgspec.Struct):
    metric: _Labels
    values: list[float]
    timestamps: list[int]


class _Row(msgspec.Struct):
    metric: _Labels
    value: tuple[float, float] = (0.0, 0.0)
    values: list[tuple[float, float]] = []


class _Result(msgspec.Struct):
    result: list[_Row]


class _Answer(msgspec.Struct):
    data: _Result


class _Listed(msgspec.Struct):
    data: list[_Labels]


class _Names(msgspec.Struct):
    data: list[str]


class _Snapshot(msgspec.Struct):
    snapshot: str


_EXPORT = msgspec.json.Decoder(_Exported)
_ANSWER = msgspec.json.Decoder(_Answer, strict=False)  # values come as text
_LISTED = msgspec.json.Decoder(_Listed)
_NAMES = msgspec.json.Decoder(_Names)
_SNAPSHOT = msgspec.json.Decoder(_Snapshot)


class Server:
    """VictoriaMetrics, a single server, at a URL; raises UnavailableError or RefusedError.

    ca_file: who signed its certificate, where that is nobody whom everybody knows; ConfigError where it is no PEM file.
    """

    def __init__(self, url: str, *, ca_file: Path | None, timeout_s: float) -> None:
        self._url = url
        try:
            trust = ssl.create_default_context(cafile=ca_file)
        except OSError as exc:
            raise ConfigError(f"cannot be read: {exc}", field="store.ca_file", source=str(ca_file)) from exc
        packed = {} if on_loopback(url) else {"Accept-Encoding": "gzip"}  # packing costs more than loopback does
        self._http = httpx.Client(
            base_url=url,
            verify=trust,
            timeout=timeout_s,
            trust_env=False,
            headers={"Accept-Encoding": "identity", **packed},
        )
        self._watch = httpx.Client(
            base_url=url,
            verify=trust,
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_connections=1, keepalive_expiry=60),
        )
        self._client = InfluxDBClient(
            url=url,
            token="-",  # noqa: S106  (none)
            org="-",
            timeout=round(timeout_s * 1000),
            ssl_ca_cert=str(ca_file) if ca_file else None,
        )
        self._writer = self._client.write_api(write_options=SYNCHRONOUS)

    def write(self, lines: bytes) -> None:
        """Hand in line protocol; it is accepted, not yet on disk, and not yet seen."""
        with self._translated():
            self._writer.write(bucket="-", record=lines, write_precision=WritePrecision.MS)  # type: ignore[arg-type]  # its constants are strings

    def show(self) -> None:
        """Return when queries see all that was accepted."""
        self._get("/internal/force_flush")

    def keep(self) -> None:
        """Return when all that was accepted is on the server's disk."""
        with self._translated():
            made = _SNAPSHOT.decode(self._get("/snapshot/create").content)
        self._get("/snapshot/delete", snapshot=made.snapshot)

    def answers(self) -> None:
        """Return where the server answers at all."""
        self._get("/health")

    def run(self) -> Run:
        """Which run of the server answers now."""
        with self._translated():
            page = self._watch.get("/metrics").raise_for_status()
        told = dict(re.findall(r"^(vm_app_start_timestamp|vm_app_uptime_seconds) (\d+)$", page.text, re.MULTILINE))
        if len(told) < 2:
            raise RefusedError(
                f"{self._url}: /metrics does not tell since when this server runs",
                field="store.url",
                remedy="Name a single VictoriaMetrics itself, not what stands before it",
            )
        port = page.extensions["network_stream"].get_extra_info("client_addr")[1]
        return Run(int(told["vm_app_start_timestamp"]), int(told["vm_app_uptime_seconds"]), port)

    def names(self, match: str) -> list[str]:
        """The series that match."""
        with self._translated():
            found = _NAMES.decode(self._post("/api/v1/label/series/values", {"match[]": match, **FOREVER}))
        return [decoded(name) for name in found.data]

    def parts(self, match: str, start_ms: int, end_ms: int) -> list[tuple[str, int]]:
        """Series and revision of every quality and revision that has samples in [start, end), at least."""
        asked = {"match[]": match, "start": start_ms / 1000, "end": (end_ms - 1) / 1000}
        with self._translated():
            found = _LISTED.decode(self._post("/api/v1/series", asked))
        return [(decoded(each.series), int(each.rev)) for each in found.data]

    def samples(self, match: str, codes: dict[str, int], start_ms: int, end_ms: int) -> Samples:
        """Every sample in [start, end) of series that match, under their codes; in no order."""
        asked = {"match[]": match, "start": start_ms / 1000, "end": (end_ms - 1) / 1000}
        with self._translated():
            rows = _EXPORT.decode_lines(self._post("/api/v1/export", asked))
        sizes = [len(row.values) for row in rows]
        return Samples(
            np.repeat(np.array([codes[decoded(row.metric.series)] for row in rows], np.int64), sizes),
            np.fromiter((time for row in rows for time in row.timestamps), np.int64, sum(sizes)),
            np.fromiter((value for row in rows for value in row.values), np.float64, sum(sizes)),
            np.repeat(np.array([int(row.metric.q) for row in rows], np.uint8), sizes),
            np.repeat(np.array([int(row.metric.rev) for row in rows], np.int64), sizes),
        )

    def now(self, query: str, at_s: float = FOREVER["end"]) -> dict[tuple[str, int, int], float]:
        """A query's value at a moment, by series, quality and revision."""
        with self._translated():
            rows = _ANSWER.decode(self._post("/api/v1/query", {"query": query, "time": at_s, "nocache": 1})).data.result
        return {(decoded(row.metric.series), int(row.metric.q), int(row.metric.rev)): row.value[1] for row in rows}

    def grid(
        self, query: str, first_ms: int, last_ms: int, step_ms: int
    ) -> Iterator[tuple[str, NDArray[np.int64], NDArray[np.float64]]]:
        """A query's values at first, first + step … last; of every series its times and values."""
        asked = {"query": query, "start": first_ms / 1000, "end": last_ms / 1000, "step": f"{step_ms}ms", "nocache": 1}
        with self._translated():
            rows = _ANSWER.decode(self._post("/api/v1/query_range", asked)).data.result
        for row in rows:
            pairs = np.fromiter(chain.from_iterable(row.values), np.float64, 2 * len(row.values))
            yield decoded(row.metric.series), np.rint(pairs[::2] * 1000).astype(np.int64), pairs[1::2]

    def close(self) -> None:
        """Let go of sockets."""
        self._writer.close()
        self._client.close()
        self._watch.close()
        self._http.close()

    def _get(self, path: str, **parameters: str | float) -> httpx.Response:
        with self._translated():
            return self._http.get(path, params=parameters).raise_for_status()

    def _post(self, path: str, asked: dict[str, Any]) -> bytes:
        """Ask by a form: in an address, a few hundred names would not fit."""
        with self._translated():
            return self._http.post(path, data=asked).raise_for_status().content

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPStatusError as exc:
            said = f"{self._url}: VictoriaMetrics said {exc.response.status_code}: {exc.response.text[:200]}"
            raise _classed(exc.response.status_code, said) from exc
        except ApiException as exc:
            said = f"{self._url}: VictoriaMetrics said {exc.status}: {str(exc.body)[:200]}"
            raise _classed(exc.status or 500, said) from exc
        except msgspec.MsgspecError as exc:
            raise UnavailableError(f"{self._url}: VictoriaMetrics gave an answer that is not one: {exc}") from exc
        except (httpx.HTTPError, urllib3.exceptions.HTTPError) as exc:
            raise UnavailableError(
                f"{self._url}: VictoriaMetrics does not answer: {str(exc) or type(exc).__name__}"
            ) from exc


def _classed(status: int, said: str) -> UnavailableError:
    """A no that asking again does not change, until somebody mends something, or one for the moment only."""
    if not 400 <= status < 500 or status in PASSING:
        return UnavailableError(said)
    remedy = BODY_LIMIT if status == 413 else "Name a single VictoriaMetrics itself there, and see what its log says"
    return RefusedError(said, field="store.url", remedy=remedy)
