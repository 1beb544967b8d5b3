"""Taking records from a SQLite file to another store, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from tweeling.adapters.sql import bulk
from tweeling.adapters.sql.audit import open_records_audit
from tweeling.adapters.sql.engine import Records
from tweeling.adapters.sql.tables import METADATA
from tweeling.errors import ConfigError

_AT_ONCE = 1000
_MIGRATE = "Take `records` out of the settings, run `tweeling migrate` on the file in its old place, and set it again"


def copy(source: Path, target: Records) -> dict[str, int]:
    """Copy every row of a record store's file into an empty store; return how many each table had.

    Raises ConfigError where the target holds something, or the file is of another schema; nothing is copied then.
    """
    copied = {}
    with open_records_audit(f"sqlite:///{source}", remedy=_MIGRATE) as file, target.write() as connection:
        for table in METADATA.sorted_tables:
            if connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one():
                raise ConfigError(
                    f"holds rows already, in {table.name}", field="records", remedy="Name an empty database"
                )
        for table in _parents_first():
            rows = 0
            for part in file.rows(table, at_once=_AT_ONCE):
                bulk.insert(connection, table, part)
                rows += len(part)
            copied[table.name] = rows
    return copied


def _parents_first() -> list[sa.Table]:
    """`entry` before those that refer to it; the migrations say so, the tables in code do not."""
    return sorted(METADATA.sorted_tables, key=lambda table: table.name != "entry")
