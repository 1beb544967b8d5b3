"""Publishes from memory: how fast a broker and a hub take what nodes have to say, and how soon they commit it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from tweeling.errors import UnavailableError
from tweeling_edge.bench.node import Node, Plan

_PACE_S = 0.002  # between two looks at a schedule
_LOOK_S = 0.05  # without one


def run(plan: Plan) -> dict[str, Any]:
    """Send as planned; return the figures. Raises UnavailableError where no hub answers."""
    ended = threading.Event()
    nodes = [Node(plan, index, ended) for index in range(len(plan.nodes))]
    try:
        for node in nodes:
            node.start()
        if not _look_until(lambda: all(node.answered for node in nodes), nodes, plan.grace_s):
            raise UnavailableError(f"no hub answered within {plan.grace_s:.0f} s")
        cpu_s = time.process_time()
        behind_s = _send(plan, nodes)
        ended.set()
        _look_until(lambda: not any(len(node.window) for node in nodes), nodes, plan.grace_s)
        cpu_s = time.process_time() - cpu_s
    finally:
        for node in nodes:
            node.stop()
    return _figures(plan, nodes, behind_s=behind_s, cpu_s=cpu_s)


def _look_until(done: Callable[[], bool], nodes: Sequence[Node], seconds: float) -> bool:
    """Send nothing new; repeat what is overdue. Say whether it came true in time."""
    end = time.monotonic() + seconds
    while not done():
        if (now := time.monotonic()) >= end:
            return False
        for node in nodes:
            node.look(now, 0)
        time.sleep(_LOOK_S)
    return True


def _send(plan: Plan, nodes: Sequence[Node]) -> float:
    """Keep the schedule, or the windows full, until time is up; return how far behind it was at worst."""
    began = now = time.monotonic()
    behind_s = 0.0
    while now < began + plan.seconds:
        due = None if plan.rate is None else int((now - began) * plan.rate / len(nodes))
        for node in nodes:
            node.look(now, due)
        if plan.rate is not None and due is not None:
            missing = due - min(node.window.sent for node in nodes)
            behind_s = max(behind_s, missing * len(nodes) / plan.rate)
        time.sleep(_LOOK_S if plan.rate is None and plan.until == "hub" else _PACE_S)
        now = time.monotonic()
    return behind_s


def _figures(plan: Plan, nodes: Sequence[Node], *, behind_s: float, cpu_s: float) -> dict[str, Any]:
    windows = [node.window for node in nodes]
    latencies = sorted(each for window in windows for each in window.latencies_ms)
    acknowledged = len(latencies)
    first_at = min((node.first_at for node in nodes if node.first_at), default=0.0)
    seconds = max(window.settled_at for window in windows) - first_at if acknowledged else 0.0

    def at(share: float) -> float | None:
        return round(latencies[int(share * (acknowledged - 1))], 2) if acknowledged else None

    return {
        "bench": "publish",
        "nodes": len(nodes),
        "protocol": plan.broker.protocol,
        "records": plan.records,
        "window": plan.window,
        "rate": plan.rate,
        "messages": sum(window.sent for window in windows),
        "acknowledged": acknowledged,
        "unacknowledged": sum(len(window) for window in windows),
        "refused": sum(node.refused for node in nodes),
        "repeats": sum(window.repeats for window in windows),
        "connections": sum(node.connections for node in nodes),
        "seconds": round(seconds, 3),
        "messages_per_s": round(acknowledged / seconds, 1) if seconds else 0.0,
        "records_per_s": round(acknowledged * plan.records / seconds, 1) if seconds else 0.0,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "behind_s": round(behind_s, 3),
        "paused_s": round(sum(node.paused_s for node in nodes), 3),
        "cpu_s": round(cpu_s, 2),
    }
