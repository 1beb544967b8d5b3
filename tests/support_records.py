"""Record stores of earlier schemas."""

from __future__ import annotations

import sqlalchemy as sa

from tweeling.adapters.sql.engine import migrations, statements


def made_as_of(version: int, connection: sa.Connection) -> None:
    """Make the tables of a version in an empty database, as that version did."""
    backend = connection.dialect.name
    table = "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL)"
    connection.exec_driver_sql(statements(table, backend)[0])
    for number, name, text in migrations()[:version]:
        for statement in statements(text, backend):
            connection.exec_driver_sql(statement)
        connection.execute(
            sa.text("INSERT INTO schema_version VALUES (:number, :name)"), {"number": number, "name": name}
        )
