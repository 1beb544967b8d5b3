"""`tweeling ledger`: its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, AsJson, DataFolder, out
from tweeling.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="The contract that holds the log's head, and who keeps it.")

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command()
def status(data: DataFolder = DATA, as_json: AsJson = False) -> None:
    """Compare log and chain; exit 0 all is well, 1 something is not, 2 a setting is wrong, 3 they disagree."""
    from tweeling.cli.ledger_status import show_ledger

    raise typer.Exit(show_ledger(data, as_json=as_json, out=out))


@app.command()
def deploy(
    data: DataFolder = DATA,
    again: Annotated[bool, typer.Option("--again", help="Though one is configured.")] = False,
    yes: Yes = False,
) -> None:
    """Put the contract on the configured chain, and name it in the settings; says what it costs, and asks."""
    from tweeling.cli import ledger

    ledger.deploy(data, again=again, yes=yes, out=out)


@app.command("new-key")
def new_key(
    file: Annotated[Path, typer.Argument(help="The key file to make; its passphrase stands beside it.")],
) -> None:
    """Make the key of an operator to be."""
    from tweeling.cli import ledger

    ledger.new_key(file, out)


@app.command("rotate-operator")
def rotate_operator(
    data: DataFolder = DATA,
    to: Annotated[str | None, typer.Option("--to", metavar="ADDRESS", help="Offer the log to this account.")] = None,
    accept: Annotated[
        bool, typer.Option("--accept", help="Take the log over, as the account it is offered to.")
    ] = False,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the offer back.")] = False,
    key_file: Annotated[Path | None, typer.Option(help="With --accept: the new key.")] = None,
    passphrase_file: Annotated[Path | None, typer.Option(help="With --accept: what opens it.")] = None,
) -> None:
    """Hand the log over to another key, in two steps: --to its address, then --accept with its file."""
    from tweeling.cli import ledger

    if [to is not None, accept, withdraw].count(True) != 1:
        raise ConfigError("one of them is needed", field="--to, --accept, --withdraw", remedy="Name one")
    if not accept and (key_file or passphrase_file):
        raise ConfigError("goes with --accept", field="--key-file", remedy="Leave it out: the offer is the old key's")
    if accept:
        ledger.accept(data, key_file, passphrase_file, out)
    else:
        ledger.propose(data, to, out)


@app.command()
def retire(
    successor_contract: Annotated[str, typer.Option(metavar="ADDRESS", help="The contract in which the log goes on.")],
    data: DataFolder = DATA,
    chain: Annotated[int | None, typer.Option(metavar="ID", help="Its chain, if it is another.", min=1)] = None,
    rpc: Annotated[str | None, typer.Option(metavar="URL", help="A node of that chain.")] = None,
    yes: Yes = False,
) -> None:
    """End the log in its contract for ever, and let it go on in another; verifiers follow."""
    from tweeling.cli import ledger

    ledger.retire(data, successor_contract, chain, rpc, yes=yes, out=out)
