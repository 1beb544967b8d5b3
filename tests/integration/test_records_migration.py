"""Records that an earlier schema holds: brought to this one with their tree, or refused with what helps."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from support_postgres import records_url
from support_records import made_as_of
from support_rfc9162 import tree_of

from tweeling.adapters.sql import bulk
from tweeling.adapters.sql.copying import copy
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.adapters.sql.tables import ENTRY, NODE
from tweeling.domain import merkle
from tweeling.errors import ConfigError

ENTRIES = 3001  # no power of two: subtrees of several levels stand at the right edge


def _kept_whole(url: str, leaves: list[bytes]) -> dict[merkle.NodeKey, bytes]:
    """A log as the first schema kept it: every level of the tree."""
    _, nodes = merkle.grow(merkle.Frontier(), leaves)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        made_as_of(1, connection)
        rows = [{"level": level, "idx": at, "hash": value} for (level, at), value in nodes.items()]
        bulk.insert(connection, NODE, rows)
        entries = [
            {"idx": at, "body": b"entry", "event_id": f"urn:{at}", "captured_ms": at} for at in range(len(leaves))
        ]
        bulk.insert(connection, ENTRY, entries)
    engine.dispose()
    return dict(nodes)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_log_of_the_first_schema_keeps_its_root_and_every_proof(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    random = Random(2)
    leaves = [random.randbytes(32) for _ in range(ENTRIES)]
    url = records_url(kind, request, tmp_path)
    before = merkle.reader(_kept_whole(url, leaves))
    root = tree_of(leaves).root(ENTRIES)
    with closing(open_records(url)) as records:
        store = SqlLogStore(records)
        assert store.size() == ENTRIES
        edge = merkle.frontier(ENTRIES, store.nodes)
        assert edge.root() == root
        for _ in range(40):
            size = random.randint(1, ENTRIES)
            index = random.randrange(size)
            assert merkle.inclusion_proof(index, size, store.nodes) == merkle.inclusion_proof(index, size, before)
            proof = merkle.consistency_proof(size, ENTRIES, store.nodes)
            old_root = merkle.root(size, before)
            merkle.verify_consistency(old=size, new=ENTRIES, old_root=old_root, new_root=root, proof=proof)
        with records.read() as connection:
            levels = connection.execute(sa.select(NODE.c.level).distinct().order_by(NODE.c.level)).scalars().all()
        assert levels == [0, 4, 8]


def test_a_file_of_an_earlier_schema_is_not_taken_along_before_it_was_migrated(tmp_path: Path) -> None:
    old, new = tmp_path / "old.db", tmp_path / "new.db"
    _kept_whole(f"sqlite:///{old}", [bytes(32)])
    with closing(open_records(f"sqlite:///{new}")) as records:
        with pytest.raises(ConfigError, match=r"schema 1, this program knows 2\. Take `records` out .* `tweeling mig"):
            copy(old, records)
        open_records(f"sqlite:///{old}").close()
        assert copy(old, records)["entry"] == 1
