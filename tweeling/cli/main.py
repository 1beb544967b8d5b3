"""`tweeling`: the commands of a hub. Each parses, calls one service and prints; errors become exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.exceptions import TyperException

from tweeling import __version__
from tweeling.cli.bench import commands as bench
from tweeling.cli.commands import admin, ledger, movement, points, quarantine, records, trust, upkeep
from tweeling.cli.commands.options import DATA, TRUST, AsJson, DataFolder, TrustStore, out
from tweeling.cli.logs import log_to_stderr
from tweeling.cli.signals import stop_on_signals
from tweeling.errors import ConfigError, TweelingError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
app.command()(admin.init)
app.command()(admin.password)
app.add_typer(admin.node, name="node")
app.add_typer(admin.certificate, name="certificate")
app.add_typer(ledger.app, name="ledger")
app.add_typer(trust.app, name="trust")
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(movement.app, name="movement")
app.add_typer(records.app, name="records")
app.add_typer(bench.app, name="bench")
app.command("copy-points")(points.copy_points)
for upkept in (upkeep.backup, upkeep.restore, upkeep.migrate):
    app.command()(upkept)


def _port(purpose: str) -> Any:
    return typer.Option(help=f"{purpose}; 0 takes any free port.", min=0, max=65535)


def run() -> int:
    """Run the command line and return its exit code."""
    os.umask(0o077)  # readings, keys and logs are their owner's business, in every file that is made from here on
    try:
        code = app(standalone_mode=False)
    except TweelingError as exc:
        sys.stderr.write(f"tweeling: {exc}\n")
        return exc.exit_code
    except typer.Abort:
        return 130
    except typer.Exit as exc:
        return exc.exit_code
    except TyperException as exc:
        describe = getattr(exc, "format_message", exc.__str__)  # names the option, where the complaint is about one
        sys.stderr.write(f"tweeling: {str(describe()).rstrip('.')}. See --help.\n")
        return 2
    return code if isinstance(code, int) else 0


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    """The live twin of a network of circular-economy hubs."""
    if version:
        out.print(f"tweeling {__version__}")
        raise typer.Exit


@app.command()
def demo(
    data: DataFolder = DATA,
    port: Annotated[int, _port("Where the dashboard listens")] = 8050,
    mqtt_port: Annotated[int, _port("Where the broker listens")] = 18830,
    chain_port: Annotated[int, _port("Where the development chain listens")] = 18545,
    speed: Annotated[float, typer.Option(help="Simulated seconds a second.", min=1, max=3600)] = 600,
    seed: Annotated[int, typer.Option(help="Which story is told; for a new folder only.", min=0)] = 2026,
    headless: Annotated[
        bool, typer.Option("--headless", help="Without a person: run for a while, then sum up.")
    ] = False,
    duration: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="With --headless, how long: 90s (the default), 5m.")
    ] = None,
    as_json: AsJson = False,
    open_browser: Annotated[bool, typer.Option("--open", help="Open a browser, logged in.")] = False,
) -> None:
    """Run the whole chain on the demo region, until Ctrl-C."""
    from tweeling.cli.demo import Options, run_demo

    if not headless and (as_json or duration is not None):
        name = "--json" if as_json else "--for"
        raise ConfigError("goes with --headless", field=name, remedy=f"Add --headless, or leave out {name}")
    options = Options(
        folder=data,
        port=port,
        mqtt_port=mqtt_port,
        chain_port=chain_port,
        speed=speed,
        seed=seed,
        headless_s=seconds(duration or "90s") if headless else None,
        as_json=as_json,
        open_browser=open_browser,
    )
    raise typer.Exit(run_demo(options, stop_on_signals()))


@app.command()
def up(
    config: Annotated[Path | None, typer.Argument(help="The hub's settings; those of the folder else.")] = None,
    data: DataFolder = DATA,
) -> None:
    """Run a hub, and its broker where that is embedded, until it is told to stop."""
    from tweeling.cli.up import serve_hub

    raise typer.Exit(serve_hub(config or data / "tweeling.toml", stop_on_signals()))


@app.command()
def status(data: DataFolder = DATA, as_json: AsJson = False) -> None:
    """Show how a running hub is, in one screen; exit 0 all is well, 1 something is not, or no hub answers."""
    from tweeling.cli.status import show_status

    raise typer.Exit(show_status(data, as_json=as_json, out=out))


@app.command()
def receipt(
    event: Annotated[str, typer.Argument(help="An event's id, or `latest` for the newest anchored one.")],
    target: Annotated[Path | None, typer.Option("--out", "-o", help="The file to write; its id names it else.")] = None,
    data: DataFolder = DATA,
) -> None:
    """Write the receipt of a custody event, for a partner to verify elsewhere."""
    from tweeling.cli.client import HubClient
    from tweeling.verify.plain import plain

    with HubClient(data) as hub:
        if event == "latest":
            event = hub.newest_anchored(within=30)
        content = hub.receipt(event)
    path = target or Path(receipt_name(event))
    try:
        path.write_bytes(content)
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", field="--out", source=str(path)) from exc
    out.print(f"{path}: {len(content):,} bytes, event {plain(event)}", markup=False)


@app.command()
def events(
    data: DataFolder = DATA,
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest custody events with their ids, newest first."""
    from tweeling.cli.client import HubClient
    from tweeling.verify.plain import plain

    with HubClient(data) as hub:
        rows = hub.events(limit=limit)
    if as_json:
        out.print_json(json.dumps(rows))
        return
    for row in rows:
        proof = row["state"] if row["block"] is None else f"anchored in block {row['block']}"
        what = f"{row['event_id']}  {row['type']} {row['biz_step']}, by {row['submitter']}, {proof}"
        out.print(plain(what), markup=False)


@app.command("fsck")
def check_files(
    data: DataFolder = DATA,
    no_chain: Annotated[bool, typer.Option("--no-chain", help="Do not ask the chain for the anchors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Re-derive ranges, totals, points and roots from what is kept; exit 0 all agrees, 3 something does not."""
    from tweeling.cli.fsck import run_fsck

    raise typer.Exit(run_fsck(data, as_json=as_json, out=out, ask_chain=not no_chain))


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Receipts.")],
    trust_store: TrustStore = TRUST,
    rpc: Annotated[str | None, typer.Option(help="Also ask a node of the chain for the anchor.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify receipts offline; exit 0 valid, 3 does not verify, 4 cannot decide."""
    from tweeling.cli.verifying import verify_files

    raise typer.Exit(verify_files(files, trust_store.expanduser(), rpc, as_json=as_json, out=out))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def replay(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A recording (CSV).")],
    data: DataFolder = DATA,
) -> None:
    """Replay a recording into a running demo; further options are those of `tweeling-edge replay`."""
    from tweeling.cli.installation import RECORDER, Installation

    config = Installation(data).edge(RECORDER[0])
    if not config.is_file():
        raise ConfigError("no demo here", source=str(data), remedy="Start `tweeling demo` first")
    command = [sys.executable, "-m", "tweeling_edge", "replay", str(file), "--config", str(config), *context.args]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command("demo-partners", hidden=True)
def demo_partners(data: DataFolder = DATA) -> None:
    """Play the demo's partners (started by `tweeling demo`)."""
    from tweeling.cli.partners import run_partners

    log_to_stderr()
    run_partners(data, stop_on_signals())


@app.command("bench-part", hidden=True)
def bench_part(
    what: Annotated[Literal["hub", "null"], typer.Argument()],
    folder: Annotated[Path, typer.Argument()],
    profile: Annotated[bool, typer.Option("--profile")] = False,
) -> None:
    """Be measured (started by `tweeling bench`)."""
    log_to_stderr()
    bench.part(what, folder, profile=profile)


def receipt_name(event: str) -> str:
    """The file for the receipt of an event, whose id is a partner's to choose: always in this folder, never hidden."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", event.rsplit(":", 1)[-1]).lstrip(".")[:100]
    return f"{name or 'event'}.receipt.cbor"


def seconds(text: str) -> float:
    """Read a time such as 90s, 5m or 2h."""
    factors = {"s": 1.0, "m": 60.0, "h": 3600.0}
    number, unit = (text[:-1], text[-1:]) if text[-1:] in factors else (text, "s")
    try:
        value = float(number) * factors[unit]
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ConfigError(f"{text!r} is no time", field="--for", remedy="Write 90s, 5m or 2h")
    return value
