"""Facts in memory: for tests, and for a hub that may forget."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from threading import Lock

from tweeling.domain.region import Region
from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.ports.facts import Balance

_EMPTY = Region(hubs=(), zones=(), materials=(), tenants=(), flows=())


class MemoryFacts:
    """Facts that last as long as their process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._region = _EMPTY
        self._movements: dict[Identity, Movement] = {}
        self._order: list[Movement] = []
        self._applied: dict[str, int] = {}
        self._facts: dict[str, str] = {}

    def save_region(self, region: Region) -> None:
        """Replace the region as one."""
        self._region = region

    def region(self) -> Region:
        """The region; an empty one before it is saved."""
        return self._region

    def apply_movements(self, movements: Sequence[Movement], *, source: str, through: int) -> None:
        """Keep movements by identity, once per (source, through)."""
        with self._lock:
            if through <= self._applied.get(source, 0):
                return
            for movement in movements:
                if self._movements.setdefault(movement.identity, movement) is movement:
                    self._order.append(movement)
            self._applied[source] = through

    def movements_applied(self, source: str) -> int:
        """The number through which a source's movements are applied, 0 when never."""
        with self._lock:
            return self._applied.get(source, 0)

    def balances(self, *, until_ms: int | None = None) -> Sequence[Balance]:
        """Exact totals per hub, zone and material, in that order."""
        totals: dict[tuple[str, str, str], Balance] = {}
        with self._lock:
            for row in self._order:
                if until_ms is None or row.time_ms <= until_ms:
                    key = (row.identity.hub, row.zone, row.material)
                    totals[key] = _add(totals.get(key, Balance(*key, 0, 0, 0, row.time_ms)), row)
        return [totals[key] for key in sorted(totals)]

    def movements(self, *, after: int = 0, limit: int = 100, hub: str | None = None) -> Sequence[tuple[int, Movement]]:
        """Movements in the order they were applied, behind row number `after`."""
        with self._lock:
            rows = enumerate(self._order[after:], start=after + 1)
            return [row for row in rows if hub in {None, row[1].identity.hub}][:limit]

    def last_movements(self, *, limit: int = 20, before: int | None = None) -> Sequence[tuple[int, Movement]]:
        """Movements with their row numbers, the last applied first."""
        with self._lock:
            rows = list(enumerate(self._order[: None if before is None else before - 1], start=1))
            return rows[::-1][:limit]

    def newest_movements(self, *, limit: int = 20, hub: str | None = None) -> Sequence[Movement]:
        """The latest movements by their own time, newest first."""
        with self._lock:
            rows = [(row.time_ms, number) for number, row in enumerate(self._order) if hub in {None, row.identity.hub}]
            return [self._order[number] for _, number in sorted(rows, reverse=True)[:limit]]

    def put(self, key: str, value: Mapping[str, object]) -> None:
        """Keep a small JSON fact under a key."""
        text = json.dumps(value)
        with self._lock:
            self._facts[key] = text

    def get(self, key: str) -> Mapping[str, object] | None:
        """Read a small fact back."""
        with self._lock:
            text = self._facts.get(key)
        fact: dict[str, object] | None = None if text is None else json.loads(text)
        return fact


def _add(total: Balance, row: Movement) -> Balance:
    came = row.net_g if row.direction is Direction.IN else 0
    return total._replace(
        in_g=total.in_g + came,
        out_g=total.out_g + row.net_g - came,
        loads=total.loads + 1,
        last_ms=max(total.last_ms, row.time_ms),
    )
