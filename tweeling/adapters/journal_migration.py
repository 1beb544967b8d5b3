"""A journal of an earlier schema becomes one of today's: in one transaction, so all of it or nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import resources
from itertools import groupby
from pathlib import Path

from tweeling.adapters import frame
from tweeling.adapters.frame import Frame
from tweeling.adapters.journal_file import APPLICATION, VERSION, other_schema
from tweeling.errors import ConfigError, UnavailableError

_ENVELOPES = """SELECT batch.number, batch.recorded_ms, batch.late_ms, envelope.topic, envelope.fresh, envelope.payload
    FROM batch_1 AS batch JOIN envelope ON envelope.batch = batch.number ORDER BY batch.number, envelope.id"""
_INSERT = "INSERT INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?)"

# What version 1 counted otherwise: a seq that was announced as dropped and came after all stayed counted, and of a
# message in quarantine that had to go each repeat was forgotten. The bytes of trimmed batches cannot be counted again.
_FINISH = """
DROP TABLE envelope;
DROP TABLE batch_1;
INSERT OR REPLACE INTO total SELECT 'trimmed_' || name, value - (
    SELECT coalesce(sum(CASE name WHEN 'readings' THEN readings ELSE movements END), 0) FROM batch)
    FROM total WHERE name IN ('readings', 'movements');
INSERT OR REPLACE INTO total SELECT column1, (
    SELECT coalesce(sum(last - first + 1), 0) FROM settled WHERE kind = column1) FROM (VALUES ('refused'), ('dropped'));
INSERT OR REPLACE INTO total SELECT 'quarantine_dropped', value - (SELECT coalesce(sum(seen), 0) FROM quarantine)
    FROM total WHERE name = 'quarantined';
PRAGMA user_version = 2;
"""


def schema(path: Path) -> int:
    """The schema of a journal's file; raises ConfigError for one that is none, or newer than this program."""
    with _opened(path) as db:
        application, version = (
            int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
        )
    if application != APPLICATION:
        raise ConfigError("is no ingest journal", source=str(path), remedy="Name the folder of a hub")
    if version > VERSION:
        raise other_schema(path, version)
    return version


def migrate(path: Path) -> None:
    """Bring a journal that no hub has to today's schema.

    Raises InvariantError for a batch that cannot be read, UnavailableError where the disk does not take it; then the
    file is as it was.
    """
    with _opened(path) as db:
        db.execute("BEGIN IMMEDIATE")
        while (version := db.execute("PRAGMA user_version").fetchone()[0]) < VERSION:
            _STEPS[version](db)
        db.execute("COMMIT")


def renamed(path: Path) -> None:
    """Note that the stores know a migrated journal's new name."""
    with _opened(path) as db:
        db.execute("DELETE FROM meta WHERE name = 'source_before'")


def _from_1(db: sqlite3.Connection) -> None:
    script = resources.files("tweeling.adapters") / "schema" / "journal-0002-from-0001.sql"
    _each(db, script.read_text("utf-8"))
    db.executemany(_INSERT, _batches(db))
    _each(db, _FINISH)


_STEPS = {1: _from_1}
"""From each earlier schema to the next."""


def _batches(db: sqlite3.Connection) -> Iterator[tuple[int | str | bytes, ...]]:
    """Each batch as version 2 keeps it, read again so that it can be counted."""
    for (number, recorded_ms, late_ms), rows in groupby(db.execute(_ENVELOPES), key=lambda row: row[:3]):
        envelopes = [row[3:] for row in rows]
        heads = [(topic, len(payload), recorded_ms, json.loads(fresh)) for topic, fresh, payload in envelopes]
        kept = Frame(json.dumps(heads, separators=(",", ":")), b"".join(payload for _, _, payload in envelopes))
        made = frame.rebuild(number, recorded_ms, late_ms, kept)
        counts = (len(made.points), len(made.movements), len(kept.heads) + len(kept.body))
        yield number, recorded_ms, late_ms, *counts, *kept


def _each(db: sqlite3.Connection, script: str) -> None:
    """Run a script inside the transaction, which `executescript` would commit first."""
    bare = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("--"))
    for statement in bare.split(";"):
        if statement.strip():
            db.execute(statement)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.is_file():
        raise ConfigError("no journal here", source=str(path), remedy="Name the folder of a hub that has run")
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as db:
            db.executescript("PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;")
            yield db
    except sqlite3.Error as exc:
        raise UnavailableError(f"{path}: {exc}") from exc
