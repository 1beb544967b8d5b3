"""Hosts: which are this machine, where nothing needs encryption or packing, and how a URL spells them."""

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


def in_url(host: str) -> str:
    """A host as a URL spells it: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
