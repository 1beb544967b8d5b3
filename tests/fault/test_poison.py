"""Fault 5: as many malformed messages as good ones, from the same node."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from support_broker import until
from support_rig import START_MS, Node, Rig, rig
from support_rig_audit import Reading, Truth, audit
from support_rig_program import Program
from support_rig_sender import malformed, value_of

from tweeling.ports.journal import NodeEpoch, Settled
from tweeling.wire.ranges import SeqSet

NODE = Node("H1", "gw1")
KEPT = 0.9
KEPT_SATURATED = 0.6
SENDER = Path(__file__).parent.parent / "support_rig_sender.py"
UNLIMITED = {"ingest": {"node_burst": 10_000_000}}  # how fast the hub is, not how fast it lets a node be


class Phase(NamedTuple):
    """Good readings with something behind each, in an epoch of their own. per_s: their pace; 0 for none."""

    number: int
    behind: str
    count: int
    per_s: float = 0.0

    @property
    def epoch(self) -> str:
        return f"{self.number:x}".ljust(16, "0")

    @property
    def companions(self) -> str:
        """The epoch of what is behind each, where that is good, too."""
        return self.epoch[::-1]

    @property
    def begin_ms(self) -> int:
        return START_MS + self.number * 10_000_000

    def name(self) -> str:
        pace = f"at {self.per_s:,.0f}/s" if self.per_s else "at full speed"
        return f"{self.behind} behind each, {pace}"


def send(made: Rig, phase: Phase) -> float:
    """Send readings in lockstep with the hub; return how many a second were acknowledged."""
    order = made.order(NODE, what="lockstep", epoch=phase.epoch, window=100, inflight=100, seed=phase.number)
    order |= {"behind": phase.behind, "count": phase.count, "per_s": phase.per_s, "begin_ms": phase.begin_ms}
    path = made.folder / f"phase{phase.number}.json"
    path.write_text(json.dumps(order))
    with Program(phase.name(), [sys.executable, SENDER, path], ready="{", log=path.with_suffix(".log")) as program:
        program.start(wait=False)
        return phase.count / float(json.loads(program.wait_line('"seconds"', seconds=600))["seconds"])


def poison(folder: Path, broker: str, phases: Sequence[Phase]) -> list[float]:
    """How many good readings a second are acknowledged in each phase; audit the end."""
    good = sum(phase.count * (2 if phase.behind == "good" else 1) for phase in phases)
    bad = sum(phase.count for phase in phases if phase.behind == "malformed")
    with rig(folder, broker=broker, nodes=[NODE], agents=False, settings=UNLIMITED) as made:
        made.start()
        rates = [send(made, phase) for phase in phases]
        until(lambda: made.committed("quarantined") >= bad, "every malformed message is in quarantine", seconds=60)
        until(lambda: made.committed() >= good, "every good one is committed", seconds=60)
        made.await_projected()
        assert made.hub.terminate() == 0
        audit(made, _truth(phases), settled=_settled(phases), quarantined=True)
        _check_quarantine(made, phases)
    for phase, rate in zip(phases, rates, strict=True):
        sys.stdout.write(f"\n{broker}, {phase.name()}: {rate:,.0f}/s")
    return rates


def _settled(phases: Sequence[Phase]) -> dict[NodeEpoch, Settled]:
    epochs = {phase.epoch: phase.count for phase in phases}
    epochs |= {phase.companions: phase.count for phase in phases if phase.behind == "good"}
    return {NodeEpoch(*NODE, epoch): Settled(committed=SeqSet(((1, count),))) for epoch, count in epochs.items()}


def _truth(phases: Sequence[Phase]) -> Truth:
    truth = Truth()
    for phase in phases:
        starts = [phase.begin_ms, *([phase.begin_ms + phase.count] if phase.behind == "good" else [])]
        for start in starts:
            rows = range(1, phase.count + 1)
            truth.add("H1", (Reading("H1/H1-A/fillingLevel", start + seq, value_of(seq)) for seq in rows))
    return truth


def _check_quarantine(made: Rig, phases: Sequence[Phase]) -> None:
    sent = set()
    for phase in phases:
        if phase.behind == "malformed":
            make = malformed(phase.number, *NODE)
            sent |= {make(seq) for seq in range(1, phase.count + 1)}
    with closing(sqlite3.connect(made.journal)) as db:
        rows = db.execute("SELECT topic, payload, reason FROM quarantine").fetchall()
    assert {topic for topic, _, _ in rows} == {"tweeling/v1/H1/gw1/up"}
    assert len(rows) == len(sent)
    assert {payload for _, payload, _ in rows} == sent
    assert all(reason for _, _, reason in rows)
    assert len({reason.split(":")[0] for _, _, reason in rows}) >= 8, "each kind has a reason of its own"


def test_malformed_messages_go_to_quarantine_and_hold_up_no_good_one(tmp_path: Path) -> None:
    poison(tmp_path, "nats", [Phase(1, "nothing", 3000), Phase(2, "malformed", 3000)])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("broker", ["nats", "mosquitto"])
def test_a_hundred_thousand_malformed_messages_cost_the_good_a_tenth_at_most(tmp_path: Path, broker: str) -> None:
    phases = [Phase(1, "nothing", 20_000, 1000), Phase(2, "malformed", 100_000, 1000)]
    clean, mixed = poison(tmp_path, broker, phases)
    assert mixed >= KEPT * clean


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("broker", ["nats", "mosquitto"])
def test_a_hub_at_its_limit_spends_little_more_on_a_malformed_message_than_on_a_good_one(
    tmp_path: Path, broker: str
) -> None:
    phases = [Phase(1, "nothing", 30_000), Phase(2, "good", 30_000), Phase(3, "malformed", 30_000)]
    _, good, mixed = poison(tmp_path, broker, phases)
    assert mixed >= KEPT_SATURATED * good
