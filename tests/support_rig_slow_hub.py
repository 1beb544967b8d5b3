"""`python support_rig_slow_hub.py up CONFIG`: a hub that spends 500 µs of its processor on every message."""

from __future__ import annotations

import sys
import time
from typing import Any

from tweeling.cli.main import run
from tweeling.services.ingest import Ingest

COST_S = 500e-6

_commit = Ingest.commit


def _slow_commit(self: Ingest, parcel: Any, *rest: Any, **more: Any) -> Any:
    spin(COST_S * (len(parcel.arrivals) + len(parcel.suspects)))
    return _commit(self, parcel, *rest, **more)


def spin(seconds: float) -> None:
    """Keep the processor busy."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


if __name__ == "__main__":
    Ingest.commit = _slow_commit  # type: ignore[method-assign]  # that is the fault
    sys.exit(run())
