"""The figures of a run against a hub, under the same names however the messages were made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tweeling_edge.bench.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to the messages of all nodes; latencies are from publishing (or sampling) to the hub's word."""

    protocol: str
    messages: int
    acknowledged: int
    unacknowledged: int
    refused: int  # seqs
    repeats: int
    connections: int
    seconds: float
    latencies_ms: Iterable[float]
    behind_s: float
    paused_s: float
    cpu_s: float


def figures(bench: str, plan: Plan, outcome: Outcome) -> dict[str, Any]:
    """One JSON object."""
    latencies = sorted(outcome.latencies_ms)
    per_s = outcome.acknowledged / outcome.seconds if outcome.seconds else 0.0

    def at(share: float) -> float | None:
        return round(latencies[int(share * (len(latencies) - 1))], 2) if latencies else None

    return {
        "bench": bench,
        "nodes": len(plan.nodes),
        "protocol": outcome.protocol,
        "records": plan.records,
        "window": plan.window,
        "rate": plan.rate,
        "messages": outcome.messages,
        "acknowledged": outcome.acknowledged,
        "unacknowledged": outcome.unacknowledged,
        "refused": outcome.refused,
        "repeats": outcome.repeats,
        "connections": outcome.connections,
        "seconds": round(outcome.seconds, 3),
        "messages_per_s": round(per_s, 1),
        "records_per_s": round(per_s * plan.records, 1),
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "max_ms": at(1.0),
        "behind_s": round(outcome.behind_s, 3),
        "paused_s": round(outcome.paused_s, 3),
        "cpu_s": round(outcome.cpu_s, 2),
    }
