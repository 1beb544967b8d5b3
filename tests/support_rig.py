"""A whole installation of real processes: broker, store, hub and agents, each started, killed and watched by itself."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support_broker import until
from support_rig_files import BrokerFiles, Node, Table, write_edge, write_hub
from support_rig_program import Guard, Program
from support_servers import lasting_port, need

from tweeling.cli.client import HubClient
from tweeling.errors import UnavailableError

START_MS = 1_700_000_000_000
"""Where simulated stories begin; they run fast and must stay behind the machine's own time."""

_EDGE = [sys.executable, "-m", "tweeling_edge", "run"]
_HUB = [sys.executable, "-m", "tweeling", "up"]


class Edge:
    """An agent, its configuration and its outbox."""

    def __init__(self, node: Node, folder: Path, broker: BrokerFiles, env: Mapping[str, str] | None = None) -> None:
        self.node = node
        self._broker = broker
        self._config = folder / f"{node.hub}.{node.node}.toml"
        self.outbox = self._config.with_suffix(".outbox")
        self.program = Program(
            f"edge {node.hub}/{node.node}",
            [*_EDGE, self._config],
            ready="agent.started",
            log=folder / f"{node.hub}.{node.node}.log",
            env={"PYTHONWARNINGS": "error", **(env or {})},
        )
        self.drivers: Sequence[Table] = ()

    def write(self, drivers: Sequence[Table], *, clock: Table | None = None, **more: Any) -> None:
        """Write its configuration; the next start reads it."""
        self.drivers = drivers or self.drivers
        self.outbox = write_edge(self._config, self.node, self._broker, drivers=drivers, clock=clock, **more)

    def held(self) -> int:
        """How many samples wait in the outbox."""
        return self._ask("SELECT count(*) FROM reading")

    def acknowledged(self) -> int:
        """How many samples the agent was told are committed."""
        return self._ask("SELECT sum(committed) FROM source")

    def durable(self) -> int:
        """How many samples were ever durable in the outbox."""
        return self._ask("SELECT last FROM outbox")

    def _ask(self, query: str) -> int:
        return peek(self.outbox, query)


class Rig:
    """The programs of one installation, and how far they have come."""

    def __init__(
        self,
        folder: Path,
        *,
        broker: str,
        nodes: Sequence[Node],
        store: str = "duckdb",
        hub: Sequence[str | Path] = _HUB,
        hub_env: Mapping[str, str] | None = None,
        edge_env: Mapping[str, str] | None = None,
        data: Path | None = None,
        store_data: Path | None = None,
        settings: Mapping[str, Table] | None = None,
        plain: bool = False,
        agents: bool = True,
    ) -> None:
        """hub: the command that runs it, without its configuration; data, store_data: folders that are elsewhere.

        agents: one for every node, or none where a test speaks for the nodes itself.
        """
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.files = BrokerFiles(broker, folder / "broker", nodes, plain=plain)
        self.broker = Program(broker, self.files.argv, ready=self.files.ready, log=folder / "broker.log")
        self.store: Program | None = None
        self.store_url: str | None = None
        if store == "victoriametrics":
            self.store_url = f"http://127.0.0.1:{lasting_port()}"
            self.store = _victoria(store_data or folder / "victoria", folder / "victoria.log", self.store_url)
        self.installation = write_hub(
            data or folder / "hub", self.files, port=lasting_port(), store_url=self.store_url, tables=settings
        )
        self.hub = Program(
            "hub", [*hub, self.installation.config], ready="hub.ready", log=folder / "hub.log", env=hub_env
        )
        (folder / "edge").mkdir()
        self.edges = [Edge(node, folder / "edge", self.files, edge_env) for node in nodes if agents]
        self.guard = Guard(self.programs)

    @property
    def journal(self) -> Path:
        """The hub's ingest journal."""
        return self.installation.folder / "journal.db"

    def programs(self) -> list[Program]:
        """Every program, in the order in which it is started."""
        return [self.broker, *filter(None, [self.store]), self.hub, *(edge.program for edge in self.edges)]

    def start(self) -> None:
        """Start what does not run."""
        for program in self.programs():
            if not program.running:
                program.start()

    def start_without_agents(self) -> None:
        """Start broker, store and hub."""
        for program in filter(None, [self.broker, self.store, self.hub]):
            program.start()

    def committed(self, what: str = "readings") -> int:
        """How much the hub's journal holds: readings, movements, quarantined, batches …"""
        return peek(self.journal, "SELECT value FROM total WHERE name = ?", what)

    def progress(self) -> int:
        """Readings and weighings committed so far."""
        return peek(self.journal, "SELECT sum(value) FROM total WHERE name IN ('readings', 'movements')")

    def order(self, node: Node, **more: object) -> dict[str, Any]:
        """What `support_rig_sender` needs to speak for a node."""
        path = self.files.node(node)
        who = {"username": "", "password": ""} if path is None else json.loads(path.read_text())
        return {"host": self.files.host, "port": self.files.port, **who, "hub": node.hub, "node": node.node, **more}

    def held(self) -> int:
        """Samples that wait in outboxes."""
        return sum(edge.held() for edge in self.edges)

    def status(self) -> dict[str, Any] | None:
        """What the hub says of itself, None while it does not answer."""
        try:
            with HubClient(self.installation.folder) as client:
                return client.status()
        except UnavailableError:
            return None

    def await_drained(self, *, seconds: float = 120.0) -> None:
        """Wait until no outbox holds anything."""
        until(lambda: not self.held(), "every outbox is empty", seconds=seconds)

    def await_projected(self, *, seconds: float = 120.0) -> None:
        """Wait until the stores have followed the journal to its end."""

        def followed() -> bool:
            status = self.status()
            return (
                status is not None and not status["counts"]["batches_waiting"] and status["counts"]["readings_in"] > 0
            )

        until(followed, "the stores have followed the journal", seconds=seconds)

    def finish(self) -> None:
        """Let the drivers be, drain, project, and stop every agent and the hub as their users would."""
        self.start()
        for edge in self.edges:
            assert edge.program.terminate() == 0
            edge.write((), outbox={"path": str(edge.outbox)})
            edge.program.start()
        self.await_drained()
        self.await_projected()
        for program in (*(edge.program for edge in self.edges), self.hub):
            assert program.terminate() == 0, f"{program.name} ends well"


@contextmanager
def rig(folder: Path, **options: Any) -> Iterator[Rig]:
    """Make a rig; on failure tell what was done and what every program said, and end them all."""
    made = Rig(folder, **options)
    try:
        yield made
    except BaseException as exc:
        made.guard.explain(exc)
        raise
    finally:
        made.guard.end()


def simulate(*, seed: int, every_s: float = 600, tick_s: float = 0.05) -> Table:
    """The driver that lives a hub of the demo region: fill levels and weighings, the same for the same seed."""
    return {
        "kind": "simulate",
        "seed": seed,
        "start_ms": START_MS,
        "from_ms": START_MS,
        "every_s": every_s,
        "tick_s": tick_s,
    }


def fast_clock(speed: float) -> Table:
    """A clock for stories, from now on."""
    return {"origin_sim_ms": START_MS, "origin_real_ms": time.time_ns() // 1_000_000, "speed": speed}


def replay(file: Path, **more: object) -> Table:
    """The driver that plays a recording, each row once."""
    return {"kind": "replay", "file": str(file), **more}


def recording(path: Path, rows: int, *, sensors: int = 3) -> Path:
    """Write a recording of so many readings, each with its own time."""
    lines = ["sensor,time,value,unit"]
    lines += [f"s{i % sensors},{START_MS // 1000 + 60 * i},{i % 101 / 100},/" for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def peek(path: Path, query: str, *values: object) -> int:
    """One number out of a database that another process writes; 0 while there is none yet."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
            return int((db.execute(query, values).fetchone() or (0,))[0] or 0)
    except sqlite3.OperationalError as exc:
        if "no such table" in str(exc) or "unable to open" in str(exc):
            return 0
        raise


def _victoria(data: Path, log: Path, url: str) -> Program:
    argv = [
        need("victoria-metrics"),
        f"-storageDataPath={data}",
        f"-httpListenAddr={url.removeprefix('http://')}",
        "-retentionPeriod=100y",
        "-dedup.minScrapeInterval=1ms",
        "-search.latencyOffset=0s",
        "-memory.allowedBytes=128MB",
    ]
    return Program("victoria-metrics", argv, ready="started VictoriaMetrics", log=log)
