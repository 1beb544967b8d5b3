"""Two sorted streams, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

K = TypeVar("K", tuple[Any, ...], int)
L = TypeVar("L")
R = TypeVar("R")


def merge(left: Iterable[tuple[K, L]], right: Iterable[tuple[K, R]]) -> Iterator[tuple[K, L | None, R | None]]:
    """Pair rows of the same key; None stands where one side has no such row. Both ascend, and hold a key once."""
    lefts, rights = iter(left), iter(right)
    here, there = next(lefts, None), next(rights, None)
    while here is not None and there is not None:
        if here[0] < there[0]:
            yield here[0], here[1], None
            here = next(lefts, None)
        elif there[0] < here[0]:
            yield there[0], None, there[1]
            there = next(rights, None)
        else:
            yield here[0], here[1], there[1]
            here, there = next(lefts, None), next(rights, None)
    while here is not None:
        yield here[0], here[1], None
        here = next(lefts, None)
    while there is not None:
        yield there[0], None, there[1]
        there = next(rights, None)
