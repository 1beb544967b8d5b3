"""Fault 6: the time of day jumps by an hour, on the hub and on a gateway."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from support_broker import until
from support_rig import Node, Rig, Table, fast_clock, rig, simulate
from support_rig_audit import audit, refused_of, truth_of
from support_rig_clock import HOUR_MS, Clock

NODES = [Node("H1", "gw1"), Node("H2", "gw1")]


def live(seed: int) -> Table:
    """A story in true time, a reading of each zone every two seconds."""
    now_ms = time.time_ns() // 1_000_000
    return simulate(seed=seed, every_s=2) | {"start_ms": now_ms - 24 * HOUR_MS, "from_ms": now_ms - HOUR_MS // 60}


def committed_more(made: Rig, amount: int) -> None:
    goal = made.progress() + amount
    until(lambda: made.progress() >= goal, f"{amount} more commits", seconds=60)


def test_a_hub_whose_clock_jumps_loses_and_doubles_nothing(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    with rig(tmp_path / "rig", broker="nats", nodes=NODES, hub_env=clock.env) as made:
        for number, edge in enumerate(made.edges):
            edge.write([simulate(seed=63 + number)], clock=fast_clock(50_000))
        made.start()
        for hours in (0, 1, -1, 1, 0):
            clock.jump(hours * HOUR_MS)
            committed_more(made, 200)
        made.finish()
        with closing(sqlite3.connect(made.journal)) as db:
            first, last = db.execute("SELECT min(recorded_ms), max(recorded_ms) FROM batch").fetchone()
        assert last - first > 2 * HOUR_MS, "the clock did jump"
        audit(made, truth_of(made.edges))


def test_what_a_hub_with_a_slow_clock_refuses_is_in_quarantine_and_can_be_replayed(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    with rig(tmp_path / "rig", broker="mosquitto", nodes=NODES, hub_env=clock.env) as made:
        for number, edge in enumerate(made.edges):
            edge.write([live(65 + number)])
        made.start()
        committed_more(made, 20)
        clock.jump(-HOUR_MS)
        until(lambda: made.committed("refused") >= 5, "readings from the future are refused", seconds=60)
        clock.jump(0)
        committed_more(made, 5)
        made.finish()
        truth, refused = truth_of(made.edges), refused_of(made)
        audit(made, truth.without(refused), refused=refused)
        made.hub.start()
        command = [sys.executable, "-m", "tweeling", "quarantine", "replay", "--reason", "future"]
        data = ["--data", str(made.installation.folder)]
        done = subprocess.run([*command, "--all", *data], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made.await_projected()
        assert made.hub.terminate() == 0
        audit(made, truth, replayed=refused)


def test_a_gateway_whose_clock_jumps_loses_and_doubles_nothing(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    with rig(tmp_path / "rig", broker="nats", nodes=NODES[:1], edge_env=clock.env) as made:
        (edge,) = made.edges
        edge.write([live(67)])
        made.start()
        committed_more(made, 20)
        clock.jump(HOUR_MS)
        until(lambda: made.committed("refused") >= 1000, "an hour of the future is refused", seconds=60)
        clock.jump(-HOUR_MS)
        edge.program.kill()
        edge.program.start()
        made.await_drained()
        clock.jump(0)
        made.finish()
        refused = refused_of(made)
        audit(made, truth_of(made.edges).without(refused), refused=refused, timed=False)
