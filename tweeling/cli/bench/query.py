"""`tweeling bench query`: what a time-series store answers, how soon, from how many bytes; and how far it follows."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import duckdb
import numpy as np
import pyarrow as pa

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.memory import MemoryStore
from tweeling.cli.bench.region import DAY_MS, Region
from tweeling.cli.bench.report import Report, Row, at_least, at_most
from tweeling.cli.bench.rig import Plan, Rig, flags, victoria_metrics
from tweeling.cli.supervisor import Supervisor
from tweeling.domain.points import Points
from tweeling.ports.timeseries import Aggregate, TimeSeriesStore
from tweeling.services.keeping import Maintained

_HOUR_MS = 3_600_000
_SOURCE = "bench"
_LATEST_MS, _YEAR_MS, _RAW_MS = 20.0, 150.0, 20.0
_BYTES = 3.5
_LAG_MS = 1000.0
_OF_RAW = 0.5
_PROMISED = 5000.0  # messages a second, of five readings
_BATCH = 5_000
_COLD = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """points: how many the store holds. repeats: of each warm question. appended: points added to those it holds.

    seconds: at 5,000 messages a second into a whole hub, 0 for none.
    """

    store: Literal["duckdb", "victoriametrics", "memory"]
    points: int
    repeats: int
    seconds: float
    appended: int


class Opened:
    """One store of its kind, to be opened as often as asked."""

    def __init__(self, kind: str, folder: Path, url: str) -> None:
        self._kind, self.folder, self._url = kind, folder, url
        self.keeps = kind != "memory"

    def open(self) -> TimeSeriesStore:
        """Open it on what it holds."""
        if self._kind == "duckdb":
            return DuckDBStore(self.folder / "points.duckdb")
        if self._kind == "victoriametrics":
            from tweeling.adapters.victoria import VictoriaMetricsStore

            return VictoriaMetricsStore(self._url)
        return MemoryStore()

    def size(self) -> int:
        """Bytes of all its files."""
        return sum(size for _, size in self._files())

    def chill(self) -> None:
        """Have the system forget what it read of the files."""
        for path, _ in self._files():
            with suppress(FileNotFoundError), path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def _files(self) -> Iterator[tuple[Path, int]]:
        for place, _, names in os.walk(self.folder):
            for path in (Path(place, name) for name in names):
                with suppress(FileNotFoundError):  # a server merges its files while we look
                    yield path, path.stat().st_size


def run(options: Options, report: Report) -> int:
    """Measure everything; return 0 when every goal was reached, 1 else."""
    region = Region(points=options.points)
    with tempfile.TemporaryDirectory(prefix="tweeling-bench-", dir=Path.cwd()) as name, ExitStack() as closing:
        opened = closing.enter_context(_opened(options.store, Path(name)))
        every = f"{region.every_s:,.0f} s"
        report.say(
            f"store {options.store}, {options.points:,} points, {len(region.names):,} series, each every {every}"
        )
        report.add(_answers(opened, options, region, report))
        if options.seconds:
            report.add(_follows(Path(name) / "rig", options))
    return 0 if report.kept else 1


@contextmanager
def _opened(kind: str, folder: Path) -> Iterator[Opened]:
    place = folder / "store"
    place.mkdir()
    with Supervisor(folder / "log") as children:
        url = victoria_metrics(children, place) if kind == "victoriametrics" else ""
        yield Opened(kind, place, url)


def _answers(opened: Opened, options: Options, region: Region, report: Report) -> Iterator[Row]:
    """Fill the store, ask it, and give it more."""
    store = opened.open()
    try:
        through = _fill(store, region)
        count = store.count()
        if isinstance(store, Maintained):
            store.maintain(region.end_ms)
        yield _at_least("points", count, "points", None)
        questions = _questions(region)
        for name, (ask, goal) in questions.items():
            report.say(f"  asking for {name}, {options.repeats} times")
            yield from _warm(name, partial(ask, store), options.repeats, goal)
        if opened.keeps:
            for name, (ask, _) in questions.items():
                took = []
                for _ in range(min(_COLD, options.repeats)):
                    store.close()
                    opened.chill()
                    store = opened.open()
                    took.append(_timed(partial(ask, store)))
                yield _at_most(f"{name}_cold", max(took), "ms", None)
            yield _at_most("bytes_a_point", opened.size() / store.count(), "bytes", _BYTES)
        yield from _append(store, region, through, options)
    finally:
        store.close()


def _fill(store: TimeSeriesStore, region: Region) -> int:
    number = 0
    for number, points in enumerate(region.batches(), start=1):
        store.apply(points, source=_SOURCE, through=number)
    store.applied(_SOURCE)  # all of it is kept
    return number


_Question = Callable[[TimeSeriesStore], object]


def _questions(region: Region) -> dict[str, tuple[_Question, float]]:
    zones = region.names[: region.zones]
    start, end = region.end_ms - 365 * DAY_MS, region.end_ms
    day = end - 10 * DAY_MS

    def latest(store: TimeSeriesStore) -> None:
        _check(len(store.latest()), len(region.names))

    def year(store: TimeSeriesStore) -> None:
        found = store.windows(zones, start_ms=start, end_ms=end, step_ms=_HOUR_MS, aggregate=Aggregate.MEAN)
        expected = min(365 * 24, 365 * 86_400 / region.every_s)
        _check(min(len(found[name].times) for name in zones), round(expected * 0.6))

    def raw(store: TimeSeriesStore) -> None:
        _check(len(store.raw(zones[7], start_ms=day, end_ms=day + DAY_MS)), round(86_400 / region.every_s * 0.6))

    return {
        "latest_of_all_series": (latest, _LATEST_MS),
        "hourly_year_of_50_zones": (year, _YEAR_MS),
        "raw_day_of_a_zone": (raw, _RAW_MS),
    }


def _check(found: int, least: int) -> None:
    """An answer that is not all there is no answer, however soon it came."""
    if found < least:
        raise AssertionError(f"{found} found where {least} were to be")


def _warm(name: str, ask: Callable[[], object], repeats: int, goal: float) -> Iterator[Row]:
    ask()
    took = [_timed(ask) for _ in range(repeats)]
    yield _at_most(f"{name}_p50", float(np.quantile(took, 0.5)), "ms", None)
    yield _at_most(f"{name}_p99", float(np.quantile(took, 0.99)), "ms", goal)


def _timed(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return (time.perf_counter() - began) * 1000


def _append(store: TimeSeriesStore, region: Region, through: int, options: Options) -> Iterator[Row]:
    """New points as a projector brings them, a few thousand at a time; beside DuckDB, the same columns without us."""
    batches = list(_new_points(region, options.appended))
    began = time.perf_counter()
    for number, points in enumerate(batches, start=through + 1):
        store.apply(points, source=_SOURCE, through=number)
    store.applied(_SOURCE)
    rate = options.appended / (time.perf_counter() - began)
    if options.store != "duckdb":
        yield _at_least("append", rate, "points/s", None)
        return
    raw, much = (_raw_rate(batches, at_once) for at_once in (1, 20))
    yield _at_least("append", rate, "points/s", None, limit=raw)
    yield _at_least("append_of_raw", rate / raw, "ratio", _OF_RAW)
    yield _at_least("append_of_raw_in_transactions_of_100,000", rate / much, "ratio", None)


def _new_points(region: Region, count: int) -> Iterator[Points]:
    names = region.names
    for start in range(0, count, _BATCH):
        at = np.arange(start, min(start + _BATCH, count))
        values = (at * 7 % 1000) / 1000
        quality = np.zeros(len(at), dtype=np.uint8)
        codes = (at % len(names)).astype(np.int32)
        yield Points(names, codes, region.end_ms + at // len(names) * 1000, values, quality)


def _raw_rate(batches: list[Points], at_once: int) -> float:
    """Rows a second that DuckDB itself appends to a file, so many batches in a transaction."""
    with tempfile.TemporaryDirectory(prefix="tweeling-bench-", dir=Path.cwd()) as name, ExitStack() as closing:
        connection = closing.enter_context(duckdb.connect(Path(name) / "raw.duckdb"))
        connection.execute("CREATE TABLE point (series INTEGER, t BIGINT, value DOUBLE, quality UTINYINT)")
        began = time.perf_counter()
        for start in range(0, len(batches), at_once):
            connection.begin()
            for each in batches[start : start + at_once]:
                columns = {"series": each.series, "t": each.times, "value": each.values, "quality": each.quality}
                connection.register("incoming", pa.table(columns))
                connection.execute("INSERT INTO point SELECT * FROM incoming")
                connection.unregister("incoming")
            connection.commit()
        took = time.perf_counter() - began
    return sum(map(len, batches)) / took


def _follows(folder: Path, options: Options) -> Iterator[Row]:
    """At the promised rate, broker and publisher beside it: how soon after its own time a reading can be asked for."""
    with Supervisor(folder / "log") as children:
        url = victoria_metrics(children, folder / "store") if options.store == "victoriametrics" else ""
        plan = Plan(broker="nats", protocol="auto", nodes=4, store=options.store, store_url=url)
        rig = Rig(folder, plan, children)
        rig.start_broker()
        with rig.measured("hub") as hub:
            sent = rig.load("publish", *flags(records=5, window=10_000, rate=_PROMISED * 1.02, seconds=options.seconds))
    yield _at_least("projected_messages", sent["messages_per_s"], "1/s", _PROMISED)
    yield _at_most("publish_to_queryable_p50", hub["queryable_p50_ms"], "ms", None)
    yield _at_most("publish_to_queryable_p99", hub["queryable_p99_ms"], "ms", _LAG_MS)
    yield _at_most("lost_or_double", abs(hub["readings"] - sent["messages"] * 5), "readings", 0.0)


def _at_least(metric: str, value: float, unit: str, goal: float | None, *, limit: float | None = None) -> Row:
    return at_least(metric, value, unit, goal, limit=limit, bench="query")


def _at_most(metric: str, value: float, unit: str, goal: float | None) -> Row:
    return at_most(metric, value, unit, goal, bench="query")
