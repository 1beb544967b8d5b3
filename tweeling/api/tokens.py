"""Tokens of machines: 256 random bits, kept as SHA-256."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tweeling.api import secretfile
from tweeling.api.principals import Principal, Role
from tweeling.errors import ConfigError


class Tokens:
    """Who bears which token. A hash is enough: a random token cannot be guessed at."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = dict(principals)

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Read the file that `issue` wrote; none means that no machine is known."""
        if not path.exists():
            return cls({})
        return cls(_parse(secretfile.read(path), path))

    def find(self, token: str) -> Principal | None:
        """The bearer of a token, None when it is not ours."""
        return self._principals.get(_digest(token))


def issue(path: Path, name: str, role: Role) -> str:
    """Give a name a new token in place of any it had, write its hash, and return the token: it is shown once."""
    if role is Role.OPERATOR:
        raise ConfigError("a person logs in with a password", field=name)
    known = _parse(secretfile.read(path), path) if path.exists() else {}
    token = secrets.token_urlsafe(32)
    kept = {digest: principal for digest, principal in known.items() if principal.name != name}
    kept[_digest(token)] = Principal(name, role)
    rows = [{"name": who.name, "role": who.role, "sha256": digest} for digest, who in kept.items()]
    secretfile.write(path, {"tokens": rows})
    return token


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _parse(content: Mapping[str, Any], path: Path) -> dict[str, Principal]:
    try:
        return {row["sha256"]: Principal(row["name"], Role(row["role"])) for row in content["tokens"]}
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigError("each token has name, role and sha256", field="tokens", source=str(path)) from exc
