"""The record store of a hub that is stopped."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from tweeling.adapters.journal_audit import at_rest
from tweeling.adapters.sql.copying import copy
from tweeling.adapters.sql.engine import open_records
from tweeling.bootstrap.readings import journal_path, records_url
from tweeling.config import Settings
from tweeling.errors import ConfigError


def take_records(settings: Settings, file: Path) -> dict[str, int]:
    """Copy a SQLite file's records into the store that the settings name; return how many rows each table had."""
    with at_rest(journal_path(settings)) as alone:
        if not alone:
            raise ConfigError("a hub runs here", source=str(settings.data), remedy="Stop it first")
        with closing(open_records(records_url(settings))) as records:
            return copy(file, records)
