"""`tweeling-edge`: run the agent, look at its sensors or at its outbox, or replay a file through it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tweeling import __version__
from tweeling.errors import ConfigError, TweelingError
from tweeling_edge import config as configuration
from tweeling_edge import logs
from tweeling_edge.bench import commands as bench_commands
from tweeling_edge.clock import system_ms
from tweeling_edge.drivers.table import ReplaySettings
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

    check = commands.add_parser("check", help="look at each sensor once, and at the broker; nothing is kept or sent")
    check.add_argument("config", type=Path, metavar="CONFIG", help="the configuration file (TOML)")
    check.add_argument(
        "--wait", type=_seconds, default=10, metavar="SECONDS", help="for sensors that speak unasked (10)"
    )
    check.add_argument("--no-broker", action="store_true", help="look at the sensors only")
    check.add_argument("--json", action="store_true", help="one JSON object")
    check.set_defaults(command=_check)

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


def _seconds(text: str) -> float:
    if not 0 <= (seconds := float(text)) <= 86_400:
        raise ValueError
    return seconds


def _run(arguments: argparse.Namespace) -> int:
    from tweeling_edge.runtime import Runtime

    with Runtime(configuration.load(arguments.config)) as runtime:
        _stop_on_signals(runtime.stop)
        runtime.run()
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from tweeling_edge import check

    config = configuration.load(arguments.config)
    rows = check.sensors(config, patience_s=arguments.wait)
    if not arguments.no_broker:
        rows += check.broker(config)
    complete = all(row.ok for row in rows)
    if arguments.json:
        _say(json.dumps({"config": str(arguments.config), "ok": complete, "rows": check.as_json(rows)}))
    else:
        for line in check.as_text(rows):
            _say(line)
    return 0 if complete else 1


def _status(arguments: argparse.Namespace) -> int:
    from tweeling_edge import status

    answer = status.look(configuration.load(arguments.config), system_ms())
    if arguments.json:
        _say(json.dumps(answer))
    else:
        for line in status.as_text(answer):
            _say(line)
    return 0


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
