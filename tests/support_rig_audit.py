"""What must be true of a rig at the end: everything that was ever durable at an agent is in the stores, once."""

from __future__ import annotations

import csv
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from support_rig import Edge, Rig

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.adapters.victoria import VictoriaMetricsStore
from tweeling.domain.telemetry import Movement
from tweeling.ports.journal import Batch, NodeEpoch, Settled
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.simulation import Load, Simulator
from tweeling.wire import topics
from tweeling.wire.envelope import decode
from tweeling.wire.ranges import SeqSet

_FAR_MS = 2**46  # later than any reading of a test
_ALL_TIME = {"start_ms": 0, "end_ms": 2**53}


class Weighing(NamedTuple):
    """A weighing as its scale knows it."""

    hub: str
    time_ms: int
    zone: str
    direction: str
    net_g: int
    ticket: str


class Reading(NamedTuple):
    """A reading as its sensor knows it."""

    series: str
    time_ms: int
    value: float


@dataclass(slots=True)
class Truth:
    """What became durable at the agents, known without asking anything that is under test."""

    readings: Counter[Reading] = field(default_factory=Counter)
    weighings: Counter[Weighing] = field(default_factory=Counter)
    samples: Counter[str] = field(default_factory=Counter)  # by node

    def add(self, node: str, readings: Iterable[Reading], weighings: Iterable[Weighing] = ()) -> None:
        """Count more of a node's."""
        before = self.readings.total() + self.weighings.total()
        self.readings.update(readings)
        self.weighings.update(weighings)
        self.samples[node] += self.readings.total() + self.weighings.total() - before

    def without(self, other: Truth) -> Truth:
        """What is left without some that are all in it."""
        assert other.readings <= self.readings
        assert other.weighings <= self.weighings
        return Truth(self.readings - other.readings, self.weighings - other.weighings, self.samples - other.samples)

    def untimed(self) -> Truth:
        """The same, whenever it was."""
        return Truth(_untimed(self.readings), _untimed(self.weighings), self.samples)


def truth_of(edges: Sequence[Edge]) -> Truth:
    """Tell again what the drivers of these agents told, up to the place that each kept with its last sample."""
    truth = Truth()
    for edge in edges:
        cursors = _cursors(edge.outbox)
        for driver in edge.drivers:
            if driver["kind"] == "replay":
                truth.add(edge.node.hub, recorded(Path(str(driver["file"])), edge.node.hub))
            else:
                name = f"simulate:{edge.node.hub}:{driver['seed']}:{driver['start_ms']}"
                told = list(_story(edge.node.hub, driver, int(cursors[name])))
                truth.add(
                    edge.node.hub,
                    (row for row in told if isinstance(row, Reading)),
                    (row for row in told if isinstance(row, Weighing)),
                )
    return truth


def recorded(file: Path, hub: str) -> Iterator[Reading]:
    """The readings of a recording (unit /)."""
    with file.open(newline="") as table:
        for row in csv.DictReader(table):
            yield Reading(f"{hub}/{row['sensor']}/fillingLevel", round(float(row["time"]) * 1000), float(row["value"]))


def refused_of(rig: Rig) -> Truth:
    """What was refused, read from the bytes in quarantine; the hub is stopped."""
    truth = Truth()
    with closing(SqliteJournal(rig.journal)) as journal:
        seen: set[tuple[NodeEpoch, int]] = set()
        for row in journal.quarantine(2**31):
            assert row.suspect.reason
            topic = topics.parse(row.suspect.topic)
            came = decode(topic, row.suspect.payload, now_ms=_FAR_MS, skew_ms=0)
            who = NodeEpoch(came.hub, came.node, came.epoch)
            mine = {seq for seq in came.accepted & journal.settled(who).refused if (who, seq) not in seen}
            seen |= {(who, seq) for seq in mine}
            rows = zip(came.seqs, came.names, came.times, came.values, strict=True)
            truth.add(
                came.hub,
                [Reading(f"{came.hub}/{name}", at, value) for seq, name, at, value in rows if seq in mine],
                [_weighing(each) for each in came.movements if each.identity.seq in mine],
            )
    return truth


def audit(
    rig: Rig,
    truth: Truth,
    *,
    refused: Truth | None = None,
    replayed: Truth | None = None,
    settled: Mapping[NodeEpoch, Settled] | None = None,
    quarantined: bool = False,
    timed: bool = True,
) -> None:
    """Compare everything at rest with the truth. Agents and hub are stopped; the store is up.

    refused: what agents were told is refused, beside the truth. replayed: what they were told so, and the truth holds.
    settled: what the journal must know of nodes without an agent. quarantined: whether there may be more in quarantine.
    timed: whether the truth knows times; an agent whose clock is set back tells what happens by that clock.
    """
    seen = Counter if timed else _untimed
    truth = truth if timed else truth.untimed()
    refused, replayed = refused or Truth(), replayed or Truth()
    for edge in rig.edges:
        hub = edge.node.hub
        told = refused.samples[hub] + replayed.samples[hub]
        _check_outbox(edge, truth.samples[hub] - replayed.samples[hub], told)
    _check_files(rig)
    with closing(SqliteJournal(rig.journal)) as journal:
        counts = journal.counts()
        for edge in rig.edges:
            known = journal.settled(NodeEpoch(*edge.node, _epoch(edge.outbox)))
            _check_ranges(edge, known, refused.samples[edge.node.hub])
        for node, expected in (settled or {}).items():
            assert journal.settled(node) == expected, node
        batches = list(_batches(journal))
    readings = seen(Counter(Reading(*row) for batch in batches for row in _points(batch)))
    movements = seen(Counter(_weighing(row) for batch in batches for row in batch.movements))
    _same("readings in the journal", readings, truth.readings)
    _same("weighings in the journal", movements, truth.weighings)
    assert (counts["readings"], counts["movements"]) == (truth.readings.total(), truth.weighings.total())
    if not quarantined:
        assert counts["refused"] == refused.samples.total()
        assert not counts["quarantined"] or refused.samples or replayed.samples
    assert counts["dropped"] == 0
    _check_facts(rig, truth, seen)
    with _open_store(rig) as store:
        check_store(store, truth, seen)
    fsck(rig)


def check_store(store: TimeSeriesStore, truth: Truth, seen: Callable[[Any], Any] = Counter) -> None:
    """Every reading stands in the time-series store once, and nothing else does."""
    stored: Counter[Reading] = Counter()
    for name in store.series():
        found = store.raw(name, **_ALL_TIME)
        stored.update(Reading(name, *row) for row in zip(found.times.tolist(), found.values.tolist(), strict=True))
    _same("readings in the store", seen(stored), truth.readings)
    assert store.count() == truth.readings.total()


def fsck(rig: Rig) -> None:
    """The product's own auditor agrees."""
    command = [sys.executable, "-m", "tweeling", "fsck", "--data", str(rig.installation.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def check_database(path: Path) -> None:
    """SQLite finds nothing wrong in a file."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], path
        assert db.execute("PRAGMA foreign_key_check").fetchall() == [], path


def _check_outbox(edge: Edge, committed: int, refused: int) -> None:
    check_database(edge.outbox)
    assert (edge.held(), edge.durable()) == (0, committed + refused), f"{edge.program.name}: held, and numbers given"
    with closing(sqlite3.connect(edge.outbox)) as db:
        counts = db.execute("SELECT sum(queued), sum(committed), sum(refused), sum(dropped) FROM source").fetchone()
        assert counts == (committed + refused, committed, refused, 0), (edge.program.name, counts, committed, refused)
        assert db.execute("SELECT count(*) FROM dropped").fetchone() == (0,)


def _check_files(rig: Rig) -> None:
    for path in (rig.journal, rig.installation.folder / "records.db"):
        check_database(path)


def _check_ranges(edge: Edge, settled: Settled, refused: int) -> None:
    whole = SeqSet(((1, edge.durable()),))
    assert settled.committed | settled.refused == whole, f"{edge.program.name}: {whole - settled.committed} are missing"
    assert (len(settled.refused), len(settled.refused & settled.committed)) == (refused, 0)
    assert not settled.dropped, settled.dropped


def _check_facts(rig: Rig, truth: Truth, seen: Callable[[Any], Any]) -> None:
    records = open_records(f"sqlite:///{rig.installation.folder / 'records.db'}")
    with closing(records):
        facts = SqlFacts(records)
        rows = [row for _, row in facts.movements(limit=2**31)]
        balances = facts.balances()
    assert len({row.identity for row in rows}) == len(rows)
    _same("weighings in the facts", seen(Counter(map(_weighing, rows))), truth.weighings)
    grams: dict[tuple[str, str], Counter[str]] = {}
    for row in truth.weighings.elements():
        grams.setdefault((row.hub, row.zone), Counter())[row.direction] += row.net_g
    told: dict[tuple[str, str], Counter[str]] = {}
    for balance in balances:
        told.setdefault((balance.hub, balance.zone), Counter()).update({"in": balance.in_g, "out": balance.out_g})
    assert {key: +sums for key, sums in told.items()} == grams, "grams per zone"


def _story(hub: str, driver: Mapping[str, object], until_ms: int) -> Iterator[Reading | Weighing]:
    world = Simulator(int(str(driver["seed"])), hub, int(str(driver["start_ms"])))
    every_ms = round(float(str(driver["every_s"])) * 1000)
    for item in world.observe(int(str(driver["from_ms"])), until_ms, every_ms=every_ms):
        if isinstance(item, Load):
            yield Weighing(hub, item.time_ms, item.zone, item.direction, item.net_g, item.ticket)
        else:
            yield Reading(f"{hub}/{item.zone}/fillingLevel", item.time_ms, item.level)


def _weighing(row: Movement) -> Weighing:
    return Weighing(row.identity.hub, row.time_ms, row.zone, row.direction.value, row.net_g, row.ticket or "")


def _points(batch: Batch) -> Iterator[tuple[str, int, float]]:
    points = batch.points
    for code, time_ms, value in zip(points.series.tolist(), points.times.tolist(), points.values.tolist(), strict=True):
        yield points.names[code], time_ms, value


def _batches(journal: SqliteJournal) -> Iterator[Batch]:
    after = 0
    while found := journal.read(after, 500):
        yield from found
        after = found[-1].number
    assert after == journal.last()


def _cursors(outbox: Path) -> dict[str, str]:
    with closing(sqlite3.connect(outbox)) as db:
        return dict(db.execute("SELECT name, cursor FROM source"))


def _epoch(outbox: Path) -> str:
    with closing(sqlite3.connect(outbox)) as db:
        return str(db.execute("SELECT epoch FROM outbox").fetchone()[0])


def _untimed(counted: Counter[Any]) -> Counter[Any]:
    untimed: Counter[Any] = Counter()
    for row, count in counted.items():
        untimed[row._replace(time_ms=0)] += count
    return untimed


def _same(
    what: str, found: Counter[Reading] | Counter[Weighing], expected: Counter[Reading] | Counter[Weighing]
) -> None:
    missing, double = expected - found, found - expected  # type: ignore[operator]  # of one kind
    assert not missing and not double, (  # noqa: PT018 -- one comparison, told whole
        f"{what}: {missing.total()} missing, {double.total()} too many of {expected.total()}; "
        f"missing {list(missing)[:3]}, too many {list(double)[:3]}"
    )


@contextmanager
def _open_store(rig: Rig) -> Iterator[TimeSeriesStore]:
    store: TimeSeriesStore
    if rig.store_url is None:
        store = DuckDBStore(rig.installation.folder / "points.duckdb")
    else:
        store = VictoriaMetricsStore(rig.store_url)
    with closing(store):
        yield store
