"""Points and what was found of them, as Arrow streams: how the command line asks a running hub in columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from tweeling.domain.points import Points
from tweeling.errors import WireError
from tweeling.ports.timeseries import Found

MEDIA_TYPE = "application/vnd.apache.arrow.stream"
_ASKED = pa.schema([("series", pa.dictionary(pa.int32(), pa.string())), ("t", pa.int64())])
_FOUND = pa.schema([("there", pa.bool_()), ("value", pa.float64()), ("quality", pa.uint8())])


def encode_points(points: Points) -> bytes:
    """Series and times of points; values are not asked about."""
    series = pa.DictionaryArray.from_arrays(pa.array(points.series, pa.int32()), pa.array(points.names, pa.string()))
    return _write(pa.table([series, pa.array(points.times)], schema=_ASKED))


def decode_points(data: bytes) -> Points:
    """Read them back, or raise WireError."""
    table = _read(data, _ASKED)
    times = table.column("t").to_numpy()
    names: tuple[str, ...] = ()
    series = np.zeros(len(times), np.int32)
    if len(times):
        column = table.column("series").unify_dictionaries().combine_chunks()
        names, series = tuple(column.dictionary.to_pylist()), column.indices.to_numpy()
    return Points(names, series, times, np.zeros(len(times)), np.zeros(len(times), np.uint8))


def encode_found(found: Found) -> bytes:
    """What was found."""
    return _write(pa.table([pa.array(column) for column in found], schema=_FOUND))


def decode_found(data: bytes) -> Found:
    """Read it back, or raise WireError."""
    table = _read(data, _FOUND)
    return Found(*(table.column(name).to_numpy() for name in _FOUND.names))


def _write(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _read(data: bytes, schema: pa.Schema) -> pa.Table:
    try:
        with pa.ipc.open_stream(data) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as exc:
        raise WireError(f"no Arrow stream: {str(exc)[:120]}") from exc
    if table.schema != schema or any(column.null_count for column in table.columns):
        raise WireError(f"no Arrow stream of {', '.join(schema.names)} without nulls")
    return table
