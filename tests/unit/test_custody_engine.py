from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tweeling.adapters import keys
from tweeling.adapters.sql import engine
from tweeling.adapters.sql.engine import migrations, open_records, statements
from tweeling.adapters.sql.tables import METADATA
from tweeling.domain import signature
from tweeling.errors import ConfigError, UnavailableError


def _url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'records.db'}"


def test_a_store_is_made_once_durable_and_its_owner_s_alone(tmp_path: Path) -> None:
    for _ in range(2):
        with closing(open_records(_url(tmp_path))) as records, records.read() as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
            assert connection.exec_driver_sql("SELECT COUNT(*) FROM schema_version").scalar_one() == len(migrations())
    assert stat.S_IMODE((tmp_path / "records.db").stat().st_mode) == 0o600


def test_the_tables_in_code_are_those_of_the_migrations(tmp_path: Path) -> None:
    with closing(open_records(_url(tmp_path))) as records, records.read() as connection:
        inspector = sa.inspect(connection)
        made = {
            name: {column["name"] for column in inspector.get_columns(name)} for name in inspector.get_table_names()
        }
    made.pop("schema_version")
    assert made == {table.name: set(table.columns.keys()) for table in METADATA.tables.values()}


def test_postgresql_gets_its_own_words() -> None:
    for _, _, text in migrations():
        for statement in statements(text, "postgresql"):
            assert not {"BLOB", "INTEGER", "STRICT", "ROWID"} & set(statement.replace(",", " ").split())


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    def fail(connection: sa.Connection) -> None:
        connection.exec_driver_sql("INSERT INTO fact (key, body) VALUES ('a', '1')")
        raise ValueError("changed my mind")

    with closing(open_records(_url(tmp_path))) as records:
        with pytest.raises(ValueError, match="changed my mind"), records.write() as connection:
            fail(connection)
        with records.read() as connection:
            assert connection.exec_driver_sql("SELECT COUNT(*) FROM fact").scalar_one() == 0


def test_a_store_that_is_locked_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BUSY_S", 0.05)
    with (
        closing(open_records(_url(tmp_path))) as records,
        closing(sqlite3.connect(tmp_path / "records.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked"), records.write():
            pass
        other.execute("ROLLBACK")
        with records.write() as connection:
            connection.exec_driver_sql("INSERT INTO fact (key, body) VALUES ('a', '1')")


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    open_records(_url(tmp_path)).close()
    with closing(sqlite3.connect(tmp_path / "records.db")) as other, other:
        other.execute("INSERT INTO schema_version VALUES (9999, 'future')")
    with pytest.raises(ConfigError, match="newer Tweeling"):
        open_records(_url(tmp_path))


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "nosuchdb://host/x"])
def test_a_url_that_cannot_be_is_named(url: str) -> None:
    with pytest.raises(ConfigError, match="records"):
        open_records(url)


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError):
        open_records(f"sqlite:///{tmp_path / 'nowhere' / 'records.db'}")


def test_a_log_s_key_is_made_once_and_opened_with_its_passphrase(tmp_path: Path) -> None:
    key, passphrase = tmp_path / "secrets" / "log.pem", tmp_path / "secrets" / "passphrase"
    keys.create_log_key(key, passphrase)
    first = keys.load_log_key(key, passphrase, origin="a.example")
    keys.create_log_key(key, passphrase)
    again = keys.load_log_key(key, passphrase, origin="a.example")
    assert first.public == again.public
    signature.verify(signature.ED25519, again.public, first.sign(b"text"), b"text", field="x")
    assert b"ENCRYPTED" in key.read_bytes()
    for path in (key, passphrase):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_file_that_others_may_read_or_that_does_not_open_is_named(tmp_path: Path) -> None:
    key, passphrase = tmp_path / "log.pem", tmp_path / "passphrase"
    keys.create_log_key(key, passphrase)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match=r"log\.pem.*chmod 600"):
        keys.load_log_key(key, passphrase, origin="a")
    key.chmod(0o600)
    passphrase.write_text("another\n")
    with pytest.raises(ConfigError, match=r"log\.pem"):
        keys.load_log_key(key, passphrase, origin="a")
    with pytest.raises(ConfigError, match="nowhere"):
        keys.load_log_key(tmp_path / "nowhere", passphrase, origin="a")
