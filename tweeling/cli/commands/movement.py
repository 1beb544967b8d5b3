"""`tweeling movement`: its commands."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, DataFolder, out
from tweeling.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="What was weighed, load by load.")


@app.command("list")
def list_(
    data: DataFolder = DATA,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    before: Annotated[int | None, typer.Option(min=1, help="Only those with a smaller number.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List weighings, the last applied first: number, when, node, zone, load, ticket, correction."""
    from tweeling.cli.movement import list_movements

    list_movements(data, limit=limit, before=before, as_json=as_json, out=out)


@app.command("correct")
def correct(
    number: Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="As `tweeling movement list` shows it.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever audits.")],
    by: Annotated[str, typer.Option(help="Who says so; your login name, if not told.")] = "",
    grams: Annotated[int | None, typer.Option(min=0, help="What the load weighed, where it was real.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where it was, if elsewhere.")] = None,
    material: Annotated[str | None, typer.Option(help="What it was, if something else.")] = None,
    data: DataFolder = DATA,
) -> None:
    """Take a weighing back by an entry of its own, and enter what it should have been."""
    from tweeling.cli.movement import correct_movement
    from tweeling.domain.correction import Instead

    instead = Instead(grams, zone, material)
    correct_movement(data, number, by=by or _me(), reason=reason, instead=instead, out=out)


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as exc:  # in a container, a user may have no name
        raise ConfigError("your login name is not known", field="--by", remedy="Name who says so") from exc
