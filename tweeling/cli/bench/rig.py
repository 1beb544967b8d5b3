"""A broker, what is measured on it, and the load: processes on loopback, in a folder of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tweeling.adapters import nats, secretfile
from tweeling.cli.bench.measured import READY
from tweeling.cli.installation import toml
from tweeling.cli.supervisor import Child, Supervisor, free_port, listening
from tweeling.errors import ConfigError, UnavailableError

BrokerName = Literal["nats", "mosquitto"]
_CREDENTIALS = json.dumps({"username": "", "password": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured. nodes: publishers, each with a hub of its own. shards: worker processes, 0 for none.

    store: the kind of time-series store behind the hub; store_url: where it answers, if it is a server.
    """

    broker: BrokerName
    protocol: str
    nodes: int
    shards: int = 0
    store: str = "duckdb"
    store_url: str = ""


class Rig:
    """One broker with its users; use `measured` and `load` on it."""

    def __init__(self, folder: Path, plan: Plan, children: Supervisor) -> None:
        self._folder = folder
        self._plan = plan
        self._children = children
        self.port = free_port()
        self.names = [nats.NodeName(f"H{number}", "n1") for number in range(1, plan.nodes + 1)]
        self._hub = folder / "hub.json"
        self._files: list[Path] = []

    def start_broker(self) -> None:
        """Start it as its users would: NATS as `tweeling` configures it, Mosquitto as Debian does."""
        if self._plan.broker == "nats":
            made = nats.write_config(self._folder / "broker", self.names, port=self.port)
            self._hub, self._files = made.hub, [made.nodes[name] for name in self.names]
            argv: list[str] = nats.command(made.conf)
        else:
            secretfile.write(self._hub, _CREDENTIALS)
            argv = [_mosquitto(), "-c", str(_mosquitto_conf(self._folder / "broker", self.port))]
        self._children.start("broker", argv, ready=lambda: listening(self.port))

    @contextmanager
    def measured(self, what: Literal["hub", "null"], *, profile: bool = False) -> Iterator[dict[str, Any]]:
        """Run a hub or a null subscriber while the block runs; what is yielded holds its report afterwards."""
        place = self._folder / f"{what}-{time.monotonic_ns()}"
        ingest: dict[str, object] = {"node_rate": 1e9, "node_burst": 1e9}  # who is measured may send what it can
        if self._plan.shards:
            names = [f"{hub}/{node}" for hub, node in self.names]
            ingest["shards"] = [names[i :: self._plan.shards] for i in range(self._plan.shards)]
        broker = {"port": self.port, "credentials": str(self._hub), "protocol": self._plan.protocol}
        store: dict[str, object] = {"kind": self._plan.store}
        if self._plan.store_url:
            store["url"] = self._plan.store_url
        tables: dict[str, dict[str, object]] = {"broker": broker, "ingest": ingest, "store": store}
        secretfile.write(place / "tweeling.toml", toml(tables, "Of a benchmark."))
        argv = [sys.executable, "-m", "tweeling", "bench-part", what, str(place), *(["--profile"] if profile else [])]
        child = self._children.start(what, argv, ready=(place / READY).exists)
        report: dict[str, Any] = {}
        try:
            yield report
        finally:
            self._end(child)
        report |= json.loads((place / "report.json").read_text())
        if profile:
            report["profile"] = (place / "profile.txt").read_text()

    def load(self, kind: Literal["publish", "agent"], *options: str) -> dict[str, Any]:
        """Have the edge's own bench send; return what it says."""
        names, files = self.names, self._files
        if kind == "agent":
            names, files = names[:1], files[:1]
        argv = [
            *(sys.executable, "-m", "tweeling_edge", "bench", kind, "--json", "--port", str(self.port)),
            *("--nodes" if kind == "publish" else "--node", ",".join("/".join(name) for name in names)),
            *("--protocol", "3.1.1" if self._plan.broker == "nats" else self._plan.protocol),
            *(["--credentials", *map(str, files)] if files else []),
            *options,
        ]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnavailableError(f"the load ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    def _end(self, child: Child) -> None:
        child.process.terminate()
        code = child.process.wait(60)
        if code:
            raise UnavailableError(f"{child.name} ended with {code}: {child.tail()}")


def victoria_metrics(children: Supervisor, folder: Path) -> str:
    """Start a VictoriaMetrics that keeps its data in a folder; return where it answers."""
    program = shutil.which("victoria-metrics")
    if program is None:
        raise ConfigError(
            "victoria-metrics is not installed", field="--store", remedy="apt-get install victoria-metrics"
        )
    port = free_port()
    options = ("retentionPeriod=100y", "dedup.minScrapeInterval=1ms", "search.latencyOffset=0s")
    argv = [
        program,
        f"-storageDataPath={folder}",
        f"-httpListenAddr=127.0.0.1:{port}",
        *(f"-{each}" for each in options),
    ]
    children.start("victoria-metrics", argv, ready=lambda: listening(port))
    return f"http://127.0.0.1:{port}"


def _mosquitto() -> str:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise ConfigError("mosquitto is not installed", field="--broker", remedy="apt-get install mosquitto")
    return program


def _mosquitto_conf(folder: Path, port: int) -> Path:
    folder.mkdir(mode=0o700, parents=True)
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    return conf


def flags(**options: float | str | None) -> Sequence[str]:
    """Options as words of a command line; those without a value are left out."""
    words: list[str] = []
    for name, value in options.items():
        if value is not None:
            words += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return words
