"""`python support_clock.py FILE ARGUMENTS…`: tweeling-edge, its wall clock set by as many seconds as FILE says.

Time passes as ever; only what the clock on the wall says is moved, for the whole process.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

_real_ns = time.time_ns
_set_by = Path(sys.argv[1])


def _time_ns() -> int:
    return _real_ns() + int(_set_by.read_text()) * 1_000_000_000


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 1e9

if __name__ == "__main__":
    from tweeling_edge.__main__ import main

    sys.exit(main(sys.argv[2:]))
