"""`tweeling bench ingest`: from publish to acknowledged and queryable, broker, publisher and hub on the same cores."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.cli.bench.report import Report, Row, at_least, at_most
from tweeling.cli.bench.rig import Plan, Rig, flags
from tweeling.cli.supervisor import Supervisor
from tweeling.domain.points import Points

_MESSAGES_GOAL = {1: 5000.0, 5: 5000.0}  # a second
_POINTS_GOAL = {5: 25_000.0, 100: 300_000.0}
_OF_NULL_GOAL = 0.7
_PROMISED = 5000.0  # messages a second, of five records
_PACED = 5100.0  # what is offered, so that what is promised can be seen
_STORE_ROWS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """seconds: of each measurement; sustained: of the one at 5,000 messages a second."""

    plan: Plan
    packs: tuple[int, ...] = (1, 5, 100)
    seconds: float = 10.0
    sustained: float = 30.0
    window: int = 200
    profile: bool = False


def run(options: Options, report: Report) -> int:
    """Measure everything; return 0 when every goal was reached, 1 else."""
    plan = options.plan
    with tempfile.TemporaryDirectory(prefix="tweeling-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        report.say(f"broker {plan.broker}, MQTT {plan.protocol}, {plan.nodes} nodes, {plan.shards} workers")
        store = _store_rate(folder)
        for records in options.packs:
            report.add(_fastest(folder / f"pack{records}", options, records, store))
        if 5 in options.packs:
            report.add(_paced(folder / "paced", options))
        report.add(_agent(folder / "agent", options))
    return 0 if report.kept else 1


def _fastest(folder: Path, options: Options, records: int, store: float) -> Iterator[Row]:
    """As fast as it goes: each node keeps a window of messages that the hub has not acknowledged."""
    send = flags(records=records, window=options.window, seconds=options.seconds)
    with Supervisor(folder / "log") as children:
        rig = Rig(folder / "null", options.plan, children)
        rig.start_broker()
        with rig.measured("null") as null:
            rig.load("publish", *send, "--until", "broker")
    with Supervisor(folder / "log") as children:
        rig = Rig(folder / "hub", options.plan, children)
        rig.start_broker()
        with rig.measured("hub", profile=options.profile) as hub:
            sent = rig.load("publish", *send)
    counted = null["handled"] / max(null["seconds"], 1e-9)
    messages = sent["messages_per_s"]
    name = f"{options.plan.broker}.pack{records}"
    yield at_least(f"{name}.messages", messages, "1/s", _MESSAGES_GOAL.get(records), limit=counted)
    goal = _OF_NULL_GOAL if records <= 5 else None
    yield at_least(f"{name}.messages_of_null_subscriber", messages / counted, "ratio", goal)
    yield at_least(f"{name}.points", messages * records, "1/s", _POINTS_GOAL.get(records), limit=store)
    yield at_most(f"{name}.publish_to_ack_p99", sent["p99_ms"], "ms", None)
    yield from _truth(name, sent, hub, records)
    yield at_most(f"{name}.hub_cpu_per_message", hub["cpu_s"] / max(hub["handled"], 1) * 1e6, "us", None)
    if options.profile:
        (Path.cwd() / f"profile-{name}.txt").write_text(hub["profile"])


def _paced(folder: Path, options: Options) -> Iterator[Row]:
    """At the promised rate, for as long as asked: how soon a reading can be asked for."""
    send = flags(records=5, window=10_000, rate=_PACED, seconds=options.sustained)
    with Supervisor(folder / "log") as children:
        rig = Rig(folder, options.plan, children)
        rig.start_broker()
        with rig.measured("hub") as hub:
            sent = rig.load("publish", *send)
    name = f"{options.plan.broker}.sustained"
    yield at_least(f"{name}.messages", sent["messages_per_s"], "1/s", _PROMISED)
    yield at_least(f"{name}.points", sent["messages_per_s"] * 5, "1/s", _PROMISED * 5)
    yield at_least(f"{name}.seconds", sent["seconds"], "s", None)
    yield at_most(f"{name}.publish_to_queryable_p50", hub["queryable_p50_ms"], "ms", 50.0)
    yield at_most(f"{name}.publish_to_queryable_p99", hub["queryable_p99_ms"], "ms", 500.0)
    yield at_most(f"{name}.publish_to_ack_p50", sent["p50_ms"], "ms", None)
    yield at_most(f"{name}.publish_to_ack_p99", sent["p99_ms"], "ms", None)
    yield at_most(f"{name}.hub_rss", hub["rss_mb"], "MB", None)
    yield from _truth(name, sent, hub, 5)


def _agent(folder: Path, options: Options) -> Iterator[Row]:
    """The whole agent with its outbox, as fast as it goes."""
    with Supervisor(folder / "log") as children:
        rig = Rig(folder, options.plan, children)
        rig.start_broker()
        with rig.measured("hub") as hub:
            sent = rig.load("agent", *flags(records=100, window=100, seconds=options.seconds, folder=str(folder)))
    name = f"{options.plan.broker}.agent"
    yield at_least(f"{name}.readings", sent["records_per_s"], "1/s", 5000.0)
    yield at_most(f"{name}.publish_to_ack_p99", sent["p99_ms"], "ms", None)
    yield from _truth(name, sent, hub, 100)


def _truth(name: str, sent: dict[str, Any], hub: dict[str, Any], records: int) -> Iterator[Row]:
    """Nothing missing, nothing double: what the publisher sent against what the journal holds."""
    yield at_most(f"{name}.lost_or_double", abs(hub["readings"] - sent["messages"] * records), "readings", 0.0)


def _store_rate(folder: Path) -> float:
    """How many rows a second the time-series store takes by itself, in batches of 5,000."""
    store = DuckDBStore(folder / "raw.duckdb")
    names = tuple(f"H1/c{number:03}/fillingLevel" for number in range(100))
    rows = 5000
    series = (np.arange(rows) % len(names)).astype(np.int32)
    values, quality = np.linspace(0, 1, rows), np.zeros(rows, dtype=np.uint8)
    began = time.perf_counter()
    for number in range(_STORE_ROWS // rows):
        times = np.arange(rows, dtype=np.int64) + (1_750_000_000_000 + number * rows)
        store.apply(Points(names, series, times, values, quality), source="bench", through=number + 1)
    store.applied("bench")  # all of it is in the file
    elapsed = time.perf_counter() - began
    store.close()
    return _STORE_ROWS / elapsed
