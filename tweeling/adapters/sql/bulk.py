"""Many rows in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa


def insert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, unless: tuple[str, ...] = ()
) -> None:
    """Insert rows that have every column of a table; those whose `unless` columns are there already change nothing."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        connection.execute(_by_row(table, unless), list(rows))
    else:  # where each row would be two journeys to the server, they travel as columns
        columns = {column.name: [row[column.name] for row in rows] for column in table.columns}
        connection.execute(_by_column(table, unless), columns)


@cache
def _by_row(table: sa.Table, unless: tuple[str, ...]) -> sa.TextClause:
    values = ", ".join(f":{column.name}" for column in table.columns)
    return sa.text(f"{_into(table)} VALUES ({values}){_conflict(unless)}")


@cache
def _by_column(table: sa.Table, unless: tuple[str, ...]) -> sa.TextClause:
    dialect = sa.dialects.registry.load("postgresql")()
    arrays = ", ".join(f"CAST(:{column.name} AS {column.type.compile(dialect)}[])" for column in table.columns)
    return sa.text(f"{_into(table)} SELECT * FROM unnest({arrays}){_conflict(unless)}")  # noqa: S608 -- our own names


def _into(table: sa.Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())})"


def _conflict(unless: tuple[str, ...]) -> str:
    return f" ON CONFLICT ({', '.join(unless)}) DO NOTHING" if unless else ""
