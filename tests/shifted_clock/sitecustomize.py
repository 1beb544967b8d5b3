"""Moves the clock of a Python program and of all that it starts, by as many ms as the file CLOCK_SHIFT says just now.

Python reads this by itself at start where this folder is on its path. Only the time of day moves; what a program
measures with the monotonic clock does not, as when a machine's clock is set.
"""

from __future__ import annotations

import os
import time

_file = os.open(os.environ["CLOCK_SHIFT"], os.O_RDONLY)
_true = time.time_ns


def _time_ns() -> int:
    return _true() + int(os.pread(_file, 32, 0)) * 1_000_000


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 1e9
