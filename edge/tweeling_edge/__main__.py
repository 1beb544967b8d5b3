"""`tweeling-edge`: run the agent, look at it, or replay a file through it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tweeling import __version__
from tweeling.errors import ConfigError, TweelingError
from tweeling_edge import config as configuration
from tweeling_edge import logs, outbox_file, outbox_store
from tweeling_edge.bench import commands as bench_commands
from tweeling_edge.clock import system_ms
from tweeling_edge.drivers.table import ReplaySettings
from tweeling_edge.outbox_store import Quota
from tweeling_edge.settings import validated


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    arguments = _parser().parse_args(argv)
    logs.to_stderr()
    try:
        code: int = arguments.command(arguments)
    except TweelingError as exc:
        sys.stderr.write(f"tweeling-edge: {exc}\n")
        return exc.exit_code
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tweeling-edge", description=__doc__)
    parser.add_argument("--version", action="version", version=f"tweeling-edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run the agent until it is told to stop")
    run.add_argument("config", type=Path, metavar="CONFIG", help="the configuration file (TOML)")
    run.set_defaults(command=_run)

    status = commands.add_parser("status", help="what waits in the outbox, and for how long it can")
    status.add_argument("config", type=Path, metavar="CONFIG", help="the configuration file (TOML)")
    status.add_argument("--json", action="store_true", help="one JSON object")
    status.set_defaults(command=_status)

    replay = commands.add_parser("replay", help="send a recorded series (CSV), and wait until the hub has all of it")
    replay.add_argument("file", type=Path, metavar="FILE", help="a CSV file with a header line")
    replay.add_argument("--config", type=Path, required=True, metavar="CONFIG", help="the configuration file (TOML)")
    replay.add_argument(
        "--columns", default="", metavar="ROLE=NAME,…", help="sensor=…,time=…,value=… and perhaps unit=…"
    )
    replay.add_argument("--unit", default="", help="the SenML unit of values without one, such as %% or /")
    replay.add_argument("--attribute", default="fillingLevel", help="what is measured (fillingLevel)")
    replay.add_argument("--zone", default="UTC", help="the time zone of times without one (UTC)")
    replay.add_argument("--sensors", default="", metavar="A,B", help="only these sensors")
    replay.add_argument(
        "--speed",
        default="max",
        metavar="N|max",
        help="a factor of this agent's clock, or as fast as acknowledged (max)",
    )
    replay.add_argument(
        "--as", dest="times", choices=("historical", "live"), default="historical", help="keep times, or now"
    )
    replay.add_argument("--again", action="store_true", help="play it again, even what was played before")
    replay.add_argument("--json", action="store_true", help="one JSON object")
    replay.set_defaults(command=_replay)

    bench_commands.add(commands)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from tweeling_edge.runtime import Runtime

    with Runtime(configuration.load(arguments.config)) as runtime:
        _stop_on_signals(runtime.stop)
        runtime.run()
    return 0


def _status(arguments: argparse.Namespace) -> int:
    config = configuration.load(arguments.config)
    path, now_ms = config.outbox.path, system_ms()
    quota = Quota.of(config.outbox.max_mb, config.outbox.max_rows)
    answer: dict[str, Any] = {"outbox": str(path), "exists": path.exists(), "running": outbox_file.is_held(path)}
    answer["damaged"] = ", ".join(kept.name for kept in outbox_file.set_aside(path)) or "no"
    if path.exists():
        stats = _look(path)
        answer |= {
            "epoch": stats.epoch,
            "last_seq": stats.last,
            "queued": stats.queued,
            "queued_weighings": stats.weighings,
            "bytes": stats.size,
            "quota_used": round(stats.used(quota), 4),
            "oldest_unsent_s": None
            if stats.oldest_ms is None
            else max(0.0, round((now_ms - stats.oldest_ms) / 1000, 1)),
            "hours_left": stats.hours_left(quota, now_ms),
            "sources": {name or "-": asdict(source) for name, source in stats.sources.items()},
        }
    if arguments.json:
        _say(json.dumps(answer))
        return 0
    for key, value in answer.items():
        if key != "sources":
            _say(f"{key.replace('_', ' '):18} {'unknown' if value is None else value}")
    for name, source in answer.get("sources", {}).items():
        counts = ", ".join(f"{source[key]} {key}" for key in ("queued", "committed", "refused", "dropped"))
        _say(f"{'source':18} {name}: {counts}")
    return 0


def _look(path: Path) -> outbox_store.Stats:
    with outbox_file.translated():
        connection = outbox_file.connect(path)
        try:
            return outbox_store.stats(connection)
        finally:
            connection.close()


def _replay(arguments: argparse.Namespace) -> int:
    from tweeling_edge.drivers.replay import Place
    from tweeling_edge.runtime import Runtime

    config, settings = configuration.load(arguments.config), _replay_settings(arguments)
    with Runtime(config, [settings]) as runtime:
        name = runtime.drivers[0].name
        if arguments.again:
            runtime.outbox.rewind(name)
        before = runtime.outbox.source(name)
        _stop_on_signals(runtime.stop)
        runtime.run(done=lambda: runtime.finished)
        complete = runtime.finished
        source = runtime.outbox.source(name)
    place = Place.read(source.cursor)
    news = source.queued - before.queued
    answer = {
        "file": str(settings.file),
        "rows": place.rows,
        "bad": place.bad,
        "skipped": place.skipped,
        "queued": source.queued,
        "committed": source.committed,
        "refused": source.refused,
        "dropped": source.dropped,
        "sent": news,
        "settled": complete,
    }
    if arguments.json:
        _say(json.dumps(answer))
    else:
        _say(
            ", ".join(f"{value} {key}" for key, value in answer.items() if isinstance(value, int) and key != "settled")
        )
        _say(_ending(complete=complete, news=news))
    return 0 if complete else 1


def _ending(*, complete: bool, news: int) -> str:
    if not complete:
        return "stopped before everything was settled; run it again to go on"
    return "everything is settled" if news else "nothing new in this file: nothing was sent; --again plays it again"


def _replay_settings(arguments: argparse.Namespace) -> ReplaySettings:
    columns = {}
    for part in filter(None, arguments.columns.split(",")):
        role, found, name = part.partition("=")
        if not found:
            raise ConfigError(f"{part!r} is no ROLE=NAME", field="--columns", remedy="Write sensor=…,time=…,value=…")
        columns[role.strip()] = name.strip()
    try:
        speed: float | str = float(arguments.speed)
    except ValueError:
        speed = arguments.speed
    raw = {
        "file": arguments.file,
        "columns": columns,
        "unit": arguments.unit,
        "attribute": arguments.attribute,
        "zone": arguments.zone,
        "speed": speed,
        "times": arguments.times,
        "sensors": tuple(filter(None, (name.strip() for name in arguments.sensors.split(",")))),
    }
    return validated(ReplaySettings, raw, source="replay", base=Path.cwd())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _stop_on_signals(stop: Callable[[], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop())


if __name__ == "__main__":
    sys.exit(main())
