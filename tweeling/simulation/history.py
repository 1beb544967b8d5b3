"""A past for a new installation: every hub of the region, week after week."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tweeling.simulation.hours import WEEK_MS
from tweeling.simulation.region import load
from tweeling.simulation.simulator import Fill, Load, Processing, Simulator


class Chunk(NamedTuple):
    """All that happened in [from, through) at every hub, each list in order of time."""

    from_ms: int
    through_ms: int
    fills: list[Fill]
    loads: list[Load]
    processing: list[Processing]


def history(seed: int, start_ms: int, end_ms: int, *, every_ms: int) -> Iterator[Chunk]:
    """Tell [start, end) of all hubs merged, a week at a time; simulators with this seed and start go on from there."""
    simulators = [Simulator(seed, hub.id, start_ms) for hub in load().hubs]
    for from_ms in range(start_ms, end_ms, WEEK_MS):
        through_ms = min(from_ms + WEEK_MS, end_ms)
        chunk = Chunk(from_ms, through_ms, [], [], [])
        for simulator in simulators:
            for event in simulator.observe(from_ms, through_ms, every_ms=every_ms):
                if isinstance(event, Fill):
                    chunk.fills.append(event)
                else:
                    chunk.loads.append(event)
            chunk.processing.extend(simulator.processing(from_ms, through_ms))
        chunk.fills.sort()
        chunk.loads.sort()
        chunk.processing.sort()
        yield chunk
