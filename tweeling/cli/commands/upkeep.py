"""`tweeling backup`, `restore` and `migrate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, AsJson, DataFolder, out


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, such as hub.tar.zst.")],
    data: DataFolder = DATA,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Leave out what a database server keeps: its own tools back it up.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Back up all of a hub, running or not, into one file; keys and passwords are in it."""
    from tweeling.cli.upkeep import run_backup

    run_backup(data, target, files_only=files_only, as_json=as_json, out=out)


def restore(
    file: Annotated[Path, typer.Argument(help="What `tweeling backup` wrote.")],
    data: DataFolder = DATA,
    force: Annotated[
        bool, typer.Option("--force", help="Set aside what is in the folder; nothing of it is removed.")
    ] = False,
    new_log: Annotated[
        str | None,
        typer.Option("--new-log", metavar="ORIGIN", help="The custody log's new name, where it is behind its ledger."),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only read the backup through, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a hub into an empty folder and audit it; exit 0 all agrees, 3 something does not."""
    from tweeling.cli.upkeep import run_restore, run_verify

    if verify:
        run_verify(file, as_json=as_json, out=out)
        return
    raise typer.Exit(run_restore(file, data, force=force, new_log=new_log, as_json=as_json, out=out))


def migrate(
    data: DataFolder = DATA,
    backup: Annotated[
        Path | None, typer.Option("--backup", metavar="FILE", help="Where the hub is backed up before.")
    ] = None,
    no_backup: Annotated[bool, typer.Option("--no-backup", help="There is a backup already.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Bring what an earlier version kept to the schema of this one, while the hub is stopped."""
    from tweeling.cli.upkeep import run_migrate

    run_migrate(data, backup=backup, no_backup=no_backup, dry_run=dry_run, out=out)
