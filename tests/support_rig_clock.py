"""A clock that can be set while a program runs."""

from __future__ import annotations

import os
from pathlib import Path

_SITE = Path(__file__).parent / "shifted_clock"

HOUR_MS = 3_600_000


class Clock:
    """The time of day of the programs that get this environment."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.jump(0)
        path = os.pathsep.join(filter(None, [str(_SITE), os.environ.get("PYTHONPATH")]))
        self.env = {"PYTHONPATH": path, "CLOCK_SHIFT": str(file)}

    def jump(self, shift_ms: int) -> None:
        """Be so far from the true time, from now on."""
        file = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)
        os.pwrite(file, f"{shift_ms:+032d}".encode(), 0)  # always of one length: never half a number
        os.close(file)
