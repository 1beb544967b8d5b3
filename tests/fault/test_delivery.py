"""Fault 6: a broker that delivers twice, in any order, in other packs, and one that forgets everything it was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from support_broker import until
from support_rig import START_MS, Node, fast_clock, rig, simulate
from support_rig_audit import Reading, Truth, Weighing, audit, truth_of
from support_rig_kills import Kill, Killer
from support_rig_sender import RawNode

from tweeling.ports.journal import NodeEpoch, Settled
from tweeling.wire import senml
from tweeling.wire.envelope import Envelope
from tweeling.wire.ranges import SeqSet

NODES = [Node("H1", "gw1"), Node("H2", "gw1")]
EPOCH = "00000000000000d1"
SEQS = 1500


def sample(seq: int) -> senml.Resolved:
    """Every third is a weighing; many of them are alike but for their seq."""
    if seq % 3:
        return senml.Resolved("H1-A/fillingLevel", START_MS + 1000 * seq, seq % 101 / 100, "/", None)
    weighing = {"mv_": "out" if seq % 2 else "in", "mat": "wood", "tkt": "T"}
    return senml.Resolved("H1-A/scale", START_MS, 1000 + seq % 7, "g", weighing)


def packs(rng: Random) -> Iterator[bytes]:
    """All samples in envelopes of every size, cut anew three times, each several times, in any order."""
    cut: list[bytes] = []
    for _ in range(3):
        seqs = rng.sample(range(1, SEQS + 1), SEQS)
        while seqs:
            some = sorted(seqs.pop() for _ in range(min(rng.randint(1, 60), len(seqs))))
            runs = tuple((seq, seq, 1) for seq in some)
            pack = senml.encode([sample(seq) for seq in some])
            cut += [Envelope(node="gw1", epoch=EPOCH, runs=runs, pack=pack).to_json()] * rng.randint(1, 3)
    yield from rng.sample(cut, len(cut))


def expected() -> Truth:
    truth = Truth()
    for row in map(sample, range(1, SEQS + 1)):
        if row.weighing is None:
            truth.add("H1", [Reading(f"H1/{row.name}", row.time_ms, float(row.value))])
        else:
            told = Weighing("H1", row.time_ms, "H1-A", str(row.weighing["mv_"]), int(row.value), "T")
            truth.add("H1", [], [told])
    return truth


@pytest.mark.parametrize(("broker", "seed"), [("nats", 71), pytest.param("mosquitto", 72, marks=pytest.mark.slow)])
def test_envelopes_repeated_reordered_and_cut_anew_count_once(tmp_path: Path, broker: str, seed: int) -> None:
    with rig(tmp_path, broker=broker, nodes=NODES[:1], agents=False) as made:
        made.start()
        node = RawNode(made.order(NODES[0], epoch=EPOCH))
        for payload in packs(Random(seed)):
            last = node.publish(payload)
        last.wait_for_publish(20)
        node.close()
        until(lambda: made.progress() >= SEQS, "every sample is committed", seconds=60)
        until(lambda: made.committed("repeated") >= 2 * SEQS, "and has come more than once", seconds=60)
        made.await_projected()
        assert made.hub.terminate() == 0
        settled = {NodeEpoch(*NODES[0], EPOCH): Settled(committed=SeqSet(((1, SEQS),)))}
        audit(made, expected(), settled=settled)


@pytest.mark.parametrize(("broker", "seed"), [pytest.param("nats", 73, marks=pytest.mark.slow), ("mosquitto", 74)])
def test_a_broker_restarted_without_its_state_costs_nothing(tmp_path: Path, broker: str, seed: int) -> None:
    with rig(tmp_path, broker=broker, nodes=NODES) as made:
        for number, edge in enumerate(made.edges):
            edge.write([simulate(seed=seed + number)], clock=fast_clock(50_000))
        made.start()
        rng = Random(seed)
        kills = [Kill(("broker",), when, rng.randint(50, 400), rng.random()) for when in ("load", "drain")]
        Killer(made, seed, forgetful=True).carry_out(kills)
        made.finish()
        audit(made, truth_of(made.edges))
