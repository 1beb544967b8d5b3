"""Two stores of one installation, opened to copy from one to the other while no hub runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from tweeling.adapters.journal import SqliteJournal
from tweeling.bootstrap.quarantine import is_running
from tweeling.bootstrap.readings import journal_path, points_of
from tweeling.config import Settings
from tweeling.errors import ConfigError
from tweeling.services.copying import Copied, copy


def copy_points(old: Settings, new: Settings, told: Callable[[int, int], object]) -> Copied:
    """Copy the points of one configuration's store into another's; raises ConfigError where a hub runs."""
    if old.store.kind == "memory" or new.store.kind == "memory":
        raise ConfigError("keeps nothing that could be copied", field="store.kind", remedy="Name a store that lasts")
    if (old.store, old.data if old.store.kind == "duckdb" else None) == (
        new.store,
        new.data if new.store.kind == "duckdb" else None,
    ):
        raise ConfigError(
            "is the same store in both configurations",
            field="store",
            remedy="Copy tweeling.toml before you change [store] in it, and name the copy with --from",
        )
    if is_running(new):  # or ConfigError, where there is no journal
        raise ConfigError("a hub has this journal", source=str(journal_path(new)), remedy="Stop it first")
    late_ms = round(new.ingest.historical_after_s * 1000)
    with (
        closing(SqliteJournal(journal_path(new), late_ms=late_ms)) as journal,  # no hub starts meanwhile
        closing(points_of(old, read_only=True)) as source,
        closing(points_of(new)) as target,
    ):
        return copy(source, target, journal, told)
