"""Many rows in one statement, in words that each database takes fastest; what they name are our own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

_AT_ONCE = 200


def insert(
    connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], *, unless: tuple[str, ...] = ()
) -> None:
    """Insert rows that have every column of a table; those whose `unless` columns are there already change nothing."""
    _insert(connection, table, rows, f" ON CONFLICT ({', '.join(unless)}) DO NOTHING" if unless else "")


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that have every column of a table; they take the place of those with the same primary key."""
    key = ", ".join(column.name for column in table.primary_key)
    new = ", ".join(f"{column.name} = excluded.{column.name}" for column in table.columns if not column.primary_key)
    _insert(connection, table, rows, f" ON CONFLICT ({key}) DO UPDATE SET {new}")


def where_any(
    connection: sa.Connection, head: str, column: sa.Column[Any], values: Sequence[Any]
) -> Iterator[sa.Row[Any]]:
    """The rows of `head` (a SELECT without its WHERE) whose column is one of these values."""
    if connection.dialect.name == "sqlite":
        for start in range(0, len(values), _AT_ONCE):
            part = tuple(values[start : start + _AT_ONCE])
            marks = ", ".join("?" * len(part))
            yield from connection.exec_driver_sql(f"{head} WHERE {column.name} IN ({marks})", part)
    elif values:
        array = f"CAST(:wanted AS {_postgres_type(column)}[])"
        yield from connection.execute(sa.text(f"{head} WHERE {column.name} = ANY({array})"), {"wanted": list(values)})


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]], conflict: str) -> None:
    if not rows:
        return
    names = table.columns.keys()
    if connection.dialect.name == "sqlite":  # by the driver's own marks: SQLAlchemy takes long over each row's names
        connection.exec_driver_sql(_by_row(table) + conflict, list(map(itemgetter(*names), rows)))
    else:  # where each row would be two journeys to the server, they travel as columns
        columns = {name: [row[name] for row in rows] for name in names}
        connection.execute(_by_column(table, conflict), columns)


def _by_row(table: sa.Table) -> str:
    return f"{_into(table)} VALUES ({', '.join('?' * len(table.columns))})"


@cache
def _by_column(table: sa.Table, conflict: str) -> sa.TextClause:
    arrays = ", ".join(f"CAST(:{column.name} AS {_postgres_type(column)}[])" for column in table.columns)
    return sa.text(f"{_into(table)} SELECT * FROM unnest({arrays}){conflict}")  # noqa: S608 -- our own names


@cache
def _postgres_type(column: sa.Column[Any]) -> str:
    return str(column.type.compile(sa.dialects.registry.load("postgresql")()))


def _into(table: sa.Table) -> str:
    return f"INSERT INTO {table.name} ({', '.join(table.columns.keys())})"
