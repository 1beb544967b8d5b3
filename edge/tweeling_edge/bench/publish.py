"""Publishes from memory: how fast a broker and a hub take what nodes have to say, and how soon they commit it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from tweeling.errors import UnavailableError
from tweeling_edge.bench.figures import Outcome, figures
from tweeling_edge.bench.node import Node
from tweeling_edge.bench.plan import Plan

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
    return figures("publish", plan, _outcome(nodes, behind_s=behind_s, cpu_s=cpu_s))


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


def _outcome(nodes: Sequence[Node], *, behind_s: float, cpu_s: float) -> Outcome:
    windows = [node.window for node in nodes]
    first_at = min((node.first_at for node in nodes if node.first_at), default=0.0)
    return Outcome(
        protocol=nodes[0].protocol,
        messages=sum(window.sent for window in windows),
        acknowledged=sum(len(window.latencies_ms) for window in windows),
        unacknowledged=sum(len(window) for window in windows),
        refused=sum(node.refused for node in nodes),
        repeats=sum(window.repeats for window in windows),
        connections=sum(node.connections for node in nodes),
        seconds=max(0.0, max(window.settled_at for window in windows) - first_at),
        latencies_ms=chain.from_iterable(window.latencies_ms for window in windows),
        behind_s=behind_s,
        paused_s=sum(node.paused_s for node in nodes),
        cpu_s=cpu_s,
    )
