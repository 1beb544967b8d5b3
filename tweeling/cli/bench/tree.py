"""The custody tree: growth, proofs and verification in memory, and a log of millions from a cold file."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling.adapters.clock import SystemClock
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.cli.bench import manyentries, rates
from tweeling.cli.bench.report import Row, at_least, at_most
from tweeling.domain import merkle
from tweeling.domain.note import Signer
from tweeling.domain.tile import WIDTH, Tile
from tweeling.services.custody import Custody
from tweeling.services.publishing import PublishedLog

_APPENDED = 1000  # entries at once
_ASKED = 20_000
_COLD = 2000
_COLD_TILES = 200
_EVENT = (
    b'{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"ObjectEvent",'
    b'"eventTime":"2026-01-05T10:00:00.000Z","eventTimeZoneOffset":"+01:00","action":"OBSERVE",'
    b'"bizStep":"receiving","epcList":["urn:epc:id:sgtin:9521141.012345.1"]}'
)

_T = TypeVar("_T")

_at_least = partial(at_least, bench="custody")
_at_most = partial(at_most, bench="custody")


def tree_rows(*, leaves: int = 1 << 17, cold_entries: int = 0, folder: Path | None = None) -> list[Row]:
    """Measure a tree of so many leaves in memory, and a durable log of `cold_entries`; 0 leaves the log out.

    folder: where the log is made, in a folder of its own that is removed again; 500 bytes for each entry.
    """
    rows = _in_memory(leaves)
    if cold_entries:
        with tempfile.TemporaryDirectory(prefix="tweeling-bench-", dir=folder or Path.cwd()) as name:
            rows += _durable(Path(name) / "records.db", cold_entries)
    return rows


def _in_memory(leaves: int) -> list[Row]:
    entries = list(chain.from_iterable(manyentries.entries(leaves)))
    asked = _some(_ASKED, leaves)
    tree, edge = _grown(entries)
    root, hashes = edge.root(), tree.read([(0, index) for index in asked])
    proofs = [merkle.inclusion_proof(index, leaves, tree.read) for index in asked]
    path = len(proofs[0])
    sibling_keys = [[(level, index >> level ^ 1) for level in range(path)] for index in asked]
    known = dict.fromkeys(chain.from_iterable(sibling_keys), root)

    def verify() -> None:
        for index, leaf, proof in zip(asked, hashes, proofs, strict=True):
            merkle.verify_inclusion(index=index, size=leaves, leaf=leaf, proof=proof, root=root)

    def prove(size: int) -> None:
        for index in asked:
            merkle.inclusion_proof(index % size, size, tree.read)

    hashing = rates.best(_ASKED * path, lambda: _hash_pairs(_ASKED * path))
    looking = rates.best(_ASKED, lambda: [[known[key] for key in keys] for keys in sibling_keys])
    appended = rates.best(leaves, lambda: _grown(entries))
    proven = rates.best(_ASKED, lambda: prove(leaves))
    ragged = rates.best(_ASKED, lambda: prove(max(1, leaves * 118_727 >> 17)))  # no subtree at the right edge is whole
    verified = rates.best(_ASKED, verify)
    return [
        _at_least("tree.hashes_of_65_bytes", hashing.by_clock, "1/s", None),
        _by_cpu("tree.hashes_of_65_bytes", hashing),
        _at_least("tree.append", appended.by_clock, "leaves/s", 300_000.0, limit=hashing.by_clock / 2),  # leaf and node
        _by_cpu("tree.append", appended, "leaves/s"),
        _at_least("tree.inclusion_proofs", proven.by_clock, "1/s", 100_000.0, limit=looking.by_clock),
        _by_cpu("tree.inclusion_proofs", proven),
        _by_cpu("tree.inclusion_proofs_of_a_ragged_tree", ragged),
        _at_least("tree.verifications", verified.by_clock, "1/s", 50_000.0, limit=hashing.by_clock / path),
        _by_cpu("tree.verifications", verified),
    ]


def _by_cpu(metric: str, rate: rates.Rate, unit: str = "1/s") -> Row:
    """The same a second of CPU: no promise, for a goal is what a user waits for."""
    return _at_least(f"{metric}_by_cpu", rate.by_cpu, unit, None)


def _grown(entries: Sequence[bytes]) -> tuple[merkle.Levels, merkle.Frontier]:
    tree, edge = merkle.Levels(), merkle.Frontier()
    for start in range(0, len(entries), _APPENDED):
        edge, nodes = merkle.grow(edge, [merkle.leaf_hash(entry) for entry in entries[start : start + _APPENDED]])
        tree.add(nodes)
    return tree, edge


def _hash_pairs(count: int) -> None:
    data = bytes(65)
    for _ in range(count):
        hashlib.sha256(data).digest()


def _some(count: int, below: int) -> list[int]:
    found: list[int] = np.random.default_rng(7).integers(below, size=count).tolist()
    return found


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# ------------------------------------------------------------------ a log of millions


class _Restart(NamedTuple):
    """Seconds from opening the store to a signed checkpoint, the first event captured, and its first proof."""

    checkpoint: float
    event: float
    proof: float


def _durable(path: Path, entries: int) -> list[Row]:
    covered = entries - entries // 10  # a restart proves that it extends what was signed
    made = _timed(lambda: manyentries.fill(path, entries, covered=covered))
    size = path.stat().st_size / entries
    restart = _alone(_restart, path)
    lookups = _alone(_cold_lookups, path, entries)
    proofs = _alone(_cold_proofs, path, entries)
    tiles, bundles = (_alone(_cold_tiles, path, entries, *level) for level in ((0,), ()))
    return [
        _at_least("tree.log.entries", entries, "entries", None),
        _at_most("tree.log.made", made, "s", None),
        _at_most("tree.log.bytes_an_entry", size, "bytes", None),
        _at_most("tree.log.restart", restart.proof, "s", 2.0),
        _at_most("tree.log.restart_to_checkpoint", restart.checkpoint, "s", None),
        _at_most("tree.log.first_event", restart.event - restart.checkpoint, "s", None),
        _at_least("tree.log.inclusion_proofs_cold", proofs.by_clock, "1/s", 2000.0, limit=lookups.by_clock),
        _by_cpu("tree.log.inclusion_proofs_cold", proofs),
        _by_cpu("tree.log.tiles_cold", tiles),
        _by_cpu("tree.log.bundles_cold", bundles),
    ]


def _alone(work: Callable[..., _T], path: Path, *more: int) -> _T:
    """Have a process of its own do something with a file of which the system remembers nothing."""
    _chill(path)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as one:
        return one.submit(work, path, *more).result()


def _chill(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _restart(path: Path) -> _Restart:
    key = Ed25519PrivateKey.generate()
    signer = Signer("bench.example/log", key.public_key().public_bytes_raw(), key.sign)
    began = time.perf_counter()
    with closing(open_records(f"sqlite:///{path}")) as records:
        store = SqlLogStore(records)
        custody = Custody(store, signer, clock=SystemClock(), random=os.urandom)
        custody.checkpoint()
        signed = time.perf_counter()
        captured = custody.capture(_EVENT, token_id="bench")  # noqa: S106 -- names a token, is none
        sequenced = time.perf_counter()
        size = captured.index + 1
        edge = merkle.frontier(size, store.nodes)
        proof = merkle.inclusion_proof(captured.index, size, store.nodes)
        [entry] = store.entries(captured.index, size)
        leaf = merkle.leaf_hash(entry.entry)
        merkle.verify_inclusion(index=captured.index, size=size, leaf=leaf, proof=proof, root=edge.root())
        return _Restart(signed - began, sequenced - began, time.perf_counter() - began)


def _cold_proofs(path: Path, entries: int) -> rates.Rate:
    with closing(open_records(f"sqlite:///{path}")) as records:
        store = SqlLogStore(records)
        asked = _some(_COLD, entries)
        return rates.once(_COLD, lambda: [merkle.inclusion_proof(index, entries, store.nodes) for index in asked])


def _cold_tiles(path: Path, entries: int, level: int | None = None) -> rates.Rate:
    """Whole tiles of a level, or bundles of entries, as anyone may read them."""
    with closing(open_records(f"sqlite:///{path}")) as records:
        published = PublishedLog(SqlLogStore(records))
        asked = [Tile(level, number) for number in _some(_COLD_TILES, entries // WIDTH)]
        return rates.once(_COLD_TILES, lambda: [published.read(tile) for tile in asked])


def _cold_lookups(path: Path, entries: int) -> rates.Rate:
    """What SQLite by itself gives: one hash for each question."""
    query = "SELECT hash FROM node WHERE level = 0 AND idx = ?"
    with closing(sqlite3.connect(path)) as db:
        asked = _some(_COLD, entries)
        return rates.once(_COLD, lambda: [db.execute(query, (index,)).fetchone() for index in asked])
