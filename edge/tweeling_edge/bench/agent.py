"""The whole agent, outbox and all, fed from memory: how fast readings become durable, travel and get settled."""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tweeling.wire.senml import Resolved
from tweeling_edge.bench.figures import Outcome, figures
from tweeling_edge.bench.load import THINGS
from tweeling_edge.bench.memory import peak_mb
from tweeling_edge.bench.plan import Plan
from tweeling_edge.clock import system_ms
from tweeling_edge.committer import GROUP
from tweeling_edge.config import Config, OutboxSettings
from tweeling_edge.drivers import Batch, Look
from tweeling_edge.events import Command, Connected, Delete, Event, Publish
from tweeling_edge.runtime import Runtime
from tweeling_edge.sample import Sample

_PACE_S = 0.002
_WAITING = 5000  # samples that may wait where there is no schedule


def run(plan: Plan, folder: Path) -> dict[str, Any]:
    """Let an agent, with its outbox in this folder, send as planned; return the figures."""
    hub, node = plan.nodes[0]
    config = Config(
        hub=hub,
        node=node,
        pack=plan.samples,
        messages=plan.window,
        backlog=_WAITING,
        broker=plan.broker.model_copy(update={"credentials": plan.credentials[0] if plan.credentials else None}),
        outbox=OutboxSettings(path=folder / "outbox.sqlite3"),
    )
    driver = _Memory(hub, plan)
    with _Measured(config, driver) as runtime:
        cpu_s = time.process_time()
        end = time.monotonic() + plan.seconds + plan.grace_s
        runtime.run(done=lambda: runtime.finished or time.monotonic() >= end)
        cpu_s = time.process_time() - cpu_s
        counters = runtime.agent.counters
        repeats = -(-counters.repeated // plan.samples)
        outcome = Outcome(
            protocol=runtime.protocol,
            messages=runtime.messages - repeats,
            acknowledged=counters.committed // plan.samples,
            unacknowledged=-(-runtime.agent.queued // plan.samples),
            refused=counters.refused,
            repeats=repeats,
            connections=runtime.connections,
            seconds=runtime.settled_at - driver.began if counters.committed else 0.0,
            latencies_ms=runtime.latencies_ms,
            behind_s=driver.behind_s,
            paused_s=0.0,
            cpu_s=cpu_s,
        )
    return figures("agent", plan, outcome) | {"samples": counters.committed, "rss_mb": round(peak_mb(), 1)}


class _Memory:
    """A driver without a device. `made` holds when each sample was made: that of seq n is at n - 1."""

    name = "memory"

    def __init__(self, hub: str, plan: Plan) -> None:
        self._hub = hub
        self._plan = plan
        self.began = 0.0
        self.behind_s = 0.0
        self.made = array("d")

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Samples for as long as planned: at its rate and live, or as fast as they are taken."""
        del cursor  # it tells nothing twice
        self.began = now = time.monotonic()
        per_s = None if self._plan.rate is None else self._plan.rate * self._plan.samples
        while now < self.began + self._plan.seconds and not stop.is_set():
            due = GROUP if per_s is None else int((now - self.began) * per_s) - len(self.made)
            if due > 0:
                if per_s is not None:
                    self.behind_s = max(self.behind_s, due / per_s)
                yield Batch(self._samples(min(due, GROUP)), live=per_s is not None)
            if per_s is not None and due <= GROUP:
                stop.wait(_PACE_S)
            now = time.monotonic()

    def look(self) -> Iterable[Look]:
        """Nothing is measured."""
        return ()

    def _samples(self, count: int) -> tuple[Sample, ...]:
        first = len(self.made)
        self.made.extend([time.monotonic()] * count)
        size = self._plan.records // self._plan.samples
        time_ms = system_ms()
        return tuple(
            tuple(
                Resolved(f"{self._hub}-c{each % THINGS:03}/fillingLevel", time_ms, each * 7 % 1000 / 1000, "/", None)
                for each in range(number * size, (number + 1) * size)
            )
            for number in range(first, first + count)
        )


class _Measured(Runtime):
    """The agent as it is, watched at the border of its core."""

    def __init__(self, config: Config, driver: _Memory) -> None:
        super().__init__(config, [driver])
        self._driver = driver
        self.messages = 0
        self.connections = 0
        self.settled_at = 0.0
        self.latencies_ms = array("f")

    def _do(self, event: Event) -> None:
        self.connections += isinstance(event, Connected)
        super()._do(event)

    def _carry_out(self, command: Command) -> None:
        if isinstance(command, Delete):
            now = self.settled_at = time.monotonic()
            made = self._driver.made
            self.latencies_ms.extend((now - made[seq - 1]) * 1000 for seq in command.committed)
        super()._carry_out(command)

    def _publish(self, commands: Sequence[Publish]) -> None:
        self.messages += sum(bool(command.seqs) for command in commands)
        super()._publish(commands)
