"""Which hosts are this machine: what goes there needs no encryption, and is worth no packing."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_NAMES = frozenset({"127.0.0.1", "::1", "localhost"})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def on_loopback(url: str) -> bool:
    """Whether a URL names this machine by one of its usual names."""
    return urlsplit(url).hostname in _NAMES
