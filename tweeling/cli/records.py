"""`tweeling records`: where facts and custody log are, and taking them elsewhere."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from tweeling import bootstrap, config
from tweeling.cli.installation import Installation
from tweeling.errors import ConfigError


def import_records(folder: Path, file: Path, out: Console) -> None:
    """Copy a SQLite file's records into the empty database that the settings name, while no hub runs."""
    installation = Installation(folder)
    installation.check_owner()
    settings = config.load(installation.config)
    if settings.records is None:
        raise ConfigError(
            "is not set", field="records", source=str(installation.config), remedy="Name the new database there"
        )
    if not file.is_file():
        raise ConfigError("no such file", source=str(file), remedy="Name the records.db of this hub")
    copied = bootstrap.take_records(settings, file)
    rows = ", ".join(f"{count:,} {table}" for table, count in copied.items() if count)
    out.print(f"copied {rows or 'nothing: the file is empty'}; `tweeling fsck` compares all of it with the journal")
