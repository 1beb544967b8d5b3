"""How much a folder holds, and how much more would fit."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from tweeling.domain.vitals import Disk

_BLOCK = 512


def usage(folder: Path) -> Disk:
    """Bytes that a folder's files take on the disk, and those that are free there."""
    used = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # gone since it was listed
            used += path.lstat().st_blocks * _BLOCK
    return Disk(used, shutil.disk_usage(folder).free)
