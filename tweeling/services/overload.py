"""Overload: how fast each node may send. Nothing that came is ever dropped; who sends too much is told to wait.

Two limits, both told in acknowledgements. A node has a budget (a token bucket) of messages: wide enough for the backlog
of an hour, narrow enough that a device gone mad is told so. And while the hub has more to do than it can, its measured
capacity is shared evenly: who took more than twice a share in the last second pauses, the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

_WINDOW_S = 1.0
_MAX_PAUSE_S = 60.0
_MAX_NODES = 10_000


class Grant(NamedTuple):
    """What a node is told. rate: messages a second of its backlog, 0 for no limit. retry_after: seconds to wait."""

    rate: float
    retry_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Messages a second that a node may send for ever, and how many at once beyond them.

    rate: granted for a backlog at any time, 0 for no limit. busy_at: the load (0..1) from which capacity is shared;
    busy_s: how long who took too much is asked to wait then.
    """

    sustained: float = 250.0
    burst: float = 100_000.0
    rate: float = 0.0
    busy_at: float = 0.8
    busy_s: float = 1.0


@dataclass(slots=True)
class _Budget:
    left: float
    at: float


class Governor:
    """Counts what nodes send and says how fast they may. A node is `hub/node`; now: monotonic seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._budgets: dict[str, _Budget] = {}
        self._load = 0.0
        self._window: dict[str, int] = {}
        self._window_began = float("-inf")
        self._paces: Mapping[str, float] = {}  # messages a second, in the last whole window

    def note(self, came: Mapping[str, int], *, load: float, now: float) -> None:
        """Take note of a batch: how many messages of each node, and how busy the hub is."""
        self._load = load
        elapsed = now - self._window_began
        if elapsed >= _WINDOW_S:
            # After a quiet while the window is older than what is in it.
            self._paces = {node: count / min(elapsed, 2 * _WINDOW_S) for node, count in self._window.items()}
            self._window, self._window_began = {}, now
        for node, count in came.items():
            self._window[node] = self._window.get(node, 0) + count
            budget = self._budget(node, now)
            budget.left = max(budget.left - count, -_MAX_PAUSE_S * self._limits.sustained)

    def grant(self, node: str, *, now: float) -> Grant:
        """Say how fast a node may send."""
        limits = self._limits
        left = self._budget(node, now).left
        if left < 0:
            return Grant(limits.sustained, -left / limits.sustained)
        if self._load < limits.busy_at or not self._paces:
            return Grant(limits.rate, 0.0)
        share = sum(self._paces.values()) / len(self._paces)
        greedy = self._paces.get(node, 0.0) > 2 * share
        return Grant(min(share, limits.rate or share), limits.busy_s if greedy else 0.0)

    def _budget(self, node: str, now: float) -> _Budget:
        budget = self._budgets.get(node)
        if budget is None:
            if len(self._budgets) >= _MAX_NODES:
                del self._budgets[next(iter(self._budgets))]
            budget = self._budgets[node] = _Budget(self._limits.burst, now)
        budget.left = min(self._limits.burst, budget.left + (now - budget.at) * self._limits.sustained)
        budget.at = now
        return budget
