"""Files that only their owner may read, whole from their first moment."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tweeling.errors import ConfigError


def write(path: Path, content: str | bytes) -> None:
    """Replace a file as one, mode 0600 from its first byte on; raises OSError."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def create(path: Path, content: str | bytes, *, field: str) -> None:
    """Write a file that is not there yet, or raise ConfigError: a secret is never written over by accident."""
    if path.exists():
        raise ConfigError(
            "exists already", field=field, source=str(path), remedy="Move it away first, if it should be replaced"
        )
    try:
        write(path, content)
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", field=field, source=str(path)) from exc


def read(path: Path, *, field: str) -> bytes:
    """Read a secret without its line end, or raise ConfigError when it is missing, empty, or open to others."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read().rstrip(b"\r\n")
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", field=field, source=str(path)) from exc
    if mode & 0o077:
        raise ConfigError(
            f"others may read this file (mode {mode:04o})", field=field, source=str(path), remedy=f"chmod 600 {path}"
        )
    if not content:
        raise ConfigError("is empty", field=field, source=str(path))
    return content
