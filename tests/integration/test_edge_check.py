from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support_broker import mosquitto_broker, nats_broker, read_only_mosquitto
from support_edge import Hub, Process, fill_outbox, write_config, write_csv
from support_http import Device

from tweeling_edge.outbox_file import look


def driver(device: Device, *, level: str = "$.level") -> str:
    return (
        f'[[drivers]]\nkind = "http-poll"\nname = "ring"\nurl = "{device.url()}"\n'
        f'[[drivers.readings]]\nname = "H1-A/fillingLevel"\npath = "{level}"\nunit = "%"\nscale = 0.1\n'
        '[[drivers.readings]]\nname = "H1-A/temperature"\npath = "$.t"\nunit = "Cel"\n'
    )


def check(config: Path, *options: str) -> tuple[int, Process]:
    with Process("check", config, *options) as process:
        return process.wait(), process


def rows(process: Process) -> dict[str, dict[str, Any]]:
    return {row["what"] or row["part"]: row for row in json.loads(process.out)["rows"]}


def test_a_check_shows_raw_and_converted_values_and_that_broker_and_hub_answer(tmp_path: Path) -> None:
    with (
        Device(lambda _: {"level": 420, "t": "21.5"}) as device,
        mosquitto_broker(tmp_path / "broker") as broker,
        Hub(broker) as hub,
    ):
        config = write_config(tmp_path, broker=broker, extra=driver(device))
        code, done = check(config, "--json")
        assert code == 0, done.out + "\n".join(done.lines)
        told = rows(done)
        level = told["H1-A/fillingLevel"]
        assert (level["part"], level["raw"], level["value"], level["unit"]) == ("ring", "420", 42.0, "%")
        assert told["connection"]["raw"] == "MQTT 5, not encrypted"
        assert told["publishing"]["raw"] == "tweeling/v1/H1/gw1/up"
        assert told["hub"]["ok"]
        assert (hub.readings, hub.states) == ([], []), "no reading was sent, and nobody seemed to be online"
        code, done = check(config)
        assert code == 0
        assert "  ok     H1-A/fillingLevel  420" in done.out
        assert "→ 42 %" in done.out
    assert not (tmp_path / "outbox.sqlite3").exists(), "no outbox was touched"


def test_a_sensor_that_fails_is_named_with_its_remedy_and_the_others_are_shown(tmp_path: Path) -> None:
    with Device(lambda _: {"level": "\x1b[31mfull", "t": 21.5}) as device:
        config = write_config(tmp_path, broker=None, extra=driver(device))
        code, done = check(config, "--no-broker")
        assert code == 1
        assert "WRONG  H1-A/fillingLevel: is no number" in done.out
        assert "it says: ?[31mfull" in done.out
        assert "ok     H1-A/temperature  21.5  → 21.5 Cel  now" in done.out
        config = write_config(tmp_path, broker=None, extra=driver(device, level="$.fill"))
        code, done = check(config, "--no-broker", "--json")
        assert code == 1
        assert rows(done)["H1-A/fillingLevel"]["wrong"] == "$ has 'level', 't', no 'fill'"
    code, done = check(config, "--no-broker")
    assert code == 1
    assert "Connection refused" in done.out


def test_a_broken_configuration_is_exit_code_2_and_so_are_two_drivers_that_are_one(tmp_path: Path) -> None:
    with Device(lambda _: {}) as device:
        assert check(write_config(tmp_path, broker=None, extra='[[drivers]]\nkind = "lidar"'), "--no-broker")[0] == 2
        code, done = check(write_config(tmp_path, broker=None, extra=driver(device) * 2), "--no-broker")
        assert code == 2
        assert any("two drivers are the same, ring" in line for line in done.lines)


def test_a_check_of_no_drivers_says_so(tmp_path: Path) -> None:
    code, done = check(write_config(tmp_path, broker=None), "--no-broker")
    assert code == 1
    assert "there are none" in done.out


def test_a_broker_that_is_away_or_does_not_know_us_is_named(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "rows.csv", 3)
    drivers = f'[[drivers]]\nkind = "replay"\nfile = "{csv}"\n'
    code, done = check(write_config(tmp_path, broker=None, extra=drivers), "--json")
    assert (code, "Connection refused" in rows(done)["connection"]["wrong"]) == (1, True)
    (tmp_path / "broker").mkdir()
    with nats_broker(tmp_path / "broker", [("H1", "gw1")]) as broker:
        config = write_config(tmp_path, broker=broker, extra=drivers)
        code, done = check(config, "--json")
        told = rows(done)
        assert (code, told["connection"]["raw"], told["publishing"]["ok"]) == (1, "MQTT 3.1.1, not encrypted", True)
        assert "no answer within 5 s" in told["hub"]["wrong"]
        with Hub(broker):
            assert check(config)[0] == 0
        (tmp_path / "credentials.json").write_text('{"username": "H1/gw1", "password": "wrong-password"}')
        code, done = check(config, "--json")
        assert "ot authorized" in rows(done)["connection"]["wrong"]
        assert "wrong-password" not in done.out + "".join(done.lines)


def test_a_broker_that_takes_nothing_from_us_is_named(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "rows.csv", 3)
    drivers = f'[[drivers]]\nkind = "replay"\nfile = "{csv}"\n'
    with read_only_mosquitto(tmp_path) as broker:
        code, done = check(write_config(tmp_path, broker=broker, extra=drivers))
        assert code == 1
        assert "publishing: the broker refuses: Not authorized" in done.out
        assert "Let this node write tweeling/v1/H1/gw1/#" in done.out


@pytest.mark.parametrize("kind", ["replay", "simulate"])
def test_recordings_and_the_simulator_can_be_looked_at_too(tmp_path: Path, kind: str) -> None:
    table = write_csv(tmp_path / "rows.csv", 9)
    table.write_text(table.read_text() + "s1,never,1,%\n")
    settings = f'file = "{table}"' if kind == "replay" else "start_ms = 1677477600000"
    config = write_config(tmp_path, broker=None, extra=f'[[drivers]]\nkind = "{kind}"\n{settings}\n')
    code, done = check(config, "--no-broker", "--json")
    told = rows(done)
    if kind == "simulate":
        assert code == 0
        assert told["H1-A/fillingLevel"]["unit"] == "/"
    else:
        assert code == 1
        assert told["s2/fillingLevel"]["value"] == 1
        assert "line 11, column 'time'" in told["rows.csv"]["wrong"]


def status(config: Path) -> tuple[dict[str, Any], str]:
    with Process("status", config, "--json") as process:
        assert process.wait() == 0, process.lines
        answer: dict[str, Any] = json.loads(process.out)
    with Process("status", config) as process:
        assert process.wait() == 0, process.lines
        return answer, process.out


def test_status_counts_beside_a_running_agent_and_without_one(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 50)
    drivers = f'[[drivers]]\nkind = "replay"\nfile = "{table}"\n'
    with mosquitto_broker(tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, extra=drivers)
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.readings) == 50, "all")
            answer, text = status(config)
            assert (answer["running"], answer["alarm"]) == (True, "")
            assert "an agent runs" in text
            assert agent.terminate() == 0
    before = sorted(path.name for path in tmp_path.glob("outbox*"))
    answer, text = status(config)
    assert sorted(path.name for path in tmp_path.glob("outbox*")) == before, "looking leaves nothing behind"
    assert (answer["running"], answer["queued"], answer["committed"], answer["sent"]) == (False, 0, 50, 50)
    assert answer["repeated"] == 0
    assert answer["oldest_unsent_s"] is None
    assert answer["disk_free_mb"] > 0
    assert "50 committed, 0 refused" in text


def test_status_tells_what_an_outage_does(tmp_path: Path) -> None:
    fill_outbox(tmp_path / "outbox.sqlite3", 1000)
    drivers = f'[[drivers]]\nkind = "replay"\nfile = "{write_csv(tmp_path / "rows.csv", 5)}"\n'
    config = write_config(tmp_path, broker=None, outbox="max_rows = 500", extra=drivers)
    with Process("run", config) as agent:
        agent.wait_line("outbox.thinned")
        assert agent.terminate() == 0
    (tmp_path / "outbox.sqlite3.damaged-1").touch()
    answer, text = status(config)
    assert answer["alarm"] == "outbox damaged, kept as outbox.sqlite3.damaged-1"
    assert 0 < answer["oldest_unsent_s"] < 600
    assert sum(answer["dropped"].values()) == 1005 - answer["queued"] > 0
    assert "outbox full: thinned to one reading an hour" in text


def test_status_of_a_locked_file_that_is_no_outbox_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "outbox.sqlite3").write_bytes(b"no database at all, but long enough to be looked at" * 20)
    config = write_config(tmp_path, broker=None)
    with Process("status", config) as process:
        assert process.wait() == 1
    assert any("not a database" in line for line in process.lines)
    assert (tmp_path / "outbox.sqlite3").read_bytes().startswith(b"no database")


def test_looking_never_writes(tmp_path: Path) -> None:
    fill_outbox(tmp_path / "outbox.sqlite3", 10)
    with closing(look(tmp_path / "outbox.sqlite3")) as database, pytest.raises(Exception, match="readonly"):
        database.execute("DELETE FROM reading")
