"""Where samples come from. A driver yields batches; the agent keeps each batch and its cursor in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tweeling_edge.sample import Sample


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that follow one another, and where the driver goes on after them.

    live: wanted at once; others are recorded ones, of which only so many wait at a time.
    """

    samples: tuple[Sample, ...]
    cursor: str | None = None
    live: bool = True


class Driver(Protocol):
    """A source of samples. The next batch is asked for only when the last one is durable."""

    @property
    def name(self) -> str:
        """The name under which its cursor and counts are kept; the same one must mean the same source."""
        ...

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Yield batches from behind the cursor until there are no more, or stop is set.

        Raises OSError or TweelingError when the source fails; it is then asked again, from the last durable cursor.
        """
        ...
