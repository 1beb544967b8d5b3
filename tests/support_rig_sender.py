"""Nodes that speak the wire format by themselves, as processes: `python support_rig_sender.py ORDER.json`.

An order is one JSON object: address and credentials, hub, node, epoch, and what to send. Its answer is another, on
standard output. `flood` sends at its own pace and heeds nobody; `steady` sends now and then; both listen until they
are asked to end. `lockstep` sends the next when the hub has settled an earlier one, as an agent does, with something
else of its own behind each.
"""

from __future__ import annotations

import json
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tweeling.wire.ack import Ack
from tweeling.wire.topics import Channel, Topic

_PATIENCE_S = 5.0  # after so long without the hub's word an agent sends again


class RawNode:
    """One node's line: publishes what it is given, and hears the hub's acks."""

    def __init__(self, order: dict[str, Any], *, heard: Callable[[Ack, float], None] = lambda *_: None) -> None:
        self.hub, self.node, self.epoch = order["hub"], order["node"], order["epoch"]
        self.topic = str(Topic(self.hub, self.node, Channel.UP))
        self._ack_topic = str(Topic(self.hub, self.node, Channel.ACK))
        self._heard = heard
        self._up = threading.Event()
        self._line = paho.Client(CallbackAPIVersion.VERSION2, client_id=secrets.token_hex(8))
        if order["username"]:
            self._line.username_pw_set(order["username"], order["password"])
        self._line.max_inflight_messages_set(order.get("inflight", 20))
        self._line.on_socket_open = lambda _client, _data, sock: sock.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )
        self._line.on_connect = lambda *_: self._line.subscribe(self._ack_topic, 0)
        self._line.on_subscribe = lambda *_: self._up.set()
        self._line.on_message = self._take
        self._line.connect(order["host"], order["port"], keepalive=60)
        self._line.loop_start()
        if not self._up.wait(20):
            raise TimeoutError(f"{self.node}: the broker does not let us in")

    def publish(self, payload: bytes) -> paho.MQTTMessageInfo:
        """Hand a message to the line, QoS 1."""
        return self._line.publish(self.topic, payload, qos=1)

    def reading(self, seq: int, time_ms: int, *, low: int = 1) -> bytes:
        """An envelope of this node and epoch."""
        return reading(self.hub, self.node, self.epoch, seq, time_ms, low=low)

    def close(self) -> None:
        """Say goodbye."""
        self._line.disconnect()
        self._line.loop_stop()

    def _take(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._heard(Ack.decode(message.payload), time.monotonic())


def reading(hub: str, node: str, epoch: str, seq: int, time_ms: int, *, low: int = 1) -> bytes:
    """An envelope with one reading; its value tells its seq."""
    return (
        f'{{"v":1,"node":"{node}","epoch":"{epoch}","runs":[[{seq},{seq},1]],"low":{low},"pack":'
        f'[{{"bt":{time_ms / 1000:.3f},"bu":"/","n":"{hub}-A/fillingLevel","v":{value_of(seq)}}}]}}'
    ).encode()


def value_of(seq: int) -> float:
    """The value of a reading."""
    return seq % 1000 / 1000


class Settling:
    """What a node still waits for, and how long (seconds) it waited for the rest."""

    def __init__(self) -> None:
        self.waits: dict[int, float] = {}
        self.retry_after = 0.0  # the most that was ever asked
        self.rate = 0.0  # the least that was ever granted; 0 while there was no limit
        self._since: dict[int, float] = {}
        self._repeated: dict[int, float] = {}
        self._changed = threading.Condition()

    def sent(self, seq: int) -> None:
        """A seq is on its way, for the first time."""
        with self._changed:
            self._since[seq] = time.monotonic()

    def heard(self, ack: Ack, now: float) -> None:
        """The hub's word."""
        with self._changed:
            self.retry_after = max(self.retry_after, ack.retry_after)
            if ack.rate:
                self.rate = min(self.rate or ack.rate, ack.rate)
            for first, last in ack.committed:
                for seq in range(first, last + 1):
                    if (since := self._since.pop(seq, None)) is not None:
                        self.waits[seq] = now - since
            self._changed.notify_all()

    def overdue(self) -> list[int]:
        """What the hub has been silent about for too long; each is named once in such a while."""
        now = time.monotonic()
        with self._changed:
            late = [seq for seq in self._since if now - self._repeated.get(seq, self._since[seq]) > _PATIENCE_S]
            self._repeated.update(dict.fromkeys(late, now))
        return late

    def room(self, window: int) -> list[int]:
        """Wait until fewer than `window` are unsettled; return what should be sent again, if that took too long."""
        with self._changed:
            if self._changed.wait_for(lambda: len(self._since) < window, _PATIENCE_S):
                return []
            return sorted(self._since)


def flood(order: dict[str, Any]) -> dict[str, Any]:
    """Send `count` readings at `per_s`, whatever the hub says, and listen until asked to end."""
    end = _asked_to_end()
    told = Settling()
    node = RawNode(order, heard=told.heard)
    count, per_s, begin_ms = order["count"], order["per_s"], order["begin_ms"]
    began = time.monotonic()
    for seq in range(1, count + 1):
        _await(began + (seq - 1) / per_s)
        told.sent(seq)
        info = node.publish(node.reading(seq, begin_ms + seq))
        if seq % 1000 == 0:  # paho holds what the broker has not confirmed; its memory is ours
            info.wait_for_publish(60)
    info.wait_for_publish(60)
    seconds = time.monotonic() - began
    _say({"sent": count, "seconds": seconds})
    end.wait()
    node.close()
    return {"committed": len(told.waits), "retry_after": told.retry_after, "rate": told.rate}


def steady(order: dict[str, Any]) -> dict[str, Any]:
    """Send a reading of now every `every_s` on each of `nodes`, again when the hub is silent, until asked to end."""
    end = _asked_to_end()
    tolds = [Settling() for _ in order["nodes"]]
    nodes = [RawNode(order | each, heard=told.heard) for each, told in zip(order["nodes"], tolds, strict=True)]
    sent: list[dict[int, int]] = [{} for _ in nodes]
    _say({"steady": len(nodes)})
    while not end.wait(order["every_s"]):
        for node, told, times in zip(nodes, tolds, sent, strict=True):
            seq = len(times) + 1
            times[seq] = time.time_ns() // 1_000_000
            told.sent(seq)
            for each in [seq, *told.overdue()]:
                node.publish(node.reading(each, times[each]))
    for node, told, times in zip(nodes, tolds, sent, strict=True):
        while late := told.room(1):
            for each in late:
                node.publish(node.reading(each, times[each]))
        node.close()
    return {
        "nodes": [[(at, told.waits[seq]) for seq, at in times.items()] for told, times in zip(tolds, sent, strict=True)]
    }


def lockstep(order: dict[str, Any]) -> dict[str, Any]:
    """Send `count` readings, at most `window` unsettled (and `per_s`), each with something of `behind` after it."""
    told = Settling()
    node = RawNode(order, heard=told.heard)
    window, begin_ms, seqs = order["window"], order["begin_ms"], range(1, order["count"] + 1)
    # Everything is made before the clock runs, so that only sending it is timed.
    make = _companion(order, node)
    sent = {seq: [node.reading(seq, begin_ms + seq), *([] if make is None else [make(seq)])] for seq in seqs}

    def again(window: int) -> None:
        while late := told.room(window):
            for seq in late:
                node.publish(sent[seq][0])

    began = time.monotonic()
    for seq in seqs:
        again(window)
        if per_s := order.get("per_s"):
            _await(began + (seq - 1) / per_s)
        told.sent(seq)
        for payload in sent[seq]:
            node.publish(payload)
    again(1)
    seconds = time.monotonic() - began
    node.close()
    return {"seconds": seconds, "retry_after": told.retry_after, "rate": told.rate}


def malformed(seed: int, hub: str, node: str) -> Callable[[int], bytes]:
    """Make messages of many kinds that mean nothing, each another; the same seed makes the same."""
    rng = Random(seed)

    def one(number: int) -> bytes:
        good = reading(hub, node, "00000000000000bb", number, 1_700_000_000_000 + number, low=number).decode()
        kinds: Sequence[Callable[[], bytes]] = (
            lambda: good[: rng.randint(1, len(good) - 1)].encode() + str(number).encode(),
            lambda: b"%d" % number + rng.randbytes(rng.randint(20, 200)),
            lambda: good.replace(f"[[{number},{number},1]]", '"all"').encode() + b" " * (number % 7),
            lambda: good.replace(f'"node":"{node}"', f'"node":"other{number}"').encode(),
            lambda: good.replace(f"{number},1]]", f"{number},2]]").encode(),
            lambda: good.replace('"v":1,', f'"v":1,"x{number}":true,', 1).encode(),
            lambda: good.replace('"v":1,', '"v":2,', 1).encode(),
            f'{{"v":{number},"pack":{"[" * 900}{"]" * 900}}}'.encode,
            lambda: good.replace(f'"v":{value_of(number)}', '"v":NaN').encode(),
            lambda: b"\xa1\x61v\x1a" + number.to_bytes(4, "big") + rng.randbytes(9),
            lambda: good.encode().replace(b"fillingLevel", b"\xff\xfe%d" % number),
            lambda: good.replace('"bu":"/"', f'"bu":"furlong{number}"').encode(),
            f'"{number}"'.encode,
        )
        return rng.choice(kinds)()

    return one


def _companion(order: dict[str, Any], node: RawNode) -> Callable[[int], bytes] | None:
    match order["behind"]:
        case "good":
            node_b = order["epoch"][::-1]
            begin_ms = order["begin_ms"] + order["count"]
            return lambda seq: node.reading(seq, begin_ms + seq).replace(node.epoch.encode(), node_b.encode())
        case "malformed":
            return malformed(order["seed"], node.hub, node.node)
    return None


def main(path: str) -> None:
    """Carry an order out."""
    order = json.loads(Path(path).read_text())
    _say({"flood": flood, "steady": steady, "lockstep": lockstep}[order["what"]](order))


def _await(moment: float) -> None:
    """Keep the pace, in steps of a few milliseconds."""
    early = moment - time.monotonic()
    if early > 0.005:
        threading.Event().wait(early)


def _asked_to_end() -> threading.Event:
    asked = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked.set())
    return asked


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
