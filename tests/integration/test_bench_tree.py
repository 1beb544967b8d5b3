"""The tree's benchmark: what it measures is there, and what it makes is a log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from support_rfc9162 import leaf, tree_of

from tweeling.cli.bench.manyentries import entries, fill
from tweeling.cli.bench.tree import tree_rows
from tweeling.domain import entry


def test_the_log_of_millions_is_one_of_real_entries_under_their_root(tmp_path: Path) -> None:
    edge = fill(tmp_path / "records.db", 1000, covered=900)
    with closing(sqlite3.connect(tmp_path / "records.db")) as db:
        bodies = [body for (body,) in db.execute("SELECT body FROM entry ORDER BY idx")]
        kept = db.execute("SELECT level, count(*) FROM node GROUP BY level").fetchall()
        covered = db.execute("SELECT size, root FROM checkpoint").fetchall()
    assert bodies == next(entries(1000))
    assert {len(entry.read(body).commitments) for body in bodies} == {8}
    tree = tree_of([leaf(body) for body in bodies])
    assert edge.root() == tree.root(1000)
    assert covered == [(900, tree.root(900))]
    assert kept == [(0, 1000), (4, 62), (8, 3)]


def test_every_promise_of_the_tree_is_measured_beside_the_machines_own(tmp_path: Path) -> None:
    rows = {row.metric: row for row in tree_rows(leaves=1 << 10, cold_entries=5000, folder=tmp_path)}
    promised = {"append", "inclusion_proofs", "verifications", "log.inclusion_proofs_cold", "log.restart"}
    assert {name for name, row in rows.items() if row.goal is not None} == {f"tree.{name}" for name in promised}
    assert all(row.bench == "custody" and row.value > 0 for row in rows.values())
    limits = {name for name, row in rows.items() if row.limit is not None}
    assert limits == {f"tree.{name}" for name in promised - {"log.restart"}}
    cpu = {"hashes_of_65_bytes", "append", "inclusion_proofs", "inclusion_proofs_of_a_ragged_tree", "verifications"}
    cpu |= {"log.inclusion_proofs_cold", "log.tiles_cold", "log.bundles_cold"}
    assert {name for name in rows if name.endswith("_by_cpu")} == {f"tree.{name}_by_cpu" for name in cpu}
    assert list(tmp_path.iterdir()) == []
    assert not any(name.startswith("tree.log") for name in {row.metric for row in tree_rows(leaves=64)})
