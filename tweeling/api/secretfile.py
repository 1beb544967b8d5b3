"""Small JSON files that only their owner may read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tweeling.adapters import secretfile
from tweeling.errors import ConfigError


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file as one, mode 0600 from its first byte on."""
    secretfile.write(path, json.dumps(content, indent=1, sort_keys=True))


def read(path: Path) -> dict[str, Any]:
    """Read a file back, or raise ConfigError when it is missing, open to others, or no JSON object."""
    try:
        content = json.loads(secretfile.read(path, field=""))
    except ValueError as exc:
        raise ConfigError("not JSON", source=str(path)) from exc
    if not isinstance(content, dict):
        raise ConfigError("not a JSON object", source=str(path))
    return content
