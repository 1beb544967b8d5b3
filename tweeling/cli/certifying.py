"""`tweeling certificate`: what the hub shows over TLS, made and renewed by itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tweeling import config
from tweeling.adapters import certificates
from tweeling.bootstrap import shown_certificates
from tweeling.cli.installation import Installation
from tweeling.errors import ConfigError

_SETTINGS = """Set these, each in the table that is there already, in {config}:

[broker]
host = "0.0.0.0"

[broker.tls]
cert_file = "{certificate}"
key_file = "{key}"

[http]
host = "0.0.0.0"
names = [{names}]

[http.tls]
cert_file = "{certificate}"
key_file = "{key}"
"""


def make(data: Path, hosts: Sequence[str], *, new_authority: bool, out: Console) -> None:
    """Make a certificate for these names."""
    installation = _opened(data)
    files = installation.certificates
    held = certificates.make(files, hosts, now=datetime.now(UTC), new_authority=new_authority)
    out.print(f"{files.certificate}: for {', '.join(held.names)}, good until {held.ends:%Y-%m-%d}", markup=False)
    out.print(f"{files.authority}: for gateways and browsers to trust", markup=False)
    if _shown(installation):
        _tell_hub(installation, out)
        return
    places = {
        name: os.path.relpath(path, installation.folder)
        for name, path in (("certificate", files.certificate), ("key", files.key))
    }
    names = ", ".join(f'"{host}"' for host in hosts)
    out.print("\n" + _SETTINGS.format(config=installation.config, names=names, **places), markup=False)


def renew(data: Path, *, new_authority: bool, out: Console) -> None:
    """Make the certificate anew, for the names that it holds."""
    installation = _opened(data)
    files = installation.certificates
    names = certificates.look(files.certificate).names
    held = certificates.make(files, names, now=datetime.now(UTC), new_authority=new_authority)
    out.print(f"{files.certificate}: for {', '.join(held.names)}, good until {held.ends:%Y-%m-%d}", markup=False)
    if new_authority:
        out.print(f"{files.authority} is new: carry it to gateways and browsers", markup=False)
    _tell_hub(installation, out)


def show(data: Path, *, out: Console) -> None:
    """Show every certificate in use."""
    installation = _opened(data)
    shown = shown_certificates(config.load(installation.config))
    if not shown:
        out.print("nothing is encrypted: hub and broker listen on this machine alone")
    for path in shown:
        held = certificates.look(path)
        days = held.days_left(datetime.now(UTC))
        out.print(f"{path}: for {', '.join(held.names)}, until {held.ends:%Y-%m-%d}, {days} days", markup=False)


def _opened(data: Path) -> Installation:
    installation = Installation(data.resolve())
    if not installation.config.is_file():
        raise ConfigError(
            "no installation here", field="--data", source=str(installation.folder), remedy="`tweeling init` makes one"
        )
    installation.check_owner()
    return installation


def _shown(installation: Installation) -> bool:
    return installation.certificates.certificate in shown_certificates(config.load(installation.config))


def _tell_hub(installation: Installation, out: Console) -> None:
    if _shown(installation):
        out.print("A running hub takes it within seconds.")
