"""The quarantine of a journal, beside a running hub's other parts or by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.journal_audit import at_rest
from tweeling.bootstrap.readings import clock_of, journal_path, skew_ms, stores
from tweeling.config import Settings
from tweeling.ports.journal import Journal
from tweeling.services.projection import Projector
from tweeling.services.quarantine import Quarantine


def quarantine_of(settings: Settings, journal: Journal, *, on_batch: Callable[[], object]) -> Quarantine:
    """Join the quarantine to its journal."""
    return Quarantine(journal, clock_of(settings), skew_ms=skew_ms(settings), on_batch=on_batch)


def is_running(settings: Settings) -> bool:
    """Whether a hub has the journal, which belongs to one process."""
    with at_rest(journal_path(settings)) as alone:
        return not alone


@contextmanager
def quarantine_alone(settings: Settings) -> Iterator[Quarantine]:
    """Open the quarantine while no hub runs; what was committed is applied to the stores when the block ends."""
    late_ms = round(settings.ingest.historical_after_s * 1000)
    journal = SqliteJournal(journal_path(settings), late_ms=late_ms)
    try:
        before = journal.last()
        yield quarantine_of(settings, journal, on_batch=lambda: None)
        if journal.last() > before and settings.store.kind != "memory":
            with stores(settings) as (points, _, facts):
                Projector(journal, points, facts).drain()
    finally:
        journal.close()
