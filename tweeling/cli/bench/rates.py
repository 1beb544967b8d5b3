"""How many a second: by the clock, and by the time that a core gave."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

_BEST_OF = 3


class Rate(NamedTuple):
    """So many a second of the clock, and a second of this thread's CPU, which others on the machine do not touch."""

    by_clock: float
    by_cpu: float


def once(count: int, work: Callable[[], object]) -> Rate:
    """What one try gives, where a second would find it all warm."""
    began, used = time.perf_counter(), time.thread_time()
    work()
    spent = time.thread_time() - used
    return Rate(count / (time.perf_counter() - began), count / spent)


def best(count: int, work: Callable[[], object]) -> Rate:
    """Each at best of three: whatever else ran can only have slowed it."""
    tries = [once(count, work) for _ in range(_BEST_OF)]
    return Rate(max(each.by_clock for each in tries), max(each.by_cpu for each in tries))
