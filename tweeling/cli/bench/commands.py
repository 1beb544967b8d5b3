"""The command line of the benchmarks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from tweeling.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Measure, each figure beside the machine's own limit.")
_out = Console(highlight=False, soft_wrap=True)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


@app.command()
def ingest(
    broker: Annotated[Literal["nats", "mosquitto"], typer.Option(help="Which broker carries it.")] = "nats",
    protocol: Annotated[Literal["auto", "3.1.1", "5"], typer.Option(help="The version of MQTT.")] = "auto",
    packs: Annotated[str, typer.Option(metavar="N,N", help="Records in a message.")] = "1,5,100",
    run_seconds: Annotated[float, typer.Option("--seconds", min=1, help="Of each measurement.")] = 10,
    sustained: Annotated[float, typer.Option(min=1, help="Seconds at 5,000 messages a second.")] = 30,
    nodes: Annotated[int, typer.Option(min=1, max=50, help="Nodes that publish, each of a hub of its own.")] = 4,
    window: Annotated[int, typer.Option(min=1, help="Messages of a node that the hub has not acknowledged.")] = 200,
    shards: Annotated[int, typer.Option(min=0, max=16, help="Worker processes; 0 reads in the hub's own.")] = 0,
    profile: Annotated[bool, typer.Option("--profile", help="Write profile-*.txt; figures are lower then.")] = False,
    as_json: AsJson = False,
) -> None:
    """Publish to acknowledged and queryable: broker, publisher and hub on this machine."""
    from tweeling.cli.bench.ingest import Options, run
    from tweeling.cli.bench.report import Report
    from tweeling.cli.bench.rig import Plan

    try:
        sizes = tuple(int(part) for part in packs.split(","))
    except ValueError:
        sizes = ()
    if not sizes or not all(1 <= size <= 1000 for size in sizes):
        raise ConfigError(f"{packs!r} is no list of sizes", field="--packs", remedy="Write 1,5,100; at most 1000")
    plan = Plan(broker=broker, protocol=protocol, nodes=nodes, shards=min(shards, nodes))
    options = Options(plan=plan, packs=sizes, seconds=run_seconds, sustained=sustained, window=window, profile=profile)
    raise typer.Exit(run(options, Report(_out, as_json=as_json)))


@app.command()
def query(
    store: Annotated[
        Literal["duckdb", "victoriametrics", "memory"], typer.Option(help="Which time-series store answers.")
    ] = "duckdb",
    points: Annotated[int, typer.Option(min=10_000, help="How many it holds.")] = 6_800_000,
    repeats: Annotated[int, typer.Option(min=2, help="Of each question.")] = 100,
    run_seconds: Annotated[
        float, typer.Option("--seconds", min=0, help="At 5,000 messages a second into a hub; 0 leaves it out.")
    ] = 30,
    appended: Annotated[int, typer.Option(min=5_000, help="Points that are added to those it holds.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """How soon a store answers, from how many bytes, and how soon after its publishing a reading can be asked for."""
    from tweeling.cli.bench.query import Options, run
    from tweeling.cli.bench.report import Report

    options = Options(store=store, points=points, repeats=repeats, seconds=run_seconds, appended=appended)
    raise typer.Exit(run(options, Report(_out, as_json=as_json)))


@app.command()
def custody(
    events: Annotated[int, typer.Option(min=500, help="In bulk, unsigned and then signed.")] = 20_000,
    run_seconds: Annotated[float, typer.Option("--seconds", min=1, help="At 200 events a second, each time.")] = 10,
    submitters: Annotated[int, typer.Option(min=1, max=64, help="Who send these, at the same time.")] = 8,
    anchors: Annotated[
        int, typer.Option(min=0, max=50, help="On a development chain, for each size of batch; 0 leaves it out.")
    ] = 20,
    leaves: Annotated[int, typer.Option(min=1, help="Of a tree in memory.")] = 1 << 17,
    cold: Annotated[
        int, typer.Option(min=0, help="Entries of a log that is asked cold, 500 bytes each on disk; 0 leaves it out.")
    ] = 0,
    records: Annotated[
        str | None,
        typer.Option(metavar="URL", envvar="TWEELING_BENCH_RECORDS", help="An empty record store, else a SQLite file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How soon an event is durable in the custody log, how many a second, and what anchors cost."""
    from tweeling.cli.bench.custody import Options, run
    from tweeling.cli.bench.report import Report

    options = Options(
        events=events,
        seconds=run_seconds,
        submitters=submitters,
        anchors=anchors,
        leaves=leaves,
        cold=cold,
        records=records,
    )
    raise typer.Exit(run(options, Report(_out, as_json=as_json)))


@app.command()
def edge(
    run_seconds: Annotated[float, typer.Option("--seconds", min=1, help="Of each measurement.")] = 5,
    writers: Annotated[int, typer.Option(min=1, max=64, help="Threads that put single readings.")] = 8,
    as_json: AsJson = False,
) -> None:
    """Durable readings through an agent's outbox, and an agent's memory."""
    from tweeling.cli.bench.report import Report

    argv = [sys.executable, "-m", "tweeling_edge", "bench", "outbox", "--json"]
    argv += ["--seconds", f"{run_seconds:g}", "--writers", str(writers)]
    done = subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=False)
    report = Report(_out, as_json=as_json)
    report.add_objects(done.stdout.splitlines())
    raise typer.Exit(done.returncode or (0 if report.kept else 1))


def part(what: Literal["hub", "null"], folder: Path, *, profile: bool) -> None:
    """Run one of the processes that a benchmark measures, until SIGTERM."""
    from tweeling.cli.bench import measured
    from tweeling.cli.signals import stop_on_signals

    stop = stop_on_signals()
    if what == "hub":
        measured.run_hub(folder, stop, profile=profile)
    else:
        measured.run_null(folder, stop)
