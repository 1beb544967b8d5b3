"""`tweeling-edge bench …`: each prints its figures as JSON, one object a line."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from tweeling.domain.ids import NAME
from tweeling.errors import ConfigError
from tweeling_edge.bench.plan import Plan
from tweeling_edge.config import Broker
from tweeling_edge.settings import validated

_NAME = re.compile(NAME)
_N = TypeVar("_N", int, float)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `bench` to the program's commands."""
    bench = commands.add_parser("bench", help="measure the agent on this machine")
    kinds = bench.add_subparsers(required=True, metavar="WHAT")
    _add_outbox(kinds.add_parser("outbox", help="durable readings a second, beside what disk and SQLite allow"))
    _add_publish(kinds.add_parser("publish", help="messages from memory to a broker, until a hub names them committed"))
    _add_agent(kinds.add_parser("agent", help="the same by the whole agent with its outbox"))


def _add_outbox(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="for each figure (3)")
    parser.add_argument("--writers", type=int, default=16, metavar="N", help="threads that put single readings (16)")
    parser.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="on the disk to measure (here)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line; it is always so")
    parser.set_defaults(command=_outbox)


def _outbox(arguments: argparse.Namespace) -> int:
    from tweeling_edge.bench import outbox

    seconds = _within(arguments.seconds, 0.1, 3600, "--seconds")
    writers = _within(arguments.writers, 2, 256, "--writers")
    figures = []
    with _scratch(arguments.folder) as folder:
        for figure in outbox.run(folder, seconds=seconds, writers=writers):
            say(figure)
            figures.append(figure)
    return 0 if all(figure["ok"] is not False for figure in figures) else 1


def _add_publish(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", default="H1/n1", metavar="HUB/NODE,…", help="who publishes, each on its own line")
    parser.add_argument("--credentials", type=Path, nargs="+", default=[], metavar="FILE", help="one for each node")
    parser.add_argument("--until", choices=("hub", "broker"), default="hub", help="whose word settles a message (hub)")
    parser.add_argument("--wait", type=float, default=5.0, metavar="S", help="for the hub's word before a repeat (5)")
    _add_plan(parser)
    parser.set_defaults(command=_publish)


def _add_agent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--node", dest="nodes", default="H1/n1", metavar="HUB/NODE", help="who publishes (H1/n1)")
    parser.add_argument("--credentials", type=Path, nargs=1, default=[], metavar="FILE", help="of this node")
    parser.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="for the outbox (here)")
    _add_plan(parser)
    parser.set_defaults(command=_agent, wait=5.0)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="the broker's host (127.0.0.1)")
    parser.add_argument("--port", type=int, default=1883, help="the broker's port (1883)")
    parser.add_argument("--protocol", default="3.1.1", metavar="VERSION", help="of MQTT: 3.1.1, 5 or auto (3.1.1)")
    parser.add_argument("--records", type=int, default=5, metavar="N", help="readings in a message (5)")
    parser.add_argument("--window", type=int, default=100, metavar="N", help="messages of a node under way (100)")
    parser.add_argument("--rate", type=float, metavar="N", help="messages a second of all nodes; else all that go")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long to send (10)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line; it is always so")


def _publish(arguments: argparse.Namespace) -> int:
    from tweeling_edge.bench import publish

    plan = _plan(arguments, records=1000, window=10_000)
    return _tell(publish.run(plan))


def _agent(arguments: argparse.Namespace) -> int:
    from tweeling_edge.bench import agent

    plan = _plan(arguments, records=120, window=100)
    if len(plan.nodes) != 1:
        raise ConfigError("an agent is one node", field="--node", remedy="Write HUB/NODE, such as H1/n1")
    with _scratch(arguments.folder) as folder:
        return _tell(agent.run(plan, folder))


def _tell(figures: dict[str, Any]) -> int:
    say(figures)
    return 0 if figures["unacknowledged"] == figures["refused"] == 0 else 1


def _plan(arguments: argparse.Namespace, *, records: int, window: int) -> Plan:
    """Check what the command line says; records and window: how many there may be."""
    nodes = tuple(_node(name) for name in arguments.nodes.split(","))
    if arguments.credentials and len(arguments.credentials) != len(nodes):
        raise ConfigError(
            f"{len(arguments.credentials)} files for {len(nodes)} nodes",
            field="--credentials",
            remedy="Name one file for each node, in their order",
        )
    return Plan(
        broker=_broker(arguments),
        nodes=nodes,
        credentials=tuple(arguments.credentials),
        records=_within(arguments.records, 1, records, "--records"),
        window=_within(arguments.window, 5, window, "--window"),
        until=getattr(arguments, "until", "hub"),
        rate=arguments.rate and _within(arguments.rate, 0.1, 1e6, "--rate"),
        seconds=_within(arguments.seconds, 0.1, 86_400, "--seconds"),
        wait_s=_within(arguments.wait, 0.1, 3600, "--wait"),
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    try:
        with TemporaryDirectory(prefix="tweeling-bench-", dir=folder) as scratch:
            yield Path(scratch)
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", field="--folder") from exc


def say(figures: Mapping[str, Any]) -> None:
    """Print one object on one line, at once."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def _broker(arguments: argparse.Namespace) -> Broker:
    raw = {"host": arguments.host, "port": arguments.port, "protocol": arguments.protocol}
    return validated(Broker, raw, source="bench", base=Path.cwd())


def _node(name: str) -> tuple[str, str]:
    hub, _, node = name.partition("/")
    if not _NAME.fullmatch(hub) or not _NAME.fullmatch(node):
        raise ConfigError(f"{name!r} is no node", field="--nodes", remedy="Write HUB/NODE, such as H1/n1")
    return hub, node


def _within(value: _N, least: _N, most: _N, field: str) -> _N:
    if not least <= value <= most:
        raise ConfigError(f"{value} is out of bounds", field=field, remedy=f"It should be {least}..{most}")
    return value
