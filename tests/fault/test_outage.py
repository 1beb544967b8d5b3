"""Fault 3: an hour without hub or broker fills the outbox with small messages; then all of it comes, and news first."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from support_broker import until
from support_rig import Edge, Node, Rig, recording, replay, rig, simulate
from support_rig_audit import audit, truth_of
from support_rig_program import Program
from support_rig_watch import Watcher

EVERY_MS = 200  # a live reading of each zone
GOAL_PER_S = 2000
VISIBLE_S = 2.0
ZONE = "H1-A"


class Drain(NamedTuple):
    """How a backlog went. slowest_s: the longest time from a live reading's making to its being shown."""

    messages: int
    seconds: float
    slowest_s: float

    @property
    def per_s(self) -> float:
        return self.messages / self.seconds

    def __str__(self) -> str:
        rate = f"{self.messages:,} messages in {self.seconds:.1f} s = {self.per_s:,.0f}/s"
        return f"{rate}, news shown after {self.slowest_s:.2f} s at most"


def starve(folder: Path, broker: str, down: str, rows: int) -> Drain:
    """Fill an outbox while a part is down; watch the drain; audit the end."""
    with rig(folder, broker=broker, nodes=[Node("H1", "gw1")]) as made:
        (edge,) = made.edges
        now_ms = time.time_ns() // 1_000_000
        news = simulate(seed=3, every_s=EVERY_MS / 1000) | {"start_ms": now_ms - 86_400_000, "from_ms": now_ms}
        table = recording(folder / "hour.csv", rows)
        top = {"pack": 1, "messages": 100, "backlog": rows + 1000}
        edge.write([replay(table), news], top=top)
        made.start_without_agents()
        made.hub.wait_line("broker.connected")  # so that the broker knows the hub's session
        (made.hub if down == "hub" else made.broker).kill()
        edge.program.start()
        edge.program.wait_line("driver.finished")
        assert edge.held() >= rows, "the outage holds everything back"
        sign = (made.hub, "broker.connected") if down == "hub" else (edge.program, "broker.back")
        drain = _drain(made, edge, *sign)
        made.finish()
        audit(made, truth_of(made.edges))
        sys.stdout.write(f"\n{broker}, {down} down: {drain}\n")
        return drain


def _drain(made: Rig, edge: Edge, returning: Program, sign: str) -> Drain:
    before = edge.held()
    with Watcher(made.installation.folder, [ZONE], made.hub) as watcher:
        made.start()
        returning.wait_line(sign)
        begin = time.time()
        until(lambda: edge.held() < 100, "the backlog is drained", seconds=600)
        end = time.time()
        until(lambda: watcher.newest[ZONE] >= end * 1000, "the last news of the drain are shown")
        made_ms = range(-(-round(begin * 1000) // EVERY_MS) * EVERY_MS, round(end * 1000), EVERY_MS)
        slowest = max(watcher.waits_s(ZONE, made_ms))
    return Drain(before, end - begin, slowest)


@pytest.mark.parametrize("down", ["hub", "broker"])
def test_a_backlog_drains_whole_and_news_overtake_it(tmp_path: Path, down: str) -> None:
    broker = {"hub": "nats", "broker": "mosquitto"}[down]
    drain = starve(tmp_path, broker, down, 10_000)
    assert drain.slowest_s <= VISIBLE_S


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("broker", ["nats", "mosquitto"])
def test_an_hour_of_single_readings_drains_at_two_thousand_a_second(tmp_path: Path, broker: str) -> None:
    drain = starve(tmp_path, broker, "hub", 72_000)
    assert drain.slowest_s <= VISIBLE_S
    assert drain.per_s >= GOAL_PER_S
