"""The files that a rig's programs read: the broker's, the hub's and the agents' own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from support_servers import lasting_port, need

from tweeling.adapters import nats, secretfile
from tweeling.cli import configs
from tweeling.cli.installation import Installation, toml

Table = dict[str, object]
WRITTEN = "Written by the fault rig."


class Node(NamedTuple):
    """A gateway: its hub's name and its own."""

    hub: str
    node: str


class BrokerFiles:
    """A broker's folder: how it is started, who may come in, and how it forgets."""

    def __init__(self, kind: str, folder: Path, nodes: Sequence[Node], *, plain: bool = False) -> None:
        """plain: Mosquitto just as Debian configures it, without even `set_tcp_nodelay`."""
        self.kind = kind
        self.host, self.port = "127.0.0.1", lasting_port()
        self._folder = folder
        folder.mkdir(parents=True)
        if kind == "nats":
            need("nats-server")
            self.ready = "Server is ready"
            self._nats = nats.write_config(folder, [nats.NodeName(*node) for node in nodes], port=self.port)
            self.argv = nats.command(self._nats.conf)
            self.hub = self._nats.hub
        else:
            self.ready = "running"
            self._store = folder / "store"
            self._store.mkdir()
            self._store.chmod(0o777)  # mosquitto drops root for its own user
            conf = folder / "mosquitto.conf"
            # What Debian's own file says (persistence, and that is all), on another port.
            lines = [f"listener {self.port} {self.host}", "allow_anonymous true", "persistence true"]
            lines += [f"persistence_location {self._store}/", *([] if plain else ["set_tcp_nodelay true"])]
            conf.write_text("\n".join(lines) + "\n")
            self.argv = [need("mosquitto"), "-c", str(conf)]
            self.hub = folder / "hub.json"
            secretfile.write(self.hub, json.dumps({"username": "", "password": "", "client_id": f"hub-{self.port}"}))

    def node(self, node: Node) -> Path | None:
        """The credential file of a node, None where none is asked for."""
        return self._nats.nodes[nats.NodeName(*node)] if self.kind == "nats" else None

    def forget(self) -> None:
        """Lose all state, while the broker is down."""
        if self.kind == "nats":
            shutil.rmtree(self._folder / "jetstream")
            (self._folder / "jetstream").mkdir(mode=0o700)
        else:
            for left in self._store.iterdir():
                left.unlink()


def write_hub(
    folder: Path, broker: BrokerFiles, *, port: int, store_url: str | None, tables: Mapping[str, Table] | None = None
) -> Installation:
    """Write a hub's installation; `tables` go into its settings as they are."""
    installation = Installation(folder)
    folder.mkdir(parents=True, exist_ok=True)
    configs.people(installation)
    settings: dict[str, Table] = {
        "broker": {"host": broker.host, "port": broker.port, "credentials": str(broker.hub)},
        "custody": {"origin": "tweeling.local/faults"},
        "http": {"port": port},
    }
    if store_url is not None:
        settings["store"] = {"kind": "victoriametrics", "url": store_url}
    for name, table in (tables or {}).items():
        settings.setdefault(name, {}).update(table)
    secretfile.write(installation.config, toml(settings, WRITTEN))
    return installation


def write_edge(
    path: Path,
    node: Node,
    broker: BrokerFiles,
    *,
    drivers: Sequence[Table] = (),
    clock: Table | None = None,
    top: Table | None = None,
    outbox: Table | None = None,
) -> Path:
    """Write an agent's configuration; its outbox lies beside it unless `outbox` says else. Return the outbox."""
    who = broker.node(node)
    line: Table = {"host": broker.host, "port": broker.port}
    tables: dict[str, Table] = {
        "": {"hub": node.hub, "node": node.node, **(top or {})},
        "broker": line if who is None else {**line, "credentials": str(who)},
        "outbox": {"path": str(path.with_suffix(".outbox")), **(outbox or {})},
    }
    if clock is not None:
        tables["clock"] = clock
    text = toml(tables, WRITTEN)
    for driver in drivers:
        text += "\n[[drivers]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in driver.items())
    secretfile.write(path, text)
    return Path(str(tables["outbox"]["path"]))
