"""Small JSON files that only their owner may read."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tweeling.errors import ConfigError


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file as one, mode 0600 from its first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read(path: Path) -> dict[str, Any]:
    """Read a file back, or raise ConfigError when it is missing, open to others, or no JSON object."""
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", source=str(path)) from exc
    if mode & 0o077:
        raise ConfigError("others may read this secret", source=str(path), remedy=f"chmod 600 {path}")
    try:
        content = json.loads(text)
    except ValueError as exc:
        raise ConfigError("not JSON", source=str(path)) from exc
    if not isinstance(content, dict):
        raise ConfigError("not a JSON object", source=str(path))
    return content
