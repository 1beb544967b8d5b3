"""How every part of a hub is, and what went through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from tweeling.domain.now import PartNow
from tweeling.errors import UnavailableError
from tweeling.ports.facts import Facts
from tweeling.ports.journal import Journal
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.services.anchoring import Anchoring
from tweeling.services.custody import Custody
from tweeling.services.forecasting import Forecaster
from tweeling.services.keeping import Keeper
from tweeling.services.projection import Projector

HISTORY = "history"
"""The fact that says how many points were loaded before the hub lived: {points: n}."""


class Line(Protocol):
    """How the line to the broker is; error is empty while there is no trouble."""

    @property
    def connected(self) -> bool:
        """Whether messages arrive."""
        ...

    @property
    def queued(self) -> int:
        """Messages that wait for a commit."""
        ...

    @property
    def error(self) -> str:
        """The last trouble."""
        ...


class Status:
    """Asks every part; a part that does not answer is said not to be well, and hides no other."""

    def __init__(
        self,
        *,
        subscriber: Callable[[], Line],
        journal: Journal,
        projector: Projector,
        points: TimeSeriesStore,
        facts: Facts,
        custody: Custody,
        anchoring: Anchoring | None,
        forecaster: Forecaster,
        disk: Callable[[], PartNow],
        keeper: Keeper | None = None,
    ) -> None:
        self._subscriber = subscriber
        self._journal = journal
        self._projector = projector
        self._points = points
        self._facts = facts
        self._custody = custody
        self._anchoring = anchoring
        self._forecaster = forecaster
        self._keeper = keeper
        self._disk = disk
        self._loaded: int | None = None
        names = ("readings_in", "readings_stored", "movements", "quarantined", "refused")
        self._last = dict.fromkeys((*names, "events_captured", "events_anchored"), 0)

    def health(self) -> Sequence[PartNow]:
        """Every part: broker, ingest, store, log, ledger, forecast, disk."""
        line = self._subscriber()
        return (
            PartNow("broker", line.connected, "connected" if line.connected else line.error),
            _asked("ingest", lambda: self._ingest(line)),
            _asked("store", self._store),
            _asked("custody", self._custody.health),
            _asked("ledger", self._ledger),
            self._forecaster.health(),
            _asked("disk", self._disk),
        )

    def counts(self) -> dict[str, int]:
        """Totals since the beginning. readings_stored: points the store took that are not loaded history.

        Those that became hourly values since still count.
        """
        for ask in (self._journal_counts, self._stored, self._custody_counts):
            try:
                self._last.update(ask())
            except UnavailableError:
                continue  # what was last known stands, and `health` says who does not answer
        return {
            **self._last,
            "batches_waiting": max(self._projector.status().lag, 0),
            "forecasts": self._forecaster.made,
        }

    def _journal_counts(self) -> dict[str, int]:
        counts = self._journal.counts()
        return {"readings_in": counts["readings"]} | {
            key: counts[key] for key in ("movements", "quarantined", "refused")
        }

    def _stored(self) -> dict[str, int]:
        if self._loaded is None:  # history is loaded before a hub lives, so once is enough
            self._loaded = int(str((self._facts.get(HISTORY) or {}).get("points", 0)))
        removed = self._points.kept().removed
        while True:  # points that become hourly values meanwhile would count twice, or not at all
            stored, before, removed = self._points.count(), removed, self._points.kept().removed
            if removed == before:
                return {"readings_stored": stored + removed - self._loaded}

    def _custody_counts(self) -> dict[str, int]:
        counts = self._custody.counts()
        return {"events_captured": counts["events"], "events_anchored": counts["anchored"]}

    def _ingest(self, line: Line) -> PartNow:
        counts = self._journal.counts()
        waiting = f"{counts['readings']:,} readings committed, {line.queued} messages waiting"
        ok = not line.error  # a line that is connected has an error only while the journal takes nothing
        return PartNow("ingest", ok, waiting if ok else f"{waiting}; {line.error}")

    def _store(self) -> PartNow:
        projected = self._projector.status()
        trouble = projected.lost or (self._keeper and self._keeper.trouble)
        text = f"applied through batch {projected.through} of {projected.last}"
        return PartNow("store", not trouble, trouble or text)

    def _ledger(self) -> PartNow:
        if self._anchoring is None:
            return PartNow("ledger", False, "no chain is configured: every event stays pending")
        return self._anchoring.health()._replace(part="ledger")


def _asked(part: str, ask: Callable[[], PartNow]) -> PartNow:
    try:
        return ask()._replace(part=part)
    except UnavailableError as exc:
        return PartNow(part, False, str(exc))
