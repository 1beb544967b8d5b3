"""A log of millions, made in minutes: real entries, the real tree, in the real schema; the events behind are erased."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.adapters.sql.subtrees import STEP
from tweeling.domain import entry, merkle
from tweeling.domain.canonical import cbor
from tweeling.domain.log import Checkpoint

COMMITMENTS = 8  # the fewest that an entry has
ENTRY_BYTES = 32 * COMMITMENTS
_AT_ONCE = 1 << 17
_FIRST_MS = 1_790_000_000_000


def entries(count: int, *, seed: int = 1) -> Iterator[list[bytes]]:
    """Entries as `entry.seal` makes them, many at once; the same for the same seed."""
    rng = np.random.default_rng(seed)
    head = cbor({1: entry.VERSION, 2: entry.EPCIS, 3: bytes(ENTRY_BYTES)})[:-ENTRY_BYTES]
    for start in range(0, count, _AT_ONCE):
        some = min(_AT_ONCE, count - start)
        hashes = rng.integers(0, 256, size=(some, COMMITMENTS, 32), dtype=np.uint8)
        # The first three bits count them, so that they ascend.
        hashes[:, :, 0] = hashes[:, :, 0] & 0x1F | np.arange(COMMITMENTS, dtype=np.uint8) << 5
        raw = hashes.tobytes()
        yield [head + raw[at : at + ENTRY_BYTES] for at in range(0, some * ENTRY_BYTES, ENTRY_BYTES)]


def fill(path: Path, count: int, *, seed: int = 1, covered: int = 0) -> merkle.Frontier:
    """Make a record store with so many entries. Nothing is synced until the end: it is thrown away afterwards.

    covered: so many of them stand under a checkpoint, whose note nobody signed; 0 for none.
    """
    open_records(f"sqlite:///{path}").close()
    edge = merkle.Frontier()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144"):
            db.execute(f"PRAGMA {pragma}")
        for some in entries(count, seed=seed):
            start = edge.size
            edge, nodes = merkle.grow(edge, [hashlib.sha256(b"\x00" + each).digest() for each in some])
            db.execute("BEGIN")
            db.executemany(
                "INSERT INTO entry (idx, body, event_id, captured_ms) VALUES (?, ?, ?, ?)",
                ((at, each, f"urn:uuid:{at:032x}", _FIRST_MS + at) for at, each in enumerate(some, start)),
            )
            kept = ((level, index, value) for (level, index), value in nodes.items() if level % STEP == 0)
            db.executemany("INSERT INTO node (level, idx, hash) VALUES (?, ?, ?)", kept)
            db.execute("COMMIT")
    if covered:
        with closing(open_records(f"sqlite:///{path}")) as records:
            store = SqlLogStore(records)
            store.save_checkpoint(Checkpoint(covered, merkle.root(covered, store.nodes), "", _FIRST_MS))
    return edge
