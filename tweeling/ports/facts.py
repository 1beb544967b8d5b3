"""The record store's facts: what stands still, and what moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from tweeling.domain.region import Region
from tweeling.domain.telemetry import Movement


class Balance(NamedTuple):
    """Exact totals of one zone and material, in grams. hub: whose node weighed, which is what broker rights prove."""

    hub: str
    zone: str
    material: str
    in_g: int
    out_g: int
    loads: int
    last_ms: int


class Facts(Protocol):
    """Region, movements and small settings. Raises UnavailableError while the store does not answer."""

    def save_region(self, region: Region) -> None:
        """Replace the region as one."""
        ...

    def region(self) -> Region:
        """The region; an empty one before it is saved."""
        ...

    def apply_movements(self, movements: Sequence[Movement], *, source: str, through: int) -> None:
        """Keep movements by identity, and note in the same transaction how far `source` is applied."""
        ...

    def movements_applied(self, source: str) -> int:
        """The number through which a source's movements are applied, 0 when never."""
        ...

    def balances(self, *, until_ms: int | None = None) -> Sequence[Balance]:
        """Exact totals per zone and material, of movements at or before a time."""
        ...

    def movements(self, *, after: int = 0, limit: int = 100, hub: str | None = None) -> Sequence[tuple[int, Movement]]:
        """Movements in the order they were applied, behind row number `after`."""
        ...

    def last_movements(self, *, limit: int = 20, before: int | None = None) -> Sequence[tuple[int, Movement]]:
        """Movements with their row numbers, the last applied first, those below row number `before`."""
        ...

    def newest_movements(self, *, limit: int = 20, hub: str | None = None) -> Sequence[Movement]:
        """The latest movements by their own time."""
        ...

    def put(self, key: str, value: Mapping[str, object]) -> None:
        """Keep a small JSON fact under a key."""
        ...

    def get(self, key: str) -> Mapping[str, object] | None:
        """Read a small fact back."""
        ...
