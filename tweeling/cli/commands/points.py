"""`tweeling copy-points`: move to another store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, DataFolder, out


def copy_points(
    old: Annotated[Path, typer.Option("--from", help="The configuration with the store that points come from.")],
    data: DataFolder = DATA,
) -> None:
    """Copy points into the store of this installation, while its hub is stopped; what is there stands."""
    from rich.progress import Progress

    from tweeling import config
    from tweeling.bootstrap.copying import copy_points as copy
    from tweeling.cli.installation import Installation

    installation = Installation(data)
    installation.check_owner()
    with Progress(console=out, transient=True) as bar:
        task = bar.add_task("series", total=None)
        copied = copy(
            config.load(old),
            config.load(installation.config),
            lambda done, of: bar.update(task, completed=done, total=of),
        )
    out.print(f"{copied.points} points copied, {copied.there} were there already")
