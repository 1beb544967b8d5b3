"""Records on a real PostgreSQL: one writer, through kills and restarts, encrypted off this machine, and audited."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from support_broker import Client, until
from support_certificates import authority, certify
from support_custody import Bench, encode, shipping
from support_damage import RECORDS
from support_fsck import found, fsck, install, opened
from support_ingest import message, reading, weighing
from support_living import Living, living_hub
from support_postgres import Postgres, postgres
from support_records import made_as_of

from tweeling.adapters.sql import engine, tables
from tweeling.adapters.sql.engine import migrations, open_records
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.errors import ConfigError, InvariantError, UnavailableError
from tweeling.wire.ack import Ack


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server that a test may kill."""
    with postgres() as server:
        yield server


def _load(seq: int, grams: int = 5) -> Movement:
    who = Identity("H1", "n1", "0f" * 8, seq, 0)
    return Movement(identity=who, time_ms=seq, zone="H1-A", direction=Direction.IN, net_g=grams, material="gips")


def _write_and_die(connection: sa.Connection, server: Postgres) -> None:
    connection.execute(sa.insert(tables.FACT).values(key="half", body="{}"))
    server.kill()


# ------------------------------------------------------------------ schema


@pytest.mark.parametrize("version", range(len(migrations())))
def test_a_database_of_each_earlier_version_is_brought_to_this_one(database_server: Postgres, version: int) -> None:
    url = database_server.new_database()
    plain = sa.create_engine(url)
    with plain.begin() as connection:
        if version:
            made_as_of(version, connection)
    plain.dispose()
    for _ in range(2):
        with closing(open_records(url)) as records, records.read() as connection:
            done = connection.exec_driver_sql("SELECT version FROM schema_version ORDER BY version").scalars().all()
            assert done == [number for number, _, _ in migrations()]
            inspector = sa.inspect(connection)
            made = {
                name: {each["name"] for each in inspector.get_columns(name)} for name in inspector.get_table_names()
            }
    made.pop("schema_version")
    assert made == {table.name: set(table.columns.keys()) for table in tables.METADATA.tables.values()}


def test_a_migration_that_fails_leaves_the_schema_it_found(
    database_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = database_server.new_database()
    open_records(url).close()
    broken = [*migrations(), (9998, "9998_x.sql", "CREATE TABLE half (id INTEGER); CREATE TABLE half (id INTEGER)")]
    monkeypatch.setattr(engine, "migrations", lambda: broken)
    with pytest.raises(UnavailableError, match="half"):
        open_records(url)
    monkeypatch.undo()
    with closing(open_records(url)) as records, records.read() as connection:
        assert "half" not in sa.inspect(connection).get_table_names()


# ------------------------------------------------------------------ one writer


def test_a_second_hub_on_the_same_database_is_refused(database_server: Postgres) -> None:
    url = database_server.new_database()
    with closing(open_records(url)):
        with pytest.raises(UnavailableError, match="records: another hub writes to this database"):
            open_records(url)
        open_records(database_server.new_database()).close()
    open_records(url).close()


def test_the_session_that_writes_is_durable_and_is_missed_soon_when_its_line_is_cut(database_server: Postgres) -> None:
    with closing(open_records(database_server.new_database())) as records, records.write() as connection:
        names = ("synchronous_commit", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count")
        assert [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in names] == ["on", "10", "5", "3"]


def test_whoever_took_the_database_meanwhile_keeps_it(server: Postgres) -> None:
    url = server.new_database()
    with closing(open_records(url)) as mine:
        server.stop()
        server.start()
        with closing(open_records(url)) as other:
            with pytest.raises(UnavailableError, match="another hub writes"):
                SqlFacts(mine).put("a", {"by": "mine"})
            SqlFacts(other).put("a", {"by": "other"})
            assert SqlFacts(mine).get("a") == {"by": "other"}
        SqlFacts(mine).put("a", {"by": "mine"})


# ------------------------------------------------------------------ kills and restarts


def test_a_server_killed_in_mid_transaction_has_nothing_of_it_and_is_written_to_again(server: Postgres) -> None:
    with closing(open_records(server.new_database())) as records:
        facts = SqlFacts(records)
        facts.apply_movements([_load(1)], source="journal", through=1)
        with pytest.raises(UnavailableError), records.write() as connection:
            _write_and_die(connection, server)
        with pytest.raises(UnavailableError):
            facts.apply_movements([_load(2)], source="journal", through=2)
        with pytest.raises(UnavailableError):
            facts.balances()
        server.start()
        assert facts.get("half") is None
        assert facts.movements_applied("journal") == 1
        facts.apply_movements([_load(2)], source="journal", through=2)
        assert facts.balances()[0].in_g == 10


def test_connections_of_before_a_restart_are_noticed_when_they_are_taken_up(server: Postgres) -> None:
    with closing(open_records(server.new_database())) as records:
        facts = SqlFacts(records)
        facts.put("a", {})
        for end in (server.stop, server.kill):
            assert facts.get("a") == {}
            end()
            server.start()
            facts.put("a", {})
            assert facts.get("a") == {}


def test_a_session_that_an_administrator_ends_is_opened_again(database_server: Postgres) -> None:
    with closing(open_records(url := database_server.new_database())) as records:
        facts = SqlFacts(records)
        facts.put("a", {})
        name = sa.make_url(url).database
        database_server.query(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"  # noqa: S608 -- our own
        )
        facts.put("b", {})
        assert facts.get("b") == {}


# ------------------------------------------------------------------ who is let in, and what is told


def test_a_password_is_told_to_nobody(database_server: Postgres, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = database_server.url("hub").replace(database_server.password, "no-such-secret")
    for url in (wrong, wrong.replace("127.0.0.1", "127.0.0.1:not-a-port"), wrong.replace("pg8000", "oracledb")):
        with pytest.raises(ConfigError) as raised:
            open_records(url)
        told, step = "", raised.value
        while step is not None:
            told, step = f"{told}{step!r}{step}", step.__cause__
        assert "no-such-secret" not in told + caplog.text


def test_who_is_not_let_in_must_change_something(database_server: Postgres) -> None:
    with pytest.raises(ConfigError, match=r"records: password authentication failed for user .* Mend the URL"):
        open_records(database_server.url().replace(database_server.password, "wrong"))
    with pytest.raises(ConfigError, match='records: database "nowhere" does not exist'):
        open_records(database_server.url("nowhere"))
    with pytest.raises(ConfigError, match=r"unknown parameter 'sslmode' of the URL\. Known: sslrootcert, unix_sock"):
        open_records(database_server.url(sslmode="disable"))


def test_a_server_off_this_machine_has_to_prove_itself(tmp_path: Path, database_server: Postgres) -> None:
    # This machine, under an address that does not say so.
    with pytest.raises(UnavailableError, match="Server refuses SSL"):
        open_records(database_server.url().replace("127.0.0.1", "0.0.0.0"))  # noqa: S104 -- to connect to
    ours, theirs = authority(tmp_path, "ours"), authority(tmp_path, "theirs")
    with postgres(certified=certify(ours, "database")) as server:
        with closing(open_records(server.url(sslrootcert=str(ours.path)))) as records, records.read() as asked:
            mine = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert asked.exec_driver_sql(mine).scalar_one() is True
        with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            open_records(server.url(sslrootcert=str(theirs.path)))
        with pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            open_records(server.url(sslrootcert=str(ours.path)).replace("127.0.0.1", "0.0.0.0"))  # noqa: S104
    with pytest.raises(ConfigError, match="sslrootcert: No such file"):
        open_records(database_server.url(sslrootcert=str(tmp_path / "nowhere.pem")))


def test_a_value_that_the_database_cannot_hold_is_no_outage(database_server: Postgres) -> None:
    with (
        closing(open_records(database_server.new_database())) as records,
        pytest.raises(InvariantError, match="invalid byte sequence"),
        records.write() as connection,
    ):
        connection.execute(sa.insert(tables.FACT).values(key="a\x00b", body="{}"))


def test_a_name_too_long_for_an_index_is_no_outage_and_the_longest_uris_are_taken(database_server: Postgres) -> None:
    with closing(open_records(database_server.new_database())) as records:
        with pytest.raises(InvariantError, match="index row"), records.write() as connection:
            connection.execute(sa.insert(tables.FACT).values(key=_strange(2000), body="{}"))
        custody = Bench(SqlLogStore(records)).custody
        with ThreadPoolExecutor(3) as pool:
            bodies = [encode(shipping(n, eventID=_strange(n), lot=_strange(n))) for n in (2000, 680, 679)]
            beyond, *within = [pool.submit(custody.capture, body, token_id="t") for body in bodies]
        with pytest.raises(InvariantError, match="eventID: more than 2048 bytes"):
            beyond.result()
        assert {captured.result().index for captured in within} == {0, 1}


def _strange(count: int) -> str:
    """A URI of so many letters, three bytes each, that does not let itself be compressed."""
    random = Random(count)
    return "urn:x:" + "".join(chr(random.randrange(0x4E00, 0x9FFF)) for _ in range(count))


# ------------------------------------------------------------------ audited


@pytest.fixture(scope="module")
def sound(database_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("sound") / "hub"
    url = database_server.new_database()
    install(folder, f'records = "{url}"\n')
    return folder, str(sa.make_url(url).database)


@pytest.fixture
def folder(sound: tuple[Path, str], database_server: Postgres, tmp_path: Path) -> Path:
    """A copy of a sound installation, database and all."""
    before, template = sound
    copy = tmp_path / "hub"
    shutil.copytree(before, copy)
    database_server.query(f"CREATE DATABASE {template}_{tmp_path.name[-8:].lower()} TEMPLATE {template}")
    settings = copy / "tweeling.toml"
    settings.write_text(settings.read_text().replace(template, f"{template}_{tmp_path.name[-8:].lower()}"))
    return copy


def test_a_sound_installation_agrees_in_every_check(folder: Path) -> None:
    code, checks = fsck(folder)
    assert (code, [found(check) for check in checks.values() if not check["ok"]]) == (0, [])
    assert "40 weighings of 820.000 kg agree, through batch 13 of 13" in checks["facts"]["detail"]
    assert "11 entries" in checks["custody entries"]["detail"]


def test_names_that_a_language_sorts_otherwise_agree_too(folder: Path) -> None:
    with opened(folder) as hub:
        for node in ("a", "B", "_".join("zZ"), "A1", "a-1", "a_1"):
            hub.ingest.handle([message({1: [reading(), weighing()]}, node=node)])
        hub.projector.drain()
    code, checks = fsck(folder)
    assert code == 0, found(checks["facts"])


def test_records_are_taken_along_from_sqlite_once_and_whole(database_server: Postgres, tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    install(folder)
    settings, records = folder / "tweeling.toml", folder / "records.db"
    command = [sys.executable, "-m", "tweeling", "records", "import", str(records), "--data", str(folder)]

    def imported() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    unset = imported()
    assert (unset.returncode, "records: is not set. Name the new database there" in unset.stderr) == (2, True)
    settings.write_text(f'records = "{database_server.new_database()}"\n')
    with opened(folder):  # a hub runs
        assert "a hub runs here. Stop it first" in imported().stderr
    done = imported()
    assert (done.returncode, done.stderr) == (0, "")
    assert "40 movement" in done.stdout
    again = imported()
    assert (again.returncode, "records: holds rows already, in " in again.stderr) == (2, True)
    records.unlink()
    code, checks = fsck(folder)
    assert code == 0, [found(check) for check in checks.values()]
    assert "40 weighings of 820.000 kg agree" in checks["facts"]["detail"]
    assert "11 entries" in checks["custody entries"]["detail"]


_WORDS = (
    (r"zeroblob\((\d+)\)", r"decode(repeat('00', \1), 'hex')"),
    (r"CAST\((replace\()CAST\(body AS TEXT\)(.*)\) AS BLOB\)", r"convert_to(\1convert_from(body, 'UTF8')\2), 'UTF8')"),
    (r"CAST\(body \|\| x'00' AS BLOB\)", r"body || decode('00', 'hex')"),
)
_ONLY_SQLITE = {"the entry of a lot", "a signature"}
"""What the server itself refuses, or what only SQLite's words can say."""


def _in_its_words(statement: str) -> str:
    for pattern, word in _WORDS:
        statement = re.sub(pattern, word, statement)
    return statement


@pytest.mark.parametrize("name", sorted(RECORDS.keys() - _ONLY_SQLITE))
def test_damage_of_the_records_is_named(folder: Path, database_server: Postgres, name: str) -> None:
    damage, (check, pattern) = RECORDS[name]
    database = re.findall(r"/(hub_\w+)", (folder / "tweeling.toml").read_text())[0]
    for statement in damage:
        assert isinstance(statement, str)
        unchecked = "SET session_replication_role = replica"  # no foreign keys, as in a server that was tampered with
        database_server.query(f"{unchecked}; {_in_its_words(statement)}", database)
    code, checks = fsck(folder)
    assert code == 3
    lines = found(checks[check])
    assert any(re.search(pattern, line) for line in lines), {key: found(each) for key, each in checks.items()}


# ------------------------------------------------------------------ a whole hub


@pytest.fixture
def hub(server: Postgres, tmp_path: Path) -> Iterator[Living]:
    with living_hub(tmp_path) as hub:
        text = hub.installation.config.read_text()
        hub.installation.config.write_text(f'records = "{server.new_database()}"\n{text}')
        yield hub


def test_a_hub_goes_on_while_its_database_is_killed_and_loses_nothing(hub: Living, server: Postgres) -> None:
    hub.start()
    lot = "urn:epc:class:lgtin:4012345.011111.1"
    with Client(hub.broker, hub.broker.node("H1", "n1")) as node, hub.client() as client:
        node.subscribe("tweeling/v1/H1/n1/ack")

        def weigh(seq: int) -> None:
            node.published(*message({seq: [reading(seq / 100), weighing(seq * 1000, lot=lot, par="P01")]}))
            until(lambda: any(last >= seq for _, last in Ack.decode(node.receive()[1]).committed), "it is committed")

        weigh(1)
        until(lambda: client.status()["counts"]["events_captured"] == 1, "the hub claims what it weighed")
        server.kill()
        for seq in range(2, 6):  # acknowledged all the same
            weigh(seq)
        until(lambda: not _part(client.status(), "custody")["ok"], "the hub says what does not answer")
        server.start()
        until(lambda: client.status()["counts"]["events_captured"] == 5, "what waited is claimed")
        until(lambda: client.status()["counts"]["batches_waiting"] == 0, "all is applied")
        code, checks = fsck(hub.folder)
        assert code == 0, [found(check) for check in checks.values()]
        assert "5 weighings of 15.000 kg agree" in checks["facts"]["detail"]
    hub.stop()
    assert server.password not in hub.owner.children["hub"].tail(10_000)
    code, checks = fsck(hub.folder)
    assert code == 0, [found(check) for check in checks.values()]


def test_a_hub_whose_database_another_hub_has_does_not_start(hub: Living) -> None:
    url = re.findall(r'records = "(.*)"', hub.installation.config.read_text())[0]
    with closing(open_records(url)):
        hub.owner.start("hub", [sys.executable, "-m", "tweeling", "up", str(hub.installation.config)])
        process = hub.owner.children["hub"].process
        assert process.wait(60) == 1
    assert "another hub writes to this database" in hub.owner.children["hub"].tail(30)


def _part(status: dict, name: str) -> dict:  # type: ignore[type-arg]  # JSON
    return next(part for part in status["parts"] if part["part"] == name)
