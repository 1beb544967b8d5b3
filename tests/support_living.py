"""A hub as a process of its own, on a broker of its own, with people and machines that may ask it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support_broker import Broker, nats_broker
from support_servers import free_port

from tweeling.adapters import secretfile
from tweeling.cli import configs
from tweeling.cli.client import HubClient
from tweeling.cli.installation import Installation, toml
from tweeling.cli.supervisor import Supervisor, listening


@dataclass
class Living:
    """A hub that runs, or has stopped: both on the same files."""

    installation: Installation
    broker: Broker
    port: int
    owner: Supervisor
    command: list[str] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.installation.folder

    def start(self, command: Sequence[str] = (sys.executable, "-m", "tweeling", "up")) -> None:
        argv = [*command, str(self.installation.config)]
        self.owner.start("hub", argv, ready=lambda: listening(self.port), within=60)

    def stop(self) -> None:
        assert self.owner.stop("hub", within=30) == "ended with exit code 0", self.owner.children["hub"].tail(30)

    def client(self) -> HubClient:
        return HubClient(self.folder)


@contextmanager
def living_hub(folder: Path, nodes: Sequence[tuple[str, str]] = (("H1", "n1"),)) -> Iterator[Living]:
    """Everything but the hub is there when the block begins."""
    installation = Installation(folder / "hub")
    with nats_broker(folder / "broker", nodes, redeliver_s=1) as broker, Supervisor(folder / "log") as owner:
        assert broker.config is not None
        configs.people(installation)
        port = free_port()
        tables: dict[str, dict[str, object]] = {
            "broker": {"host": broker.host, "port": broker.port, "credentials": str(broker.config.hub)},
            "http": {"port": port},
        }
        secretfile.write(installation.config, toml(tables, "Of a test"))
        yield Living(installation, broker, port, owner)
