"""Passwords of people: generated, kept as scrypt hashes, never kept themselves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tweeling.api import secretfile
from tweeling.errors import ConfigError

OPERATOR = "operator"
"""Who logs in while an installation has one login."""

# Without 0/O and 1/l/I: it is read from a terminal and typed on a phone.
_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"


class Cost(NamedTuple):
    """What one guess costs."""

    n: int
    r: int
    p: int


COST = Cost(n=2**15, r=8, p=1)
"""32 MiB and about a tenth of a second."""


def generate() -> str:
    """A password of 100 random bits in four groups."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(5)) for _ in range(4))
    return "-".join(groups)


def hashed(password: str, *, salt: bytes | None = None, cost: Cost = COST) -> str:
    """`scrypt$n$r$p$salt$hash`, salt and hash in base64."""
    salt = secrets.token_bytes(16) if salt is None else salt
    key = _scrypt(password, salt, cost)
    return "$".join(("scrypt", *map(str, cost), base64.b64encode(salt).decode(), base64.b64encode(key).decode()))


class Passwords:
    """Names and hashes. `check` takes as long for an unknown name as for a wrong password."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._keys = {name: _parse(name, text) for name, text in hashes.items()}
        self._nobody = (COST, secrets.token_bytes(16), secrets.token_bytes(32))

    @classmethod
    def load(cls, path: Path) -> Passwords:
        """Read the file that `save` wrote, or raise ConfigError."""
        hashes = secretfile.read(path).get("passwords")
        if not isinstance(hashes, dict) or not hashes:
            raise ConfigError("holds no passwords", field="passwords", source=str(path))
        return cls(hashes)

    def check(self, name: str, password: str) -> bool:
        """Whether this is the name's password. Slow on purpose: call it off the event loop."""
        cost, salt, key = self._keys.get(name, self._nobody)
        # A longer text is no password of ours, and hashing it would be the caller's work on our machine.
        return hmac.compare_digest(_scrypt(password[:256], salt, cost), key)


def save(path: Path, passwords: Mapping[str, str], *, cost: Cost = COST) -> None:
    """Write the hashes of these passwords, mode 0600."""
    secretfile.write(path, {"passwords": {name: hashed(text, cost=cost) for name, text in passwords.items()}})


def _scrypt(password: str, salt: bytes, cost: Cost) -> bytes:
    memory = 2 * 128 * cost.n * cost.r
    return hashlib.scrypt(password.encode(), salt=salt, n=cost.n, r=cost.r, p=cost.p, maxmem=memory, dklen=32)


def _parse(name: str, text: object) -> tuple[Cost, bytes, bytes]:
    try:
        kind, n, r, p, salt, key = str(text).split("$")
        parsed = Cost(int(n), int(r), int(p)), base64.b64decode(salt), base64.b64decode(key)
    except ValueError as exc:
        raise ConfigError("not a scrypt hash", field=f"passwords.{name}") from exc
    if kind != "scrypt":
        raise ConfigError(f"unknown kind of hash {kind!r}", field=f"passwords.{name}", remedy="Use scrypt")
    return parsed
