"""What a demo's children are told: the files that `tweeling up` and `tweeling-edge run` read."""

from __future__ import annotations

import json
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling.adapters import nats, secretfile
from tweeling.adapters.keys import create_log_key
from tweeling.api import passwords, tokens
from tweeling.api.principals import Role
from tweeling.cli.installation import MAINTAINER, RECORDER, Clockwork, Installation, Ports, toml
from tweeling.domain.region import Region
from tweeling.domain.signature import ED25519

ORIGIN = "tweeling.local/demo"
"""The name of the demo's custody log."""

_FILL_EVERY_S = 600
_SKEW_S = 60
_WRITTEN = "Written by `tweeling demo` at every start; changes are lost."


def gateways(region: Region) -> tuple[str, ...]:
    """Name the hubs that have an edge agent: those with zones."""
    return tuple(hub.id for hub in region.hubs if region.zones_of(hub.id))


def broker(installation: Installation, region: Region, ports: Ports) -> nats.BrokerConfig:
    """Write the broker's configuration and every user's credentials."""
    nodes = [nats.NodeName(hub, "gateway") for hub in gateways(region)] + [nats.NodeName(*RECORDER)]
    return nats.write_config(installation.broker, nodes, port=ports.mqtt)


def stores_only(installation: Installation) -> None:
    """Make sure of settings good enough to open the stores, before anything else is known."""
    if not installation.config.exists():
        secretfile.write(installation.config, toml({}, _WRITTEN))


def hub(
    installation: Installation, clockwork: Clockwork, users: nats.BrokerConfig, ports: Ports, contract: str | None
) -> None:
    """Write the hub's settings."""
    ledger: dict[str, object] = {"rpc": f"http://127.0.0.1:{ports.chain}", "key_file": "secrets/ledger-key.json"}
    ledger["patience_s"] = 30  # a killed anvil goes on from its last dump
    if contract:
        ledger["contract"] = contract
    tables: dict[str, dict[str, object]] = {
        "broker": {"host": users.host, "port": users.port, "credentials": str(users.hub)},
        "clock": clock(clockwork),
        # Clocks of machines may differ by a minute, whatever a minute is worth in the demo's time.
        "ingest": {"skew_s": _SKEW_S * clockwork.story.speed},
        "ledger": ledger,
        "custody": {"origin": ORIGIN},
        "http": {"port": ports.http},
    }
    secretfile.write(installation.config, toml(tables, _WRITTEN))


def edges(
    installation: Installation, clockwork: Clockwork, users: nats.BrokerConfig, *, encoding: str = "json"
) -> None:
    """Write one agent's configuration per gateway, and the recorder's."""
    story = clockwork.story
    for name, credentials in users.nodes.items():
        recorder = tuple(name) == RECORDER
        tables: dict[str, dict[str, object]] = {
            "": {"hub": name.hub, "node": name.node, "encoding": encoding},
            "broker": {"host": users.host, "port": users.port, "credentials": str(credentials)},
            "outbox": {"path": f"{name.hub}.outbox.db"},
            "clock": clock(clockwork),
        }
        text = toml(tables, _WRITTEN)
        if not recorder:
            driver = {
                "kind": "simulate",
                "seed": story.seed,
                "start_ms": story.start_ms,
                "from_ms": story.live_ms,
                "every_s": _FILL_EVERY_S,
                "tick_s": 0.5,
            }
            text += "\n[[drivers]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in driver.items())
        secretfile.write(installation.edge(name.hub), text)


def clock(clockwork: Clockwork) -> dict[str, object]:
    """Write the demo's time as origins and speed."""
    return {
        "origin_sim_ms": clockwork.story.sim_ms,
        "origin_real_ms": clockwork.origin_real_ms,
        "speed": clockwork.story.speed,
    }


def people(installation: Installation) -> str:
    """Make sure of a password, the machines' tokens and the log's key; return the password."""
    if not installation.login.exists() or not installation.password.exists():
        new_password(installation)
    for name, role in (
        ("partners", Role.CAPTURE),
        ("cli", Role.QUERY),
        (MAINTAINER, Role.MAINTAIN),
        ("prometheus", Role.METRICS),
    ):
        if not installation.token(name).exists():
            secretfile.write(
                installation.token(name), tokens.issue(installation.secrets / "tokens.json", name, role) + "\n"
            )
    create_log_key(installation.secrets / "log-key.pem", installation.secrets / "log-passphrase")
    return installation.password.read_text().strip()


def new_password(installation: Installation) -> str:
    """Generate the operator's password in place of any there was."""
    password = passwords.generate()
    passwords.save(installation.login, {passwords.OPERATOR: password})
    secretfile.write(installation.password, password + "\n")
    return password


def partners(installation: Installation, region: Region) -> None:
    """Make sure of a key for every tenant and hub, and publish the public halves to the hub."""
    public = {}
    for party in parties(region):
        path = installation.partner_key(party)
        if not path.exists():
            secretfile.write(path, _pem(Ed25519PrivateKey.generate()))
        half = load_key(path).public_key()
        public[party] = {ED25519: half.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()}
    secretfile.write(installation.folder / "partners.json", json.dumps(public, indent=1, sort_keys=True) + "\n")


def parties(region: Region) -> list[str]:
    """Name everyone who signs: tenants for what they bring, hubs for what their plants make."""
    return [tenant.id for tenant in region.tenants] + [hub.id for hub in region.hubs]


def load_key(path: Path) -> Ed25519PrivateKey:
    """Read a simulated party's key."""
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} holds no Ed25519 key")
    return key


def _pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
