"""What to send to a hub, by whom, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tweeling_edge.config import Broker
from tweeling_edge.sample import MAX_RECORDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """rate: messages a second of all nodes together; without it, as fast as the hub commits.

    A message is one sample of `records` readings; where a sample cannot be so large, each reading is one of its own.
    """

    broker: Broker
    nodes: tuple[tuple[str, str], ...]
    credentials: tuple[Path, ...] = ()
    records: int
    window: int
    until: Literal["hub", "broker"] = "hub"  # whose word settles a message: the broker's is no delivery
    rate: float | None = None
    seconds: float
    wait_s: float = 5.0  # for the hub's word, before a message is repeated
    grace_s: float = 60.0  # for the first answer, and for the last

    @property
    def samples(self) -> int:
        """Samples, and so sequence numbers, of a message."""
        return 1 if self.records <= MAX_RECORDS else self.records
