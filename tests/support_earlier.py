"""Installations of earlier versions: what these wrote, as SQL, each made by its own program with its own schema."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import duckdb

_EARLIER = Path(__file__).parent / "earlier"
VERSIONS = sorted(int(path.name) for path in _EARLIER.iterdir())
"""Schemas of the journal before today's."""


def install(folder: Path, version: int) -> None:
    """Make an installation of an earlier version whose hub has stopped."""
    kept = _EARLIER / f"{version:04}"
    folder.mkdir()
    (folder / "tweeling.toml").write_text("")
    shutil.copy(kept / "trust.json", folder)
    for name in ("journal", "records"):
        with closing(sqlite3.connect(folder / f"{name}.db")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript((kept / f"{name}.sql").read_text())
    with closing(duckdb.connect(folder / "points.duckdb")) as points:
        points.execute((kept / "points.sql").read_text())
