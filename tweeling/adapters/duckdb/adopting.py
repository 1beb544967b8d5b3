"""A new live file beside sealed ones that are there already: after the old one was damaged and moved aside."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tweeling.adapters.duckdb.parquet import NOTE, VALUE
from tweeling.adapters.duckdb.pieces import NAME, Piece
from tweeling.errors import UnavailableError

log = logging.getLogger(__name__)

_NAMES = """INSERT INTO series SELECT (SELECT coalesce(max(id), 0) FROM series) + row_number() OVER (), key
    FROM (SELECT DISTINCT series AS key FROM ({points})) WHERE key NOT IN (SELECT key FROM series)"""
_NEWEST = """INSERT INTO newest SELECT id, max(t), arg_max(value, t), arg_max(quality, t)
    FROM ({points}) file JOIN series ON series.key = file.series GROUP BY id"""
_OF_KIND = {
    "raw": f"SELECT series, t, {VALUE} AS value, quality FROM read_parquet($raw)",
    "hourly": "SELECT series, last_t AS t, last AS value, quality FROM read_parquet($hourly)",
}


def begin(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Begin a live file, once: take up what is sealed beside it."""
    if connection.execute("FROM kept").fetchall():
        return
    pieces = found(folder)
    connection.begin()
    hours = [each for each in pieces if each.kind == "hourly"]
    raw_ms = max((each.end_ms for each in hours), default=0)
    sealed_ms = max((each.end_ms for each in pieces), default=0)
    connection.execute("INSERT INTO kept VALUES (?, ?, ?)", [sealed_ms, raw_ms, sum(each.points for each in hours)])
    if pieces:
        files = {kind: [str(folder / each.name) for each in pieces if each.kind == kind] for kind in _OF_KIND}
        files = {kind: names for kind, names in files.items() if names}
        points = " UNION ALL ".join(_OF_KIND[kind] for kind in files)
        connection.executemany("INSERT INTO sealed VALUES (?, ?, ?, ?, ?, ?)", pieces)
        connection.execute(_NAMES.format(points=points), files)
        connection.execute(_NEWEST.format(points=points), files)
        log.warning("store.adopted", extra={"files": len(pieces), "points": sum(each.points for each in pieces)})
    connection.commit()


def found(folder: Path) -> list[Piece]:
    """The files in a folder that belong together, told from their footers; of two that meet the newer one counts.

    A file whose content is none is set aside under another name, so that nothing ever takes it for a leftover. Raises
    UnavailableError where the disk does not let us read one: it may be whole.
    """
    there = [path for path in folder.iterdir() if NAME.fullmatch(path.name)] if folder.is_dir() else []
    pieces: list[Piece] = []
    for path in sorted(there, key=lambda path: int(path.name.split(".")[1]), reverse=True):
        try:
            note = json.loads(pq.read_metadata(path).metadata[NOTE])
            piece = Piece(
                path.name, note["kind"], note["start_ms"], note["end_ms"], note["points"], path.stat().st_size
            )
        except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as exc:
            _set_aside(path, exc)
            continue
        if all(piece.end_ms <= other.start_ms or other.end_ms <= piece.start_ms for other in pieces):
            pieces.append(piece)
    return pieces


def _set_aside(path: Path, why: Exception) -> None:
    """Keep a file that says nothing, for whoever can read more out of it."""
    if isinstance(why, OSError) and why.errno is not None:  # pyarrow calls a damaged footer an OSError without one
        raise UnavailableError(f"{path}: {why.strerror}. Let the hub read it, and start again") from why
    aside = path.with_name(f"{path.name}.unreadable")
    try:
        path.rename(aside)
    except OSError as exc:
        raise UnavailableError(f"{path}: cannot be read, nor set aside: {exc.strerror}") from exc
    log.warning("store.unreadable", extra={"file": str(aside), "reason": str(why)})
