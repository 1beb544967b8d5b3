"""`tweeling records`: its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, DataFolder, out

app = typer.Typer(no_args_is_help=True, help="Facts and custody log, in SQLite or PostgreSQL.")


@app.callback()
def _group() -> None:
    """Keep a single command a command of a group."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="The records.db that the hub had so far.")],
    data: DataFolder = DATA,
) -> None:
    """Copy a SQLite file's records into the empty database that `records` names, while the hub is stopped."""
    from tweeling.cli.records import import_records

    import_records(data, file, out)
