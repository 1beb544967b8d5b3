"""Time-series stores for tests: each kind opened on the same place as often as asked."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from threading import Thread

import pytest
from support_servers import free_port, need

from tweeling.adapters.duckdb import DuckDBStore, Keeping
from tweeling.adapters.influx import InfluxStore
from tweeling.adapters.influx_server import Access, InfluxServer
from tweeling.adapters.influx_setup import Kept, migrate
from tweeling.adapters.victoria import VictoriaMetricsStore
from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import TimeSeriesStore

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_767_225_600_000  # 2026-01-01T00:00Z

Opener = Callable[[], AbstractContextManager[TimeSeriesStore]]


def points(*rows: tuple[str, int, float] | tuple[str, int, float, int]) -> Points:
    """Columns of (series, time, value[, quality])."""
    return Points.of(Point(*row) for row in rows)


def duckdb_opener(folder: Path) -> Opener:
    """Open the same DuckDB file each time."""
    return lambda: closing(DuckDBStore(folder / "points.duckdb"))


class SealedStore(DuckDBStore):
    """A DuckDB store that seals everything after each apply, for ever."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, keeping=Keeping(seal_ms=HOUR, raw_ms=0))
        self._now_ms = T0 + 400 * DAY

    def apply(self, points: Points, *, source: str, through: int) -> None:
        super().apply(points, source=source, through=through)
        self._now_ms += DAY
        self.maintain(self._now_ms)


def sealed_opener(folder: Path) -> Opener:
    """Open the same DuckDB file each time, and seal after each apply."""
    return lambda: closing(SealedStore(folder / "points.duckdb"))


@contextmanager
def victoria_metrics(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a VictoriaMetrics of one's own, and kill it with -9 in the end; yield its URL."""
    url = f"http://127.0.0.1:{port or free_port()}"
    command = [
        need("victoria-metrics"),
        f"-storageDataPath={folder / 'victoria'}",
        f"-httpListenAddr={url.removeprefix('http://')}",
        "-retentionPeriod=100y",
        "-dedup.minScrapeInterval=1ms",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=128MB",
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        told: list[str] = []
        while not (told and "started VictoriaMetrics" in told[-1]):
            told.append(server.stderr.readline())
            assert told[-1], "".join(told)
        while not _listens(url):  # it says that it has started before it does
            assert server.poll() is None, "".join(told)
        drain = Thread(target=server.stderr.read)  # a full pipe would stop the server
        drain.start()
        try:
            yield url
        finally:
            server.kill()
            drain.join()


def _listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def victoria_opener(url: str) -> Opener:
    """Open a client of the same server each time."""
    return lambda: closing(VictoriaMetricsStore(url))


@contextmanager
def influxdb(kept: Kept = Kept(raw_days=0)) -> Iterator[Access]:  # noqa: B008 -- frozen
    """Fresh buckets in the InfluxDB 2 that the environment names, removed afterwards; without one, skip by name."""
    given = [os.environ.get(f"INFLUXDB_V2_{name}") for name in ("URL", "ORG", "TOKEN")]
    if not all(given):  # in CI too: no registry packages this server
        pytest.skip("no InfluxDB 2: INFLUXDB_V2_URL, INFLUXDB_V2_ORG and INFLUXDB_V2_TOKEN name one")
    url, org, token = map(str, given)
    access = Access(url, org, f"test_{uuid.uuid4().hex[:12]}", token)
    migrate(access, kept)
    try:
        yield access
    finally:
        migrate(access, Kept(raw_days=0))  # takes its tasks away
        server = InfluxServer(access)
        with closing(server), server.translated():
            buckets = server.client.buckets_api()
            for name in (access.bucket, access.hourly, access.places):
                buckets.delete_bucket(buckets.find_bucket_by_name(name))


def influx_opener(access: Access, raw_days: float = 0) -> Opener:
    """Open a client of the same buckets each time."""
    return lambda: closing(InfluxStore(access, raw_days=raw_days, now_ms=lambda: time.time_ns() // 1_000_000))
