"""What an earlier version kept, brought to the schema of this one: each database in one transaction, any time again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

from tweeling.adapters import journal_migration
from tweeling.adapters.copies import journal_copy
from tweeling.adapters.journal_audit import at_rest
from tweeling.adapters.journal_file import VERSION
from tweeling.adapters.sql.audit import schema_of
from tweeling.adapters.sql.engine import migrations, open_records
from tweeling.bootstrap.backup import make_backup
from tweeling.bootstrap.readings import journal_path, records_url, stores
from tweeling.config import Settings
from tweeling.domain.points import Points
from tweeling.errors import ConfigError, UnavailableError


class Step(NamedTuple):
    """Something to be done, in words, and how. changes: what the hub keeps, so that a backup comes before it.

    run: does it, and returns what it did in words of its own, None where `what` says all.
    """

    what: str
    run: Callable[[], list[str] | None]
    changes: bool = True


def migration(settings: Settings) -> list[Step]:
    """What is to be done, in its order; raises ConfigError for what a newer program wrote."""
    steps = []
    journal = journal_path(settings)
    version = journal_migration.schema(journal) if journal.is_file() else VERSION
    if version < VERSION:
        steps.append(Step(f"journal: schema {version} becomes {VERSION}", lambda: journal_migration.migrate(journal)))
    have, know = schema_of(records_url(settings)), migrations()[-1][0]
    if 0 < have < know:
        steps.append(
            Step(f"records: schema {have} becomes {know}", lambda: open_records(records_url(settings)).close())
        )
    if settings.store.kind == "influxdb":
        from tweeling.bootstrap import influx  # its client takes a while to load

        steps.append(Step("InfluxDB: buckets and tasks as the settings say", lambda: influx.migrate(settings), False))
    if version < VERSION or (journal.is_file() and journal_copy(journal).renamed):
        steps.append(Step("stores: told the journal's new name", lambda: _carry(settings)))
    return steps


def migrate(settings: Settings, config: Path, *, backup: Path | None) -> list[str]:
    """Do what is to be done, and return it in words.

    backup: where the hub is backed up before anything that it keeps is changed. Raises ConfigError while a hub runs,
    and what the steps raise; what was done before stands, and calling this again goes on from there.
    """
    journal = journal_path(settings)
    with at_rest(journal) if journal.is_file() else nullcontext(True) as rests:
        if not rests:
            raise ConfigError("a hub runs here", source=str(settings.data), remedy="Stop it first")
        steps = migration(settings)
        if backup is not None and any(step.changes for step in steps):
            make_backup(settings, config, backup, ask=lambda: None)
        done: list[str] = []
        for step in steps:
            told = step.run()
            done += [step.what] if told is None else told
        return done


def _carry(settings: Settings) -> None:
    """Let the stores go on under the journal's new name from where they were under the old one.

    The journal is asked to forget the old name only once both stores say that they keep the number under the new one.
    """
    path = journal_path(settings)
    told = journal_copy(path)
    with stores(settings) as (points, _, facts):
        if through := points.applied(told.source):
            points.apply(Points.of(()), source=told.renamed, through=through)
            _kept(points.applied(told.renamed), through, "the time-series store")
        if through := facts.movements_applied(told.source):
            facts.apply_movements((), source=told.renamed, through=through)
            _kept(facts.movements_applied(told.renamed), through, "the records")
    journal_migration.renamed(path)


def _kept(found: int, through: int, store: str) -> None:
    if found < through:
        raise UnavailableError(
            f"{store} did not keep how far the journal was followed: batch {found} instead of {through}. "
            "See that it runs and can write, and run this again"
        )
