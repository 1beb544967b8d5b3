"""`tweeling init`, `tweeling node` and `tweeling certificate`: the administrator's commands."""

from __future__ import annotations

from typing import Annotated

import typer

from tweeling.cli.commands.options import DATA, DataFolder, out
from tweeling.errors import ConfigError

node = typer.Typer(no_args_is_help=True, help="The gateways that may bring readings.")
certificate = typer.Typer(no_args_is_help=True, help="Certificates of this installation's own.")

Name = Annotated[str, typer.Argument(metavar="HUB/NODE", help="A gateway's hub, and its name there.")]
Hosts = Annotated[
    list[str] | None,
    typer.Option("--host", metavar="NAME", help="A name or address under which others reach this machine; repeatable."),
]
Finds = Annotated[
    str | None, typer.Option("--host", metavar="NAME", help="Where the gateway finds the broker; the hub's name else.")
]
NewAuthority = Annotated[
    bool, typer.Option("--new-authority", help="A new authority too, to be carried to gateways and browsers.")
]


def init(
    data: DataFolder = DATA,
    hosts: Hosts = None,
    hubs: Annotated[
        list[str] | None, typer.Option("--hub", metavar="NAME", help="A hub with one gateway; repeatable.")
    ] = None,
    nodes: Annotated[
        list[str] | None, typer.Option("--node", metavar="HUB/NODE", help="A gateway to let in; repeatable.")
    ] = None,
    origin: Annotated[
        str | None, typer.Option(help="The name of the custody log, which never changes; a new one else.")
    ] = None,
    port: Annotated[int, typer.Option(help="Where screens are served.", min=1, max=65535)] = 8050,
    mqtt_port: Annotated[int, typer.Option(help="Where the broker listens.", min=1, max=65535)] = 18830,
) -> None:
    """Make an installation: settings, password, keys, broker; nothing that exists is written over."""
    from tweeling.cli.init import Options, run_init
    from tweeling.cli.nodes import parse

    names = dict.fromkeys([*(parse(f"{hub}/gateway") for hub in hubs or ()), *(parse(name) for name in nodes or ())])
    options = Options(
        folder=data, hosts=tuple(hosts or ()), nodes=tuple(names), origin=origin, port=port, mqtt_port=mqtt_port
    )
    run_init(options, out)


def password(data: DataFolder = DATA) -> None:
    """Make a new password for the screens; a hub asks for it from its next start on, and ends all sessions."""
    from tweeling.cli.init import run_password

    run_password(data, out)


@node.command("add")
def add(name: Name, data: DataFolder = DATA, host: Finds = None) -> None:
    """Let a gateway in, and write the folder that it needs."""
    from tweeling.cli import nodes
    from tweeling.cli.installation import Installation

    folder = nodes.add(Installation(data.resolve()), nodes.parse(name), host=host)
    out.print(f"{name} may bring readings. Carry to the gateway: {folder}", markup=False)


@node.command("renew")
def renew(name: Name, data: DataFolder = DATA, host: Finds = None) -> None:
    """Give a gateway a new password; the old one is refused from now on."""
    from tweeling.cli import nodes
    from tweeling.cli.installation import Installation

    file = nodes.renew(Installation(data.resolve()), nodes.parse(name), host=host)
    out.print(f"{name} has a new password. Carry to the gateway: {file}", markup=False)


@node.command("remove")
def remove(name: Name, data: DataFolder = DATA) -> None:
    """Let a gateway in no longer; what it brought stays."""
    from tweeling.cli import nodes
    from tweeling.cli.installation import Installation

    nodes.remove(Installation(data.resolve()), nodes.parse(name))
    out.print(f"{name} is let in no longer", markup=False)


@node.command("list")
def list_(
    data: DataFolder = DATA, as_json: Annotated[bool, typer.Option("--json", help="One JSON array.")] = False
) -> None:
    """List the gateways that are let in, and since when their passwords hold."""
    from tweeling.cli import nodes
    from tweeling.cli.installation import Installation

    rows = nodes.known(Installation(data.resolve()))
    if as_json:
        out.print_json(nodes.as_json(rows))
        return
    for row in rows:
        out.print(f"{'/'.join(row.name):32} since {row.since.astimezone():%Y-%m-%d %H:%M}", markup=False)


@certificate.command("make")
def make(data: DataFolder = DATA, hosts: Hosts = None, new_authority: NewAuthority = False) -> None:
    """Make a certificate for these names, and an authority where there is none; say what to write into the settings."""
    from tweeling.cli import certifying

    if not hosts:
        raise ConfigError("which names?", field="--host", remedy="Name what gateways and browsers will call")
    certifying.make(data, hosts, new_authority=new_authority, out=out)


@certificate.command("renew")
def renew_certificate(data: DataFolder = DATA, new_authority: NewAuthority = False) -> None:
    """Make the certificate anew for the same names; a running hub takes it within seconds."""
    from tweeling.cli import certifying

    certifying.renew(data, new_authority=new_authority, out=out)


@certificate.command("show")
def show(data: DataFolder = DATA) -> None:
    """Show the certificates that the hub shows: names, and until when they are good."""
    from tweeling.cli import certifying

    certifying.show(data, out=out)
