"""Where samples come from. A driver yields batches; the agent keeps each batch and its cursor in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from tweeling_edge.clock import Clock
from tweeling_edge.sample import Sample


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples that follow one another, and where the driver goes on after them.

    live: wanted at once; others are recorded ones, of which only so many wait at a time.
    unread: what came and had no meaning, counted by reason; kept with the samples.
    """

    samples: tuple[Sample, ...]
    cursor: str | None = None
    live: bool = True
    unread: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """What a sensor says when it is looked at; or, where it says nothing of use, what is `wrong` and the remedy.

    raw: as the device said it. value, unit: as they are sent. time_ms: the device's own, where it tells one.
    """

    sensor: str
    raw: str = ""
    value: float | int | None = None
    unit: str = ""
    time_ms: int | None = None
    wrong: str = ""
    remedy: str = ""


class Site(NamedTuple):
    """What a driver may know of its gateway. patience_s: how long `look` may wait for a sensor that speaks unasked."""

    hub: str
    node: str
    clock: Clock
    patience_s: float = 10.0


class Driver(Protocol):
    """A source of samples. The next batch is asked for only when the last one is durable.

    Its class takes (settings, site), and names the class of its settings as `Settings`.
    """

    @property
    def name(self) -> str:
        """The name under which its cursor and counts are kept; the same one must mean the same source."""
        ...

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Yield batches from behind the cursor until there are no more, or stop is set.

        Raises OSError or TweelingError when the source fails; it is then asked again, from the last durable cursor.
        """
        ...

    def look(self) -> Iterable[Look]:
        """Look at each sensor once, for a person: nothing is kept, and a running agent is not disturbed.

        Raises OSError or TweelingError when the source cannot be reached.
        """
        ...
