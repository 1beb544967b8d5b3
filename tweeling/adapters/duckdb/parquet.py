"""Sealed files as they lie on disk: columns sorted by series and time, written whole or not at all.

A sensor says 0.573, and as binary numbers such values hardly compress. As whole `digits` over a `scale` that holds for
the series their differences do; a value that is no short decimal stands in `rest`, so each comes back bit by bit.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tweeling.adapters.duckdb.pieces import Kind
from tweeling.errors import UnavailableError

ROWS = 122_880
"""In a row group: what has to be read to see one point."""

NOTE = b"tweeling"
"""Where a file's footer says what it holds."""

VALUE = "coalesce(rest, digits / scale)"
"""A raw file's value, in SQL."""

_SERIES = ("series", pa.dictionary(pa.int32(), pa.string()))
_SCHEMA: Mapping[Kind, pa.Schema] = {
    "raw": pa.schema(
        [
            _SERIES,
            ("t", pa.int64()),
            ("digits", pa.int64()),
            ("scale", pa.float64()),
            ("rest", pa.float64()),
            ("quality", pa.uint8()),
        ]
    ),
    "hourly": pa.schema(
        [
            _SERIES,
            ("t", pa.int64()),
            ("n", pa.int64()),
            *((name, pa.float64()) for name in ("total", "low", "high", "last")),
            ("last_t", pa.int64()),
            ("quality", pa.uint8()),
        ]
    ),
}
_IN_STEPS = {"t": "DELTA_BINARY_PACKED", "digits": "DELTA_BINARY_PACKED", "last_t": "DELTA_BINARY_PACKED"}
_FEW = ["series", "scale", "quality", "n", "total", "low", "high", "last"]  # told by a table of what occurs
_LEVEL = 9  # of zstd: a sealed file is written once or twice
_PLACES = 7  # decimal places at most, less one
_MOST = 0.95  # of a series' points, so that a scale is worth having
_EXACT = 2.0**53


def write(path: Path, kind: Kind, batches: Iterable[pa.RecordBatch], keys: pa.Array, note: Mapping[str, object]) -> int:
    """Write rows that come sorted by series and time, `row` a place in `keys`; return for how many points they stand.

    The file is there, under its name and on disk, when this returns; before that it has another name.
    """
    half = path.with_name(path.name + ".part")
    names = _SCHEMA[kind].names
    encodings = {name: way for name, way in _IN_STEPS.items() if name in names}
    if kind == "raw":
        encodings["rest"] = "BYTE_STREAM_SPLIT"
    points = 0
    with half.open("wb") as file:
        with pq.ParquetWriter(
            file,
            _SCHEMA[kind],
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=[name for name in _FEW if name in names],
            column_encoding=encodings,
            store_schema=False,
            write_page_checksum=True,
        ) as writer:
            for batch in batches:
                group = _raw(batch, keys) if kind == "raw" else _hourly(batch, keys)
                points += len(batch) if kind == "raw" else int(batch.column("n").to_numpy().sum())
                writer.write_table(group.cast(_SCHEMA[kind]), row_group_size=ROWS)
            writer.add_key_value_metadata({NOTE: json.dumps({"kind": kind, "points": points, **note})})
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
    sync(path.parent)
    return points


def verify(path: Path) -> None:
    """Read a file against the checksums of its pages; raises UnavailableError.

    DuckDB does not look at these, and a bit that fell over is most often a number to it.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches(ROWS):
                pass
    except (OSError, pa.ArrowException) as exc:
        raise UnavailableError(f"{path}: {exc}") from exc


def sync(folder: Path) -> None:
    """Put on disk which files a folder has."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def short(
    values: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]:
    """Digits and scale of values, and for which of them digits / scale is the value, bit by bit.

    sizes: of the runs that share a scale, the smallest that serves nearly all of the run.
    """
    starts = np.cumsum(sizes) - sizes
    scale = np.zeros(len(starts))
    with np.errstate(over="ignore", invalid="ignore"):
        for power in 10.0 ** np.arange(_PLACES):
            if scale.all():
                break
            share = np.add.reduceat(_digits(values, power)[1], starts, dtype=np.int64) / sizes
            scale[(scale == 0) & (share >= _MOST)] = power
        scales = np.repeat(np.where(scale, scale, 1.0), sizes)
        digits, exact = _digits(values, scales)
    return np.where(exact, digits, 0).astype(np.int64), scales, exact


def _digits(
    values: NDArray[np.float64], scale: NDArray[np.float64] | np.float64
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    digits = np.rint(values * scale) + 0.0  # -0.0 has a bit that digits have not
    return digits, (np.abs(digits) < _EXACT) & ((digits / scale).view(np.int64) == values.view(np.int64))


def _raw(batch: pa.RecordBatch, keys: pa.Array) -> pa.Table:
    series, sizes = _series(batch.column("row").to_numpy(), keys)
    values = batch.column("value").to_numpy()
    digits, scales, exact = short(values, sizes)
    return pa.table(
        {
            "series": series,
            "t": batch.column("t"),
            "digits": pa.array(digits, mask=~exact),
            "scale": scales,
            "rest": pa.array(values, mask=exact),
            "quality": batch.column("quality"),
        }
    )


def _hourly(batch: pa.RecordBatch, keys: pa.Array) -> pa.Table:
    columns = {name: batch.column(name) for name in _SCHEMA["hourly"].names[1:]}
    return pa.table({"series": _series(batch.column("row").to_numpy(), keys)[0], **columns})


def _series(rows: NDArray[np.int32], keys: pa.Array) -> tuple[pa.DictionaryArray, NDArray[np.int64]]:
    """The keys of rows that come sorted, and how many rows each has."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    sizes = np.diff(np.append(starts, len(rows)))
    places = np.repeat(np.arange(len(starts), dtype=np.int32), sizes)
    return pa.DictionaryArray.from_arrays(pa.array(places), keys.take(pa.array(rows[starts]))), sizes
