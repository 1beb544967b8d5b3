"""Copying: the points of one store into another, when an installation moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tweeling.domain.points import Points
from tweeling.ports.journal import Journal
from tweeling.ports.timeseries import Aggregate, TimeSeriesStore
from tweeling.services.projection import source as place_of

_SPAN_MS = 30 * 86_400_000
_FOREVER_MS = 7_258_118_400_000  # the year 2200
_SERIES = 50  # at one look
_POINTS = 200_000  # in one apply, about


class Copied(NamedTuple):
    """What a copy did: points that the target lacked, and those that it had already."""

    points: int
    there: int


def copy(
    source: TimeSeriesStore,
    target: TimeSeriesStore,
    journal: Journal,
    told: Callable[[int, int], object] = lambda _done, _of: None,
) -> Copied:
    """Copy every point that the source keeps and the target lacks; then the target follows the journal from there.

    A point that the target has at the same series and time stands. What is interrupted is begun again. told: series
    done, of how many. Raises UnavailableError.
    """
    names = source.series()
    into = f"copy:{journal.id}"
    through = target.applied(into)
    copied = there = 0
    for start in range(0, len(names), _SERIES):
        told(start, len(names))
        for points in _read(source, names[start : start + _SERIES]):
            missing = ~target.find(points).there
            through += 1
            target.apply(_only(points, missing), source=into, through=through)
            copied += int(missing.sum())
            there += int((~missing).sum())
    followed = place_of(journal)
    target.apply(Points.of(()), source=followed, through=source.applied(followed))
    target.applied(into)  # when it has answered, all of this is durable
    told(len(names), len(names))
    return Copied(copied, there)


def _read(source: TimeSeriesStore, names: Sequence[str]) -> Iterator[Points]:
    """Every point of some series, by time and not too much at once."""
    counts = source.windows(names, start_ms=0, end_ms=_FOREVER_MS, step_ms=_SPAN_MS, aggregate=Aggregate.COUNT)
    spans: dict[int, dict[str, int]] = {}
    for name, windows in counts.items():
        for start, count in zip(windows.times.tolist(), windows.values.tolist(), strict=True):
            spans.setdefault(start, {})[name] = round(count)
    for start in sorted(spans):
        held: list[str] = []
        size = 0
        for name, count in spans[start].items():
            if held and size + count > _POINTS:
                yield _range(source, held, start)
                held, size = [], 0
            held.append(name)
            size += count
        yield _range(source, held, start)


def _range(source: TimeSeriesStore, names: Sequence[str], start_ms: int) -> Points:
    parts = [source.raw(name, start_ms=start_ms, end_ms=start_ms + _SPAN_MS) for name in names]
    return Points(
        tuple(names),
        np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def _only(points: Points, rows: np.typing.NDArray[np.bool_]) -> Points:
    return replace(
        points,
        series=points.series[rows],
        times=points.times[rows],
        values=points.values[rows],
        quality=points.quality[rows],
    )
