"""Sealed files: what each holds, how it is called, and which of those in the folder count."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import duckdb
import numpy as np

Kind = Literal["raw", "hourly"]
HOUR_MS = 3_600_000
NAME = re.compile(r"(raw|hourly)-\d{4,}-\d\d\.\d{6,}\.parquet")
"""Kind, month and number."""

_SMALLER = 4  # a piece is written again together with newer ones once these are a quarter of it


class Piece(NamedTuple):
    """One sealed file: every point known in [start_ms, end_ms) of one month when it was written.

    points: for hourly values, how many raw ones they stand for.
    """

    name: str
    kind: Kind
    start_ms: int
    end_ms: int
    points: int
    bytes: int


class Part(NamedTuple):
    """A file to write: the pieces it replaces, and the time it covers."""

    replaces: tuple[Piece, ...]
    start_ms: int
    end_ms: int


def name(kind: Kind, start_ms: int, number: int) -> str:
    """What a file is called; the number tells the newer of two."""
    return f"{kind}-{np.datetime64(start_ms, 'ms').astype('datetime64[M]')}.{number:06}.parquet"


def newest_number(folder: Path) -> int:
    """The highest number in a folder, whether its file counts, or is set aside, or not."""
    there = folder.iterdir() if folder.is_dir() else ()
    return max((int(path.name.split(".")[1]) for path in there if NAME.match(path.name)), default=0)


def month_of(time_ms: int) -> int:
    """The month of a time, counted from January 1970."""
    return int(np.datetime64(time_ms, "ms").astype("datetime64[M]").astype(np.int64))


def start_of(month: int) -> int:
    """When a month begins, UTC, in milliseconds since 1970."""
    return int(np.datetime64(month, "M").astype("datetime64[ms]").astype(np.int64))


def plan(
    pieces: Sequence[Piece], late: Sequence[int], *, new: int, start_ms: int, end_ms: int, whole: bool
) -> list[Part]:
    """Which files of a month to write, so that each point is written few times and a whole month is one file.

    pieces: what there is, by time. late: how many points each has to take in. new: how many points lie behind them, in
    [start_ms, end_ms). whole: nothing is to come any more.
    """
    first, points = len(pieces), new
    while first and ((whole and (new or len(pieces) > 1)) or pieces[first - 1].points <= _SMALLER * points):
        first -= 1
        points += pieces[first].points
    parts = [
        Part((piece,), piece.start_ms, piece.end_ms) for piece, more in zip(pieces[:first], late, strict=False) if more
    ]
    if new or first < len(pieces):
        parts.append(Part(tuple(pieces[first:]), pieces[first].start_ms if first < len(pieces) else start_ms, end_ms))
    return parts


def listed(cursor: duckdb.DuckDBPyConnection) -> list[Piece]:
    """The files that count, by kind and time."""
    return [Piece(*row) for row in cursor.execute("FROM sealed ORDER BY kind, start_ms").fetchall()]


def trouble(folder: Path, pieces: Sequence[Piece], exc: Exception | None = None) -> str | None:
    """The first file that is not as it was written, or which an error names, and what to do; None if there is none."""
    for piece in pieces:
        path = folder / piece.name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return _damaged(path, "is missing")
        except OSError as denied:
            return _damaged(path, f"cannot be read ({denied.strerror})")
        if size != piece.bytes:
            return _damaged(path, f"has {size} bytes of {piece.bytes}")
    for piece in pieces:
        if exc is not None and piece.name in str(exc):
            return _damaged(folder / piece.name, f"cannot be read ({str(exc.__cause__ or exc).splitlines()[0]})")
    return None


def _damaged(path: Path, how: str) -> str:
    return f"{path}: the sealed file {how}. Restore it from the latest backup; until then its time is not answered for"


def strays(folder: Path, pieces: Iterable[Piece]) -> list[Path]:
    """What a process that died has left in the folder; nothing while a file that counts is missing."""
    if not folder.is_dir():
        return []
    names = {piece.name for piece in pieces}
    there = {path.name: path for path in folder.iterdir()}
    half = [path for path in there.values() if path.name.endswith(".part")]
    if not names <= there.keys():
        return half  # the live file may be an old one: what it does not know may be all there is
    return half + [path for found, path in there.items() if NAME.fullmatch(found) and found not in names]
