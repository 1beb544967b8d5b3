"""An open load: each call at a moment of its own, whatever became of those before it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tweeling.cli.bench.report import Row, at_most

_SHARES = (0.5, 0.95, 0.99)
_SOON_S = 0.05


def paced(call: Callable[[int], object], *, rate: float, count: int, submitters: int) -> list[float]:
    """Call with 0, 1, … so many times a second; milliseconds from when each call was due to its return.

    From when it was due, so that a call that had to wait for others shows their delay too.
    """
    took = [0.0] * count
    numbers = itertools.count()
    began = time.perf_counter() + _SOON_S

    def submit() -> None:
        while (number := next(numbers)) < count:
            due = began + number / rate
            time.sleep(max(0.0, due - time.perf_counter()))
            call(number)
            took[number] = (time.perf_counter() - due) * 1000

    with ThreadPoolExecutor(submitters) as pool:
        for done in [pool.submit(submit) for _ in range(submitters)]:
            done.result()
    return took


def quantiles(
    bench: str, name: str, took: list[float], *, beside: list[float] | None = None, p95: float | None = None
) -> Iterator[Row]:
    """The median, and what all but a twentieth and all but a hundredth stayed below. p95: the goal of the second."""
    for share in _SHARES:
        yield at_most(
            f"{name}_p{share * 100:.0f}",
            float(np.quantile(took, share)),
            "ms",
            p95 if share == 0.95 else None,
            limit=None if beside is None else float(np.quantile(beside, share)),
            bench=bench,
        )
