"""`tweeling quarantine`: its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, AsJson, DataFolder, out

app = typer.Typer(no_args_is_help=True, help="Messages without meaning, kept as they came.")

Reason = Annotated[str, typer.Option(help="Only those whose reason contains this.")]
Topic = Annotated[str, typer.Option(help="Only those whose topic contains this.")]


@app.command("list")
def list_(
    data: DataFolder = DATA,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    before: Annotated[int | None, typer.Option(min=1, help="Only those with a smaller id.")] = None,
    reason: Reason = "",
    topic: Topic = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List messages in quarantine, the newest first: id, when, topic, size, reason."""
    from tweeling.cli.quarantine import list_messages
    from tweeling.services.quarantine import Words

    list_messages(data, limit=limit, before=before, words=Words(reason, topic), as_json=as_json, out=out)


@app.command("show")
def show(
    message: Annotated[int, typer.Argument(min=1, metavar="ID", help="As `tweeling quarantine list` shows it.")],
    data: DataFolder = DATA,
    as_json: AsJson = False,
) -> None:
    """Show a message in quarantine with its bytes; in JSON these are base64."""
    from tweeling.cli.quarantine import show_message

    show_message(data, message, as_json=as_json, out=out)


@app.command("replay")
def replay(
    messages: Annotated[list[int] | None, typer.Argument(min=1, metavar="[ID]...", help="Which.")] = None,
    data: DataFolder = DATA,
    every: Annotated[bool, typer.Option("--all", help="Every message.")] = False,
    reason: Reason = "",
    topic: Topic = "",
    as_json: AsJson = False,
) -> None:
    """Read messages in quarantine again, after a fix; what they mean now is committed, once."""
    from tweeling.cli.quarantine import replay_messages
    from tweeling.services.quarantine import Words

    words = Words(reason, topic)
    replay_messages(data, messages or [], every=every, words=words, as_json=as_json, out=out)
