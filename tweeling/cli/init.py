"""`tweeling init`: an installation of one's own, from nothing to `tweeling up`."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console

from tweeling import config
from tweeling.adapters import certificates, nats, secretfile
from tweeling.adapters.evm import keyfile
from tweeling.cli import configs, nodes
from tweeling.cli.commands.options import DATA
from tweeling.cli.installation import Installation
from tweeling.cli.template import Chosen, render
from tweeling.domain.hosts import is_loopback
from tweeling.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line said. hosts: names under which others reach this machine; none: loopback only."""

    folder: Path
    hosts: tuple[str, ...]
    nodes: tuple[nats.NodeName, ...]
    origin: str | None
    port: int
    mqtt_port: int


def run_init(options: Options, out: Console) -> None:
    """Write everything, the settings last but for nodes: without them nothing has been made, and this can run again."""
    installation = Installation(options.folder.resolve())
    _refuse_what_is_there(installation)
    settings = render(_chosen(options))
    try:
        installation.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        installation.check_owner()
        password = configs.people(installation)
    except OSError as exc:
        raise ConfigError(
            f"cannot be written: {exc.strerror}", field="--data", source=str(exc.filename or installation.folder)
        ) from exc
    ledger = installation.secrets / "ledger-key.json", installation.secrets / "ledger-passphrase"
    payer = (keyfile.load_key(*ledger) if ledger[0].exists() else keyfile.create_key(*ledger)).address
    if options.hosts:
        certificates.make(installation.certificates, options.hosts, now=datetime.now(UTC))
    secretfile.create(installation.config, settings, field="--data")
    nodes.prepare(config.load(installation.config))
    for name in options.nodes:
        nodes.add(installation, name)

    told = [("Settings", str(installation.config)), ("Password", _shown(password, installation, out))]
    told += [("Anchors", f"are paid by {payer}, once [ledger] names a chain and a contract")]
    if options.hosts:
        told += [("Authority", f"{installation.certificates.authority}, for browsers to trust")]
    told += [("Node", f"{installation.node(*name)}, for the gateway {'/'.join(name)}") for name in options.nodes]
    where = "" if options.folder == DATA else f" --data {options.folder}"
    told += [("Next", f"tweeling up{where}"), ("", f"tweeling node add HUB/NODE{where}")]
    out.print("\n".join(f"  {what:10} {text}" for what, text in told), markup=False)


def run_password(data: Path, out: Console) -> None:
    """Replace the operator's password."""
    installation = Installation(data.resolve())
    config.load(installation.config)  # which says what is wrong where there is no installation
    installation.check_owner()
    try:
        password = configs.new_password(installation)
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", source=str(installation.secrets)) from exc
    out.print(
        f"{_shown(password, installation, out)}\nRestart a running hub: it still asks for the old one.", markup=False
    )


def _shown(password: str, installation: Installation, out: Console) -> str:
    """A password on a terminal, and where it is kept elsewhere: what is none may be a log."""
    return f"{password}   (kept in {installation.password})" if out.is_terminal else str(installation.password)


def _chosen(options: Options) -> Chosen:
    chosen: dict[str, dict[str, object]] = {
        "broker": {"embedded": True, "port": options.mqtt_port},
        "http": {"port": options.port},
        "custody": {"origin": _origin(options)},
    }
    if options.hosts:
        files = Installation(Path()).certificates
        shown = {"cert_file": str(files.certificate), "key_file": str(files.key)}
        alone = all(is_loopback(host) for host in options.hosts)
        listen = "127.0.0.1" if alone else "0.0.0.0"  # noqa: S104 -- asked for by --host, and encrypted
        chosen["broker"] |= {"host": listen}
        chosen["http"] |= {"host": listen, "names": list(options.hosts)}
        chosen |= {"broker.tls": {**shown}, "http.tls": {**shown}}
    return chosen


def _origin(options: Options) -> str:
    """The name of the log; no two installations have the same by accident."""
    named = next((host for host in options.hosts if ":" not in host), "hub.local")
    origin = options.origin or f"{named}/{secrets.token_hex(4)}"
    try:
        config.CustodySettings(origin=origin)
    except ValidationError as exc:
        raise ConfigError(
            f"{origin!r} is no name of a log",
            field="--origin",
            remedy="Write letters, digits, and . _ / - between them, such as hub.example.org/custody",
        ) from exc
    return origin


def _refuse_what_is_there(installation: Installation) -> None:
    if installation.is_demo:
        raise ConfigError(
            "a demo lives here", field="--data", source=str(installation.folder), remedy="Choose another folder"
        )
    if installation.config.exists():
        raise ConfigError(
            f"an installation is here already: {', '.join(_what_is_there(installation))}",
            field="--data",
            source=str(installation.folder),
            remedy="`tweeling up` runs it, and `tweeling node` and `tweeling certificate` change it",
        )


def _what_is_there(installation: Installation) -> Iterable[str]:
    yield f"settings in {installation.config.name}"
    if installation.password.exists():
        yield f"a password in {installation.password.relative_to(installation.folder)}"
    if known := nats.known_nodes(installation.broker):
        yield f"nodes {', '.join('/'.join(name) for name in known)}"
    if installation.certificates.certificate.exists():
        held = certificates.look(installation.certificates.certificate)
        yield f"a certificate for {', '.join(held.names)} until {held.ends:%Y-%m-%d}"
