"""What InfluxDB answers, as columns: points out of their fields, windows out of hours."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tweeling.adapters.lineprotocol import decoded
from tweeling.domain.points import Points
from tweeling.ports.timeseries import Aggregate, Windows

TYPES = {
    "_time": pa.timestamp("ms", "UTC"),
    "_value": pa.float64(),
    "_field": pa.dictionary(pa.int32(), pa.string()),
    "series": pa.dictionary(pa.int32(), pa.string()),
}
"""The columns that our queries ask for."""
NONE = Windows(np.zeros(0, np.int64), np.zeros(0))
_NOTHING = pa.table({name: pa.array([], kind) for name, kind in TYPES.items()})


class Rows:
    """What a query answered, in columns."""

    def __init__(self, table: pa.Table = _NOTHING) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def times(self) -> NDArray[np.int64]:
        """`_time` in milliseconds since 1970."""
        found: NDArray[np.int64] = self._table["_time"].cast(pa.int64()).to_numpy()
        return found

    def values(self) -> NDArray[np.float64]:
        """`_value`."""
        found: NDArray[np.float64] = self._table["_value"].to_numpy()
        return found

    def named(self, column: str) -> tuple[list[str], NDArray[np.int64]]:
        """A column of few distinct texts: these texts, decoded, and which of them each row has."""
        texts = self._table[column].unify_dictionaries().combine_chunks()
        return [decoded(text) for text in texts.dictionary.to_pylist()], texts.indices.to_numpy().astype(np.int64)


def lines_of(rows: Rows) -> Points:
    """Lines again out of their two fields, by series and time; a line that is only half written yet is none."""
    names, series = rows.named("series")
    kinds, kind = rows.named("_field")
    times, values = rows.times(), rows.values()
    of = {name: np.flatnonzero(kind == code) for code, name in enumerate(kinds)}
    nothing = np.zeros(0, np.int64)
    value, quality = of.get("value", nothing), of.get("quality", nothing)
    value = value[np.lexsort((times[value], series[value]))]
    quality = quality[np.lexsort((times[quality], series[quality]))]
    if not np.array_equal(times[value], times[quality]) or not np.array_equal(series[value], series[quality]):
        span = int(times.max()) + 1
        keys = series * span + times
        _, at_value, at_quality = np.intersect1d(keys[value], keys[quality], return_indices=True)
        value, quality = value[at_value], quality[at_quality]
    return Points(
        tuple(names), series[value].astype(np.int32), times[value], values[value], values[quality].astype(np.uint8)
    )


def by_series(rows: Rows, only: str | None = None) -> dict[str, Windows]:
    """Times and values of each series, by time; of one field, where others came along."""
    names, series = rows.named("series")
    times, values = rows.times(), rows.values()
    kinds, kind = rows.named("_field")
    wanted = np.ones(len(rows), np.bool_) if only is None else kind == (kinds.index(only) if only in kinds else -1)
    order = np.lexsort((times, series))
    order = order[wanted[order]]
    ends = np.searchsorted(series[order], np.arange(len(names)), "right").tolist()
    cuts = zip(names, [0, *ends], ends, strict=False)
    return {
        name: Windows(times[order[start:end]], values[order[start:end]]) for name, start, end in cuts if start < end
    }


def one_after_another(first: Windows, second: Windows) -> Windows:
    """Windows of two ranges, of which one begins where the other ends."""
    return Windows(np.concatenate([first.times, second.times]), np.concatenate([first.values, second.values]))


def of_hours(hours: Windows, counts: Windows, step_ms: int, aggregate: Aggregate) -> Windows:
    """Windows out of the values of their hours; a mean weighs each hour by its count."""
    _, at, weigh = np.intersect1d(hours.times, counts.times, return_indices=True)
    hours, weights = Windows(hours.times[at], hours.values[at]), counts.values[weigh]
    times, first = np.unique(hours.times // step_ms * step_ms, return_index=True)
    if not len(times):
        return Windows(times, hours.values)
    match aggregate:
        case Aggregate.MEAN:
            return Windows(times, np.add.reduceat(hours.values * weights, first) / np.add.reduceat(weights, first))
        case Aggregate.MIN:
            return Windows(times, np.minimum.reduceat(hours.values, first))
        case Aggregate.MAX:
            return Windows(times, np.maximum.reduceat(hours.values, first))
        case Aggregate.LAST:
            return Windows(times, hours.values[np.append(first[1:], len(hours.values)) - 1])
        case Aggregate.COUNT:
            return Windows(times, np.add.reduceat(hours.values, first))
