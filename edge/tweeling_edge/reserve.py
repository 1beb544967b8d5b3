"""Room that is kept for the day the disk is full: even deleting needs some."""

from __future__ import annotations

import os
from pathlib import Path

SIZE = 8 << 20  # SQLite's log, and what a checkpoint adds to the file


class Reserve:
    """A file of real blocks beside the outbox."""

    def __init__(self, outbox: Path, size: int = SIZE) -> None:
        self._path = outbox.with_name(f"{outbox.name}.reserve")
        self._size = size

    @property
    def kept(self) -> bool:
        """Whether the room is there."""
        return self._path.exists() and self._path.stat().st_size >= self._size

    def release(self) -> None:
        """Give the room back to the disk."""
        self._path.unlink(missing_ok=True)

    def take(self) -> bool:
        """Keep room again, where there is plenty; say whether it is kept."""
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            if os.fstat(handle).st_size >= self._size:
                return True
            disk = os.fstatvfs(handle)
            if disk.f_bavail * disk.f_frsize < 3 * self._size:
                return False
            os.posix_fallocate(handle, 0, self._size)
        except OSError:
            return False
        finally:
            os.close(handle)
        return True
