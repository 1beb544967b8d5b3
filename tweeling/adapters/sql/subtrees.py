"""The tree in SQL: of four levels of hashes one is kept, and those between are computed when they are asked for.

That halves what an append writes. Sixteen neighbours stand side by side, so the path of one leaf among millions is read
at two or three places of the file, where it would be six or seven with every level kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from tweeling.adapters.sql import bulk
from tweeling.adapters.sql.tables import NODE
from tweeling.domain.merkle import NodeKey, node_hash
from tweeling.errors import VerificationError

STEP = 4
"""Levels 0, 4, 8 … are kept, and with them every level of tiles."""

_BLOCK = 1 << STEP
_AT_ONCE = 200
_UPPER, _REMEMBERED = 8, 4096  # the blocks above ten million entries are 2,605, of 2.3 kB each

_Row = list[bytes | None]
_Block = list[_Row]  # sixteen neighbours as they are kept, and above them eight, four and two


class Subtrees:
    """Reads and writes hashes of complete subtrees. Safe from any thread."""

    def __init__(self) -> None:
        self._upper: dict[NodeKey, _Block] = {}  # high levels, which every path meets; what is in them never changes

    @staticmethod
    def insert(connection: sa.Connection, nodes: Mapping[NodeKey, bytes]) -> None:
        """Keep what has to be kept of the subtrees that an append completes."""
        kept = nodes.items()
        rows = [{"level": level, "idx": index, "hash": value} for (level, index), value in kept if level % STEP == 0]
        bulk.insert(connection, NODE, rows)

    def read(self, connection: sa.Connection, keys: Sequence[NodeKey]) -> list[bytes]:
        """Hashes of complete subtrees, as asked; VerificationError for one that is not kept."""
        places = [_place(level, index) for level, index in keys]
        found = [_look(self._upper, place) for place in places]
        if None in found:
            missing = {place[0] for place, value in zip(places, found, strict=True) if value is None}
            fetched = self._fetched(connection, list(missing))
            found = [value or _look(fetched, place) for place, value in zip(places, found, strict=True)]
        if None in found:
            raise VerificationError(f"the log has lost tree node {keys[found.index(None)]}", field="node")
        return found  # type: ignore[return-value]  # None is none of them, as was just seen

    def _fetched(self, connection: sa.Connection, wanted: Sequence[NodeKey]) -> dict[NodeKey, _Block]:
        rows: dict[NodeKey, _Row] = {key: [None] * _BLOCK for key in wanted}
        for start in range(0, len(wanted), _AT_ONCE):
            for level, index, value in _rows(connection, wanted[start : start + _AT_ONCE]):
                rows[level, index >> STEP][index & _BLOCK - 1] = bytes(value)
        blocks = {key: _grown(row) for key, row in rows.items()}
        if len(self._upper) + len(blocks) > _REMEMBERED:
            self._upper.clear()
        self._upper.update((key, block) for key, block in blocks.items() if key[0] >= _UPPER)
        return blocks


def _place(level: int, index: int) -> tuple[NodeKey, int, int]:
    """The block that holds a subtree, how far above what is kept, and which of its neighbours there."""
    above = level % STEP
    return (level - above, index >> STEP - above), above, index & (_BLOCK >> above) - 1


def _look(blocks: Mapping[NodeKey, _Block], place: tuple[NodeKey, int, int]) -> bytes | None:
    key, above, at = place
    block = blocks.get(key)
    return None if block is None else block[above][at]


def _grown(row: _Row) -> _Block:
    """Hash neighbours into what stands above them, where both are there."""
    block = [row]
    while len(row) > 2:
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [node_hash(left, right) if left and right else None for left, right in pairs]
        block.append(row)
    return block


def _rows(connection: sa.Connection, blocks: Sequence[NodeKey]) -> Sequence[Any]:
    """A join against blocks, which both databases answer by one walk down an index for each."""
    if connection.dialect.name != "sqlite":
        arrays = {"levels": [level for level, _ in blocks], "firsts": [block << STEP for _, block in blocks]}
        return connection.execute(_OF_ARRAYS, arrays).all()
    values = tuple(value for level, block in blocks for value in (level, block << STEP))
    return connection.exec_driver_sql(_of_values(len(blocks)), values).all()


# With its own order and end, each block is one walk down the index; else the planner, who cannot know how few rows lie
# between two numbers, reads the whole table for sixteen blocks.
_OF_ARRAYS = sa.text(
    "SELECT n.level, n.idx, n.hash"  # noqa: S608 -- our own words
    " FROM unnest(CAST(:levels AS BIGINT[]), CAST(:firsts AS BIGINT[])) AS k (level, first)"
    " CROSS JOIN LATERAL (SELECT level, idx, hash FROM node WHERE level = k.level"
    f" AND idx BETWEEN k.first AND k.first + {_BLOCK - 1} ORDER BY idx LIMIT {_BLOCK}) AS n"
)


@cache
def _of_values(count: int) -> str:
    return (
        f"SELECT n.level, n.idx, n.hash FROM (VALUES {', '.join(['(?, ?)'] * count)}) AS k"  # noqa: S608 -- our own words
        f" CROSS JOIN node n ON n.level = k.column1 AND n.idx BETWEEN k.column2 AND k.column2 + {_BLOCK - 1}"
    )
