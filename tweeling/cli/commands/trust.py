"""`tweeling trust`: its commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tweeling.cli.commands.options import TRUST, TrustStore, out

app = typer.Typer(no_args_is_help=True, help="The logs that you trust, pinned by fingerprint.")


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A trust file that you got from somebody you believe.")],
    fingerprint: Annotated[str | None, typer.Option(help="What its operator told you; nothing else is taken.")] = None,
    trust_store: TrustStore = TRUST,
) -> None:
    """Pin a log by its trust file."""
    from tweeling.cli.verifying import add_trust

    out.print(add_trust(file, trust_store.expanduser(), fingerprint))


@app.command("remove")
def remove(
    fingerprint: Annotated[str, typer.Argument(help="As `tweeling trust list` shows it.")],
    trust_store: TrustStore = TRUST,
) -> None:
    """Trust a log no longer."""
    from tweeling.verify import TrustStore as Store

    Store(trust_store.expanduser()).remove(fingerprint)
    out.print(f"no longer trusted: {fingerprint}", markup=False)


@app.command("list")
def list_(trust_store: TrustStore = TRUST) -> None:
    """List the logs that are pinned."""
    from tweeling.cli.verifying import list_trust

    for line in list_trust(trust_store.expanduser()):
        out.print(line)
