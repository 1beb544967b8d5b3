"""What a hub keeps, opened for an auditor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.journal_audit import at_rest, open_journal
from tweeling.adapters.sql.audit import open_records_audit
from tweeling.bootstrap.readings import journal_path, points_of, records_url
from tweeling.config import Settings
from tweeling.ports.audit import JournalAudit, PointsAudit, RecordsAudit


@dataclass(frozen=True, slots=True)
class Audited:
    """An `Installation` to audit. running: a hub lives there meanwhile."""

    settings: Settings
    points: PointsAudit | None
    running: bool

    def points_damage(self) -> Iterator[str]:
        """See `Installation`: of sealed files, while no hub runs that may replace them."""
        return self.points.damage() if isinstance(self.points, DuckDBStore) else iter(())

    def records(self) -> AbstractContextManager[RecordsAudit]:
        """See `Installation`."""
        return open_records_audit(records_url(self.settings))

    def journal(self) -> AbstractContextManager[JournalAudit]:
        """See `Installation`."""
        return open_journal(journal_path(self.settings))


@contextmanager
def audited(settings: Settings, ask: Callable[[], AbstractContextManager[PointsAudit]]) -> Iterator[Audited]:
    """Look at what a hub keeps, and change nothing. ask: how a running hub is asked for its points."""
    with ExitStack() as closing:
        if not closing.enter_context(at_rest(journal_path(settings))):
            yield Audited(settings, closing.enter_context(ask()), running=True)
        elif settings.store.kind == "memory":
            yield Audited(settings, None, running=False)
        else:
            points = points_of(settings, read_only=True)
            closing.callback(points.close)
            yield Audited(settings, points, running=False)
