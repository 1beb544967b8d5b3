"""The twin as screens and interfaces read it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from tweeling.domain.forecast import Forecast
from tweeling.domain.now import EventNow, NodeNow, PartNow, ThingNow
from tweeling.domain.region import Region
from tweeling.domain.vitals import Vitals


class TwinView(Protocol):
    """Reads only; safe from any thread; raises UnavailableError while what is asked does not answer."""

    def now_ms(self) -> int:
        """The twin's time."""
        ...

    def region(self) -> Region:
        """What stands still."""
        ...

    def things(self) -> Sequence[ThingNow]:
        """Every zone of the region, then every other container that reports, by hub and name."""
        ...

    def history(self, hub: str, thing: str, *, hours: int) -> Sequence[tuple[int, float]]:
        """Hourly mean fillingLevel of the last hours as (time_ms, value); empty hours are left out."""
        ...

    def forecast(self, hub: str, thing: str) -> Forecast | None:
        """The newest forecast of a thing's fillingLevel for 14 days; None where history is too short."""
        ...

    def events(self, limit: int = 20) -> Sequence[EventNow]:
        """The latest custody events, newest first."""
        ...

    def nodes(self) -> Sequence[NodeNow]:
        """Presence of every edge node that ever spoke."""
        ...

    def health(self) -> Sequence[PartNow]:
        """Every part and how it is."""
        ...

    def counts(self) -> dict[str, int]:
        """Totals: readings_in, readings_stored, movements, quarantined, events_captured, events_anchored, and so on."""
        ...

    def vitals(self) -> Vitals:
        """What goes through, what waits, what is missing and what is left."""
        ...

    def changes(self) -> AsyncIterator[int]:
        """Yield a growing revision when something a screen shows has changed; slow readers skip, never queue."""
        ...
