"""Nodes and their credentials: made, listed, renewed and revoked, in files and in a running broker."""

from __future__ import annotations

import json
import shutil
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tweeling import config
from tweeling.adapters import certificates, mqtt, nats, secretfile
from tweeling.adapters.mqtt import Address
from tweeling.bootstrap import broker_address
from tweeling.cli.broker import configure, users_of
from tweeling.cli.installation import Installation, toml
from tweeling.config import BrokerSettings, Settings, reachable
from tweeling.domain.hosts import is_loopback
from tweeling.errors import ConfigError, UnavailableError, WireError
from tweeling.wire import topics
from tweeling.wire.topics import Channel, Topic

_CREDENTIALS = "credentials.json"
_EFFECT_S = 5.0
_LOOK_S = 0.1

_EDGE = """Written by `tweeling node`. Carry this folder to the gateway, put its drivers below (the edge agent's
# edge.example.toml shows every setting), and run: tweeling-edge run edge.toml"""


class Known(NamedTuple):
    """A node that the broker lets in. since: when its credentials were made."""

    name: nats.NodeName
    since: datetime


def parse(text: str) -> nats.NodeName:
    """Read HUB/NODE, or raise ConfigError."""
    hub, _, node = text.partition("/")
    try:
        topics.parse(str(Topic(hub, node, Channel.UP)))
    except WireError as exc:
        raise ConfigError(
            f"{text!r} is no node", field="HUB/NODE", remedy="Write H1/gateway-1: letters, digits, - and _"
        ) from exc
    return nats.NodeName(hub, node)


def prepare(settings: Settings) -> None:
    """Make sure of the broker's configuration and the hub's own credentials."""
    with users_of(settings.broker) as nodes:
        configure(settings.broker, nodes)


def known(installation: Installation) -> list[Known]:
    """Every node that is let in."""
    settings = _own_broker(installation)
    return [
        Known(name, datetime.fromtimestamp(path.stat().st_mtime, UTC))
        for name, path in nats.known_nodes(settings.broker.folder).items()
    ]


def add(installation: Installation, name: nats.NodeName, *, host: str | None = None) -> Path:
    """Let a node in, and return the folder that its gateway needs. host: where the gateway finds the broker."""
    settings = _own_broker(installation)
    address = _address_for_gateways(installation, settings, host)
    with users_of(settings.broker) as nodes:
        if name in nodes:
            raise ConfigError(
                f"{'/'.join(name)} exists already",
                field="HUB/NODE",
                remedy="`tweeling node renew` gives it a new password",
            )
        made = configure(settings.broker, {*nodes, name})
        folder = _write_folder(installation, settings, name, made.nodes[name], address)
    _take_effect(settings, admitted=nats.Credentials.load(made.nodes[name]))
    return folder


def renew(installation: Installation, name: nats.NodeName, *, host: str | None = None) -> Path:
    """Give a node a new password, refuse the old one from now on, and return the file that its gateway needs."""
    settings = _own_broker(installation)
    address = _address_for_gateways(installation, settings, host)
    with users_of(settings.broker) as nodes:
        old = _credentials_of(name, nodes)
        nats.renew_credentials(nodes[name])
        made = configure(settings.broker, nodes)
        folder = _write_folder(installation, settings, name, made.nodes[name], address)
    _take_effect(settings, admitted=nats.Credentials.load(made.nodes[name]), revoked=old)
    return folder / _CREDENTIALS


def remove(installation: Installation, name: nats.NodeName) -> None:
    """Let a node in no longer, and end its connection."""
    settings = _own_broker(installation)
    with users_of(settings.broker) as nodes:
        old = _credentials_of(name, nodes)
        configure(settings.broker, nodes.keys() - {name})
        shutil.rmtree(installation.node(*name), ignore_errors=True)  # what might be left opens nothing any more
    _take_effect(settings, revoked=old)


# ---------------------------------------------------------------- the broker


def _own_broker(installation: Installation) -> Settings:
    installation.check_owner()
    settings = config.load(installation.config)
    if installation.is_demo or not settings.broker.embedded:
        raise ConfigError(
            "the demo makes its own nodes" if installation.is_demo else "this hub's broker is not its own",
            field="broker.embedded",
            source=str(installation.config),
            remedy="Add users at that broker; docs/operations.md says which topics they need",
        )
    return settings


def _credentials_of(name: nats.NodeName, nodes: dict[nats.NodeName, Path]) -> nats.Credentials:
    if name not in nodes:
        raise ConfigError(
            f"{'/'.join(name)} is not known", field="HUB/NODE", remedy="`tweeling node list` shows who is"
        )
    return nats.Credentials.load(nodes[name])


def _take_effect(
    settings: Settings, *, admitted: nats.Credentials | None = None, revoked: nats.Credentials | None = None
) -> None:
    """Have a running broker read its users again, and see with our own eyes that it did."""
    pid = nats.running(settings.broker.folder)
    if pid is None:
        return  # it reads them when it starts
    nats.reload(pid)
    address, pause = broker_address(settings), threading.Event()
    deadline = time.monotonic() + _EFFECT_S
    for who, wanted in ((revoked, False), (admitted, True)):
        while who is not None and mqtt.knock(_as(address, who)) is not wanted:
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"the files are written, but the running broker did not take them within {_EFFECT_S:.0f} s; "
                    "restart the hub, whose settings may have changed since it started"
                )
            pause.wait(_LOOK_S)


def _as(address: Address, who: nats.Credentials) -> Address:
    return replace(address, username=who.username, password=who.password, client_id="")


# ---------------------------------------------------------------- what goes to a gateway


def _address_for_gateways(installation: Installation, settings: Settings, host: str | None) -> str:
    broker, names = settings.broker, settings.http.names
    if host is None:
        host = names[0] if names and not is_loopback(broker.host) else reachable(broker.host)
    if broker.tls is None:
        if not is_loopback(host):
            raise ConfigError(
                f"the broker listens on {broker.host} alone, so no gateway reaches it as {host}",
                field="--host",
                remedy="`tweeling certificate make` opens the way for others",
            )
    elif _is_ours(installation, broker):
        held = certificates.look(installation.certificates.certificate).names
        if host not in held:
            raise ConfigError(
                f"the broker's certificate is not for {host}",
                field="--host",
                remedy=f"Choose one of {', '.join(held)}, or `tweeling certificate make --host {host}`",
            )
    return host


def _is_ours(installation: Installation, broker: BrokerSettings) -> bool:
    return broker.tls is not None and broker.tls.cert_file == installation.certificates.certificate


def _write_folder(
    installation: Installation, settings: Settings, name: nats.NodeName, credentials: Path, host: str
) -> Path:
    folder, broker = installation.node(*name), settings.broker
    tables: dict[str, dict[str, object]] = {
        "": {"hub": name.hub, "node": name.node},
        "broker": {"host": host, "port": broker.port, "credentials": _CREDENTIALS, "protocol": "3.1.1"},
    }
    if broker.tls is not None:
        tables["broker.tls"] = {"ca_file": "ca.pem"} if _is_ours(installation, broker) else {}
    tables["outbox"] = {"path": "outbox.sqlite3"}
    try:
        secretfile.write(folder / _CREDENTIALS, credentials.read_bytes())
        if _is_ours(installation, broker):
            secretfile.write(folder / "ca.pem", installation.certificates.authority.read_bytes())
        if not (folder / "edge.toml").exists():  # drivers may stand in it
            secretfile.write(folder / "edge.toml", toml(tables, _EDGE))
    except OSError as exc:
        raise ConfigError(
            f"cannot be written: {exc.strerror}",
            source=str(folder),
            remedy=f"Then: tweeling node renew {'/'.join(name)}",
        ) from exc
    return folder


def as_json(rows: list[Known]) -> str:
    """The list as one JSON array."""
    return json.dumps([{"hub": row.name.hub, "node": row.name.node, "since": row.since.isoformat()} for row in rows])
