"""How much a folder holds, and how much more would fit."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from tweeling.domain.vitals import Disk
from tweeling.errors import UnavailableError

_BLOCK = 512


def usage(folder: Path) -> Disk:
    """Bytes that a folder's files take on the disk, and those that are free there; raises UnavailableError.

    A file of several names, as in a backup, takes them once.
    """
    sizes: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # gone since it was listed, or not for us to see
                found = Path(place, name).lstat()
                sizes[found.st_dev, found.st_ino] = found.st_blocks * _BLOCK
    try:
        return Disk(sum(sizes.values()), shutil.disk_usage(folder).free)
    except OSError as exc:
        raise UnavailableError(f"{folder}: {exc.strerror}") from exc
