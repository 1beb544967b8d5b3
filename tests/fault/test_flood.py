"""Fault 4: a node gone mad floods the broker and heeds nobody, while the nodes of other hubs go about their day."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support_broker import until
from support_rig import START_MS, Node, Rig, Table, rig
from support_rig_audit import Reading, Truth, audit
from support_rig_program import Program
from support_rig_sender import value_of
from support_rig_watch import Watcher, percentile

from tweeling.adapters.journal import SqliteJournal
from tweeling.ports.journal import NodeEpoch, Settled
from tweeling.wire.ranges import SeqSet

FLOODER = Node("H1", "gw1")
OTHERS = [Node("H2", "gw1"), Node("H3", "gw1"), Node("H4", "gw1")]
EPOCH = "00000000000000f1"
GROWTH_MB = 200.0
P99_S = 1.0
WORKERS: Table = {"shards": [["H1/+"], ["H2/+", "H3/+", "H4/+"]]}
SENDER = Path(__file__).parent.parent / "support_rig_sender.py"


class Flood(NamedTuple):
    """How a flood went. retry_after, rate: what the flooder was told; the waits are those of the others."""

    sent_per_s: float
    stored: int
    retry_after: float
    rate: float
    acked_s: list[float]
    shown_s: list[float]
    growth_mb: float

    @property
    def told(self) -> bool:
        """Whether the flooder was told to slow down."""
        return self.retry_after > 0 or 0 < self.rate < self.sent_per_s

    def __str__(self) -> str:
        waits = {"acknowledged": self.acked_s, "shown": self.shown_s}
        others = ", ".join(
            f"{what} after {percentile(of, 0.5):.3f} s (p50) {percentile(of, 0.99):.3f} s (p99)"
            for what, of in waits.items()
        )
        told = f"told to wait {self.retry_after:.1f} s, or send {self.rate:.0f}/s"
        return f"{self.sent_per_s:,.0f}/s, {self.stored:,} stored, {told}; others {others}; +{self.growth_mb:.0f} MB"


def speaker(made: Rig, name: str, order: Mapping[str, Any]) -> Program:
    path = made.folder / f"{name}.json"
    path.write_text(json.dumps(order))
    return Program(name, [sys.executable, SENDER, path], ready='"steady"', log=path.with_suffix(".log"))


def flood(folder: Path, broker: str, count: int, per_s: float, ingest: Table) -> Flood:
    """Flood a hub, with others beside it; audit the end."""
    nodes = [FLOODER, *OTHERS]
    with rig(folder, broker=broker, nodes=nodes, agents=False, settings={"ingest": ingest}) as made:
        made.start()
        made.hub.wait_line("broker.connected")
        first = {"what": "flood", "count": count, "per_s": per_s, "begin_ms": START_MS, "epoch": EPOCH}
        orders = [made.order(node, epoch=EPOCH) for node in OTHERS]
        with (
            speaker(made, "flood", made.order(FLOODER, **first)) as flooder,
            speaker(made, "others", {**orders[0], "what": "steady", "nodes": orders, "every_s": 0.1}) as others,
            Watcher(made.installation.folder, [f"{node.hub}-A" for node in OTHERS], made.hub) as watcher,
        ):
            others.start()
            until(lambda: min(watcher.newest.values()) > 0, "the others are seen")
            before_mb = made.hub.resident_mb()
            begin = time.time()
            flooder.start(wait=False)
            sent = json.loads(flooder.wait_line('"sent"', seconds=600))
            end = time.time()
            _await_rest(made, broker, count)
            until(lambda: min(watcher.newest.values()) > end * 1000, "the others are seen after the flood")
            assert others.terminate(seconds=60) == 0
            spoken = json.loads(others.lines()[-1])["nodes"]
            times = {f"{node.hub}-A": [at for at, _ in said] for node, said in zip(OTHERS, spoken, strict=True)}
            until(lambda: all(watcher.newest[zone] >= said[-1] for zone, said in times.items()), "all is seen")
            assert flooder.terminate() == 0
            heard = json.loads(flooder.lines()[-1])
        made.await_projected()
        assert made.hub.terminate() == 0
        stored = _check(made, heard["committed"], list(times.values()), whole=broker == "nats", count=count)
        during = range(round(begin * 1000), round(end * 1000))
        result = Flood(
            count / sent["seconds"],
            stored,
            heard["retry_after"],
            heard["rate"],
            [wait for said in spoken for at, wait in said if at in during],
            [w for zone, said in times.items() for w in watcher.waits_s(zone, [at for at in said if at in during])],
            max(watcher.memory_mb) - before_mb,
        )
        sys.stdout.write(f"\n{broker}: {result}\n")
        return result


def _await_rest(made: Rig, broker: str, count: int) -> None:
    """Wait until the hub has what the broker still had."""
    if broker == "nats":
        until(lambda: made.committed() >= count, "the whole flood is committed", seconds=300)
        return
    # Mosquitto has dropped some, and a flooder that heeds nobody does not repeat: no number tells the end.
    until(lambda: _is_idle(made), "the hub has nothing waiting", seconds=300)


def _is_idle(made: Rig) -> bool:
    status = made.status()
    detail = {part["part"]: part["detail"] for part in status["parts"]}["ingest"] if status else ""
    return " 0 messages waiting" in detail


def _check(made: Rig, heard: int, times: list[list[int]], *, whole: bool, count: int) -> int:
    """All that was acknowledged is stored, once, and so is all of the others'; return how much of the flood is."""
    flooder = NodeEpoch(*FLOODER, EPOCH)
    with closing(SqliteJournal(made.journal)) as journal:
        accepted = journal.settled(flooder).committed
    assert heard <= len(accepted)
    assert not whole or accepted == SeqSet(((1, count),))
    truth = Truth()
    truth.add("H1", (Reading("H1/H1-A/fillingLevel", START_MS + seq, value_of(seq)) for seq in accepted))
    settled = {}
    for node, made_ms in zip(OTHERS, times, strict=True):
        truth.add(node.hub, _readings(node, made_ms))
        settled[NodeEpoch(*node, EPOCH)] = Settled(committed=SeqSet(((1, len(made_ms)),)))
    audit(made, truth, settled=settled)
    return len(accepted)


def _readings(node: Node, made_ms: list[int]) -> Iterator[Reading]:
    for seq, at in enumerate(made_ms, 1):
        yield Reading(f"{node.hub}/{node.hub}-A/fillingLevel", at, value_of(seq))


def _judge(result: Flood, share: float = 0.99) -> None:
    assert result.told
    assert percentile(result.acked_s, share) < P99_S
    assert percentile(result.shown_s, share) < P99_S
    assert result.growth_mb < GROWTH_MB


@pytest.mark.parametrize("broker", ["nats", pytest.param("mosquitto", marks=pytest.mark.slow)])
def test_a_flood_is_told_to_slow_down_and_delays_nobody_else(tmp_path: Path, broker: str) -> None:
    # In a few seconds one pause of a busy machine is more than a hundredth.
    _judge(flood(tmp_path, broker, 20_000, 6233, WORKERS | {"node_burst": 5000}), share=0.9)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("per_s", [623, 6233])
@pytest.mark.parametrize("broker", ["nats", "mosquitto"])
def test_187_thousand_events_of_one_node_delay_nobody_else(tmp_path: Path, broker: str, per_s: int) -> None:
    _judge(flood(tmp_path, broker, 187_000, per_s, WORKERS))
