"""Column arithmetic that time-series adapters share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.points import Points
from tweeling.ports.timeseries import Aggregate, Windows


def last_wins(points: Points) -> Points:
    """Sort by (series, time); of equal pairs the last stands."""
    order = np.lexsort((points.times, points.series))
    series, times = points.series[order], points.times[order]
    stays = order[np.append((np.diff(series) != 0) | (np.diff(times) != 0), True)[: len(order)]]
    return Points(points.names, points.series[stays], points.times[stays], points.values[stays], points.quality[stays])


def rows_at(points: Points, at: NDArray[np.int64]) -> Points:
    """Some of the rows, under the names that they use."""
    used, series = np.unique(points.series[at], return_inverse=True)
    names = tuple(points.names[code] for code in used.tolist())
    return Points(names, series.astype(np.int32), points.times[at], points.values[at], points.quality[at])


def concatenate(parts: Sequence[Points]) -> Points:
    """All rows in order, of points that share one table of names."""
    if len(parts) == 1:
        return parts[0]
    return Points(
        parts[0].names,
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.quality for part in parts]),
    )


def reduce_windows(points: Points, step_ms: int, aggregate: Aggregate) -> Windows:
    """Aggregate the points of one series, given by time, in windows aligned to multiples of step since 1970."""
    times, first = np.unique(points.times // step_ms * step_ms, return_index=True)
    if not len(times):
        return Windows(times, points.values)
    sizes = np.diff(np.append(first, len(points)))
    values: NDArray[np.float64]
    match aggregate:
        case Aggregate.MEAN:
            values = np.add.reduceat(points.values, first) / sizes
        case Aggregate.MIN:
            values = np.minimum.reduceat(points.values, first)
        case Aggregate.MAX:
            values = np.maximum.reduceat(points.values, first)
        case Aggregate.LAST:
            values = points.values[first + sizes - 1]
        case Aggregate.COUNT:
            values = sizes.astype(np.float64)
    return Windows(times, values)


def split_windows(points: Points, step_ms: int, aggregate: Aggregate) -> dict[str, Windows]:
    """`reduce_windows` of every series among points, given by series and time."""
    codes = np.unique(points.series)
    ends = np.searchsorted(points.series, codes, "right").tolist()
    found = {}
    for start, end in zip([0, *ends], ends, strict=False):
        part = points.slice(start, end)
        found[part.names[0]] = reduce_windows(part, step_ms, aggregate)
    return found


def spans(start_ms: int, end_ms: int, step_ms: int, *, at_most: int) -> Iterator[tuple[int, int, int]]:
    """[start, end) as spans of equal windows (start, end, width): whole ones, and at both ends what is cut off."""
    first, last = -(-start_ms // step_ms) * step_ms, end_ms // step_ms * step_ms
    if start_ms < first:
        cut = min(first, end_ms)
        yield start_ms, cut, cut - start_ms
    for start in range(first, last, at_most * step_ms):
        yield start, min(start + at_most * step_ms, last), step_ms
    if first <= last < end_ms:
        yield last, end_ms, end_ms - last
