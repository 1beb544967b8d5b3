"""Projection: from the journal, where readings are committed, to the stores that answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tweeling.domain.points import Points, one_table
from tweeling.domain.telemetry import Movement
from tweeling.errors import InvariantError, RefusedError, UnavailableError
from tweeling.ports.facts import Facts
from tweeling.ports.journal import Batch, Journal
from tweeling.ports.timeseries import TimeSeriesStore


def source(journal: Journal) -> str:
    """The name under which stores keep how far they followed this journal, and no other."""
    return f"journal:{journal.id}"


_AT_ONCE = 256  # batches in one transaction, when behind
_FEW = 32  # fewer than these are small news
_IDLE_S = 1.0  # looks by itself this often, should a wake-up go astray
_BACKOFF_S = (0.1, 5.0)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Applied:
    """What every store answers with from now on."""

    points: Points
    movements: tuple[Movement, ...]
    through: int
    recorded_ms: int


class _Places(NamedTuple):
    """A batch number for points and one for movements."""

    points: int
    movements: int

    def reached(self, through: int) -> _Places:
        """At least this far in both."""
        return _Places(max(self.points, through), max(self.movements, through))


class Projected(NamedTuple):
    """How far the stores followed. lost: why they do not answer now, None while they do."""

    through: int
    last: int
    lost: str | None

    @property
    def lag(self) -> int:
        """Batches committed and not yet applied."""
        return self.last - self.through


class Projector:
    """Applies journal batches, in order and once, to store and facts; each keeps its own place.

    A repeat after a crash changes nothing, because a store notes its place in the transaction that applies. A store may
    answer with what it has not yet made durable: the journal is trimmed only behind what every store says it holds
    durably, and what a crash takes is applied again. `on_applied` is told of everything once that was not in the stores
    when this projector first looked at them. pace_s: how often at most small news are applied; the work is the same for
    one point as for thousands.
    """

    def __init__(
        self,
        journal: Journal,
        store: TimeSeriesStore,
        facts: Facts,
        on_applied: Callable[[Applied], None] = lambda _: None,
        *,
        pace_s: float = 0.02,
        stride: int = 100,
    ) -> None:
        self._journal = journal
        self._source = source(journal)
        self._store = store
        self._facts = facts
        self._on_applied = on_applied
        self._pace_s = pace_s
        self._stride = stride  # batches after which the stores are asked what is durable, and the journal is trimmed
        self._news = threading.Event()
        self._at: _Places | None = None  # None: ask the stores
        self._told: _Places | None = None
        self._through = 0
        self._settled = 0
        self._gap = 0  # through which missing points have been told
        self._lost: str | None = None
        self._spared_until = 0.0

    def wake(self) -> None:
        """Say that the journal has something new, or that it is time to stop."""
        self._news.set()

    def run(self, stop: threading.Event) -> None:
        """Follow the journal until `stop`; a store that is down is asked again, the rest of the hub goes on."""
        delay = _BACKOFF_S[0]
        idle = False
        while not stop.is_set():
            self._news.clear()
            try:
                self._follow(stop)
                if idle or self._lost is not None:  # back is a store that keeps, not one that only takes
                    self._settle()
            except UnavailableError as exc:
                if self._lost is None:
                    log.warning("store.lost", extra={"reason": str(exc), "through": self._through})
                self._lost, self._at = str(exc), None
                stop.wait(delay)
                delay = min(delay * 2, _BACKOFF_S[1])
                continue
            if self._lost is not None:
                log.info("store.back", extra={"through": self._through})
            self._lost, delay = None, _BACKOFF_S[0]
            idle = not self._news.wait(_IDLE_S)

    def spare(self, seconds: float) -> None:
        """Trim nothing for so long: somebody copies a store, and then what it needs of the journal."""
        self._spared_until = time.monotonic() + seconds

    def drain(self) -> int:
        """Apply all that is committed, durably; return how far. Raises UnavailableError while a store is down."""
        self._follow(threading.Event())
        self._settle()
        return self._through

    def status(self) -> Projected:
        """How far the stores followed."""
        return Projected(self._through, self._journal.last(), self._lost)

    def _follow(self, stop: threading.Event) -> None:
        at, self._at = self._at or self._places(), None  # after a failure in here nobody knows but the stores
        self._told = self._told or at
        self._through = min(*at, *self._told)
        while not stop.is_set() and (batches := self._journal.read(self._through, _AT_ONCE)):
            began = time.monotonic()
            through = batches[-1].number
            points, movements = _points(batches, at.points), _movements(batches, at.movements)
            self._store.apply(points, source=self._source, through=through)
            if movements:
                self._facts.apply_movements(movements, source=self._source, through=through)
            if at != self._told:  # an attempt failed half-way: the stores know what nobody was told yet
                points, movements = _points(batches, self._told.points), _movements(batches, self._told.movements)
            self._on_applied(Applied(points, movements, through, batches[-1].recorded_ms))
            at, self._told = at.reached(through), self._told.reached(through)
            self._through = through
            if through - self._settled >= self._stride:
                self._settle()
            if len(batches) < _FEW:
                stop.wait(began + self._pace_s - time.monotonic())
        self._at = at

    def _places(self) -> _Places:
        at = _Places(self._store.applied(self._source), self._facts.movements_applied(self._source))
        if max(at) > (last := self._journal.last()):
            raise InvariantError(
                f"the stores have followed this journal further than it goes, so it is an older copy: they are at "
                f"batch {max(at)}, this one ends at {last}; restore the journal that belongs to them, or set it aside: "
                "a new one begins, and the nodes still hold what was not acknowledged",
                field="journal",
            )
        return self._over_the_gap(at)

    def _over_the_gap(self, at: _Places) -> _Places:
        """Where to go on when a store is older than what the journal still holds: points may be missing, for good.

        Weighings may not, so for these it raises RefusedError: the hub goes on to commit, and says that it waits.
        """
        trimmed = self._journal.extent(0).trimmed
        if at.movements < trimmed:
            raise RefusedError(
                f"the records have the weighings of batches through {at.movements}, and the journal holds those after "
                f"{trimmed} only",
                field="records",
                remedy="Restore records and journal of one moment: both from the same backup",
            )
        if at.points < trimmed and trimmed != self._gap:
            self._gap = trimmed
            missing = "their points, but for those that the store was given otherwise: sealed files, or a copy"
            log.warning("store.gap", extra={"after": at.points, "through": trimmed, "missing": missing})
        return at._replace(points=max(at.points, trimmed))

    def _settle(self) -> None:
        """Have the stores keep what they were given, and let the journal forget it; raise where they lost it."""
        if self._through <= self._settled:
            return
        self._facts.apply_movements((), source=self._source, through=self._through)
        durable = min(self._store.applied(self._source), self._facts.movements_applied(self._source))
        if time.monotonic() >= self._spared_until:
            self._journal.trim(durable)
        if durable < self._through:
            raise UnavailableError(f"a store has kept batches through {durable} only, of {self._through}")
        self._settled = self._through


def _movements(batches: Sequence[Batch], after: int) -> tuple[Movement, ...]:
    return tuple(row for batch in batches if batch.number > after for row in batch.movements)


def _points(batches: Sequence[Batch], after: int) -> Points:
    """All points in order, under one table of names."""
    parts = [batch.points for batch in batches if batch.number > after and len(batch.points)]
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Points.of(())
    names, tables = one_table([part.names for part in parts])
    return Points(
        names,
        np.concatenate([table[part.series] for table, part in zip(tables, parts, strict=True)]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )
