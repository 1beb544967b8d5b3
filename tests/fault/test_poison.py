"""Fault 5: as many malformed messages as good ones, from the same node."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

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
SEED = 5
# The good readings' epochs: with nothing behind each, with another good one, with a malformed one.
EPOCHS: Mapping[str, str] = {"nothing": "a000000000000001", "good": "b000000000000002", "malformed": "c000000000000003"}


def send(made: Rig, behind: str, number: int, count: int) -> float:
    """Send readings in lockstep with the hub; return how many a second were acknowledged."""
    order = made.order(NODE, what="lockstep", epoch=EPOCHS[behind], behind=behind, count=count, window=100)
    order |= {"begin_ms": START_MS + 10 * number * count, "seed": SEED, "inflight": 100}
    path = made.folder / f"{behind}.json"
    path.write_text(json.dumps(order))
    sender = Path(__file__).parent.parent / "support_rig_sender.py"
    argv = [sys.executable, sender, path]
    with Program(behind, argv, ready='"seconds"', log=path.with_suffix(".log")) as program:
        program.start(wait=False)
        return count / float(json.loads(program.wait_line('"seconds"', seconds=600))["seconds"])


def poison(folder: Path, broker: str, count: int) -> float:
    """Compare how fast good readings are taken with others between them, and with malformed messages instead."""
    ingest = {"ingest": {"node_burst": 10_000_000}}  # how fast the hub is, not how fast it lets a node be
    with rig(folder, broker=broker, nodes=[NODE], agents=False, settings=ingest) as made:
        made.start()
        rates = {behind: send(made, behind, number, count) for number, behind in enumerate(EPOCHS)}
        until(lambda: made.committed("quarantined") >= count, "every malformed message is in quarantine", seconds=60)
        until(lambda: made.committed() >= 4 * count, "the companions are committed, too", seconds=60)
        made.await_projected()
        assert made.hub.terminate() == 0
        audit(made, _truth(count), settled=_settled(count), quarantined=True)
        _check_quarantine(made, count)
        kept = rates["malformed"] / rates["nothing"]
        told = ", ".join(f"{rate:,.0f}/s with {behind} behind each" for behind, rate in rates.items())
        sys.stdout.write(f"\n{broker}: {told}; {kept:.0%} kept\n")
        return kept


def _settled(count: int) -> dict[NodeEpoch, Settled]:
    epochs = [*EPOCHS.values(), EPOCHS["good"][::-1]]
    return {NodeEpoch(*NODE, epoch): Settled(committed=SeqSet(((1, count),))) for epoch in epochs}


def _truth(count: int) -> Truth:
    truth = Truth()
    for number, behind in enumerate(EPOCHS):
        begin_ms = START_MS + 10 * number * count
        for start in [begin_ms, begin_ms + count] if behind == "good" else [begin_ms]:
            rows = range(1, count + 1)
            truth.add("H1", (Reading("H1/H1-A/fillingLevel", start + seq, value_of(seq)) for seq in rows))
    return truth


def _check_quarantine(made: Rig, count: int) -> None:
    make = malformed(SEED, *NODE)
    sent = {make(seq) for seq in range(1, count + 1)}
    assert len(sent) == count
    with closing(sqlite3.connect(made.journal)) as db:
        rows = db.execute("SELECT topic, payload, reason FROM quarantine").fetchall()
    assert {topic for topic, _, _ in rows} == {"tweeling/v1/H1/gw1/up"}
    assert {payload for _, payload, _ in rows} == sent
    assert len(rows) == count
    assert all(reason for _, _, reason in rows)
    assert len({reason.split(":")[0] for _, _, reason in rows}) >= 8, "each kind has a reason of its own"


def test_malformed_messages_go_to_quarantine_and_hold_up_no_good_one(tmp_path: Path) -> None:
    poison(tmp_path, "nats", 3000)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("broker", ["nats", "mosquitto"])
def test_a_hundred_thousand_malformed_messages_cost_the_good_a_tenth_at_most(tmp_path: Path, broker: str) -> None:
    assert poison(tmp_path, broker, 100_000) >= KEPT
