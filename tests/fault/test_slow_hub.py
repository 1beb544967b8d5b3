"""Fault 2: stock Mosquitto, and a hub that needs 500 µs for a message; where a plain subscriber loses most."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support_broker import until
from support_rig import START_MS, Node, Rig, recording, replay, rig
from support_rig_audit import Reading, Truth, audit, truth_of
from support_rig_program import Program
from support_rig_sender import value_of
from support_rig_slow_hub import COST_S, spin

from tweeling.ports.journal import NodeEpoch, Settled
from tweeling.wire.ranges import SeqSet

NODES = [Node("H1", "gw1"), Node("H2", "gw1")]
EPOCH = "00000000000000e1"
HERE = Path(__file__).parent.parent
SLOW_HUB = [sys.executable, HERE / "support_rig_slow_hub.py", "up"]


def sender(made: Rig, **order: Any) -> Program:
    path = made.folder / "order.json"
    path.write_text(json.dumps(made.order(NODES[0], epoch=EPOCH, begin_ms=START_MS, inflight=20, **order)))
    argv = [sys.executable, HERE / "support_rig_sender.py", path]
    return Program("sender", argv, ready="{", log=made.folder / "sender.log")


def agents_reach_a_slow_hub(folder: Path, messages: int) -> None:
    with rig(folder, broker="mosquitto", plain=True, nodes=NODES, hub=SLOW_HUB) as made:
        for edge in made.edges:
            table = recording(folder / f"{edge.node.hub}.csv", messages // len(NODES))
            edge.write([replay(table)], top={"pack": 1, "messages": 100})
        made.start_without_agents()
        began = time.monotonic()
        made.start()
        until(lambda: made.committed() >= messages, "every reading is committed", seconds=300)
        assert time.monotonic() - began >= messages * COST_S, "the hub is slow"
        made.finish()
        audit(made, truth_of(made.edges))


def test_agents_lose_nothing_on_stock_mosquitto_with_a_slow_hub(tmp_path: Path) -> None:
    agents_reach_a_slow_hub(tmp_path, 4000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_thousand_messages_reach_a_slow_hub_through_stock_mosquitto(tmp_path: Path) -> None:
    agents_reach_a_slow_hub(tmp_path, 20_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_node_that_sends_twenty_thousand_at_once_repeats_what_the_broker_lost(tmp_path: Path) -> None:
    count = 20_000
    with rig(tmp_path, broker="mosquitto", plain=True, nodes=NODES, hub=SLOW_HUB, agents=False) as made:
        made.start()
        made.hub.wait_line("broker.connected")
        with sender(made, what="lockstep", behind="nothing", window=count + 1, count=count) as node:
            node.start(wait=False)
            node.wait_line('"seconds"', seconds=500)
        made.await_projected()
        assert made.hub.terminate() == 0
        truth = Truth()
        truth.add("H1", (Reading("H1/H1-A/fillingLevel", START_MS + n, value_of(n)) for n in range(1, count + 1)))
        audit(made, truth, settled={NodeEpoch(*NODES[0], EPOCH): Settled(committed=SeqSet(((1, count),)))})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_plain_subscriber_loses_most_of_what_stock_mosquitto_confirmed(tmp_path: Path) -> None:
    """No test of the product: of the ground that it stands on."""
    count = 20_000
    with rig(tmp_path, broker="mosquitto", plain=True, nodes=NODES, agents=False) as made:
        made.broker.start()
        seen: set[bytes] = set()
        marks: set[bytes] = set()

        def take(_client: object, _data: object, message: paho.MQTTMessage) -> None:
            spin(COST_S)
            (marks if message.payload == b"mark" else seen).add(message.payload)

        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="plain", clean_session=False)
        client.on_message = take
        client.connect(made.files.host, made.files.port)
        client.subscribe("#", 1)
        client.loop_start()
        with sender(made, what="flood", count=count, per_s=1e9) as node:
            node.start(wait=False)
            node.wait_line('"sent"', seconds=300)

            def marked() -> bool:
                client.publish("mark", b"mark", 1)
                return bool(marks)

            until(marked, "the subscriber has had all that the broker had left", seconds=60)
        client.disconnect()
        client.loop_stop()
        lost = 1 - len(seen) / count
        sys.stdout.write(f"\nplain paho: {lost:.1%} of {count:,} confirmed messages never came\n")
        assert lost > 0.3
