from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_broker import Broker, mosquitto_broker, nats_broker, read_only_mosquitto, until
from support_edge import Hub, Process, fill_outbox, write_config, write_csv
from support_shared import shared

from tweeling.wire.ranges import SeqSet

COLUMNS = "sensor=container_id,time=ts_utc,value=fill_pct"


@contextmanager
def some_broker(kind: str, folder: Path) -> Iterator[Broker]:
    folder.mkdir(parents=True)
    with nats_broker(folder, [("H1", "gw1")]) if kind == "nats" else mosquitto_broker(folder) as broker:
        yield broker


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    with some_broker(request.param, tmp_path / "broker") as running:
        yield running


def test_a_replayed_file_arrives_whole_and_once(broker: Broker, tmp_path: Path) -> None:
    config = write_config(tmp_path, broker=broker)
    table = write_csv(tmp_path / "rows.csv", 3000)
    with Hub(broker) as hub, Process("replay", table, "--config", config, "--columns", "unit=unit", "--json") as agent:
        assert agent.wait() == 0, agent.lines
        answer = json.loads(agent.out)
        assert (answer["rows"], answer["queued"], answer["committed"]) == (3000, 3000, 3000)
        assert len(set(hub.readings)) == len(hub.readings) == 3000
        assert ("s2/fillingLevel", 1_700_000_060_000, 0.01, "/") in hub.readings


@pytest.mark.parametrize(
    ("kind", "protocol", "spoken"),
    [("mosquitto", "auto", "5"), ("mosquitto", "5", "5"), ("mosquitto", "3.1.1", "3.1.1"), ("nats", "auto", "3.1.1")],
)
def test_the_best_version_of_mqtt_that_both_sides_speak_is_spoken(
    tmp_path: Path, kind: str, protocol: str, spoken: str
) -> None:
    with some_broker(kind, tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, settings=f'protocol = "{protocol}"')
        table = write_csv(tmp_path / "rows.csv", 500)
        with Process("replay", table, "--config", config) as agent:
            assert agent.wait() == 0, agent.lines
            assert f"mqtt={spoken}" in agent.wait_line("broker.connected")
            assert not any("broker.lost" in line for line in agent.lines)
        assert len(hub.readings) == 500


def test_a_broker_that_speaks_only_3_1_1_is_named_when_5_is_insisted_on(tmp_path: Path) -> None:
    with some_broker("nats", tmp_path / "broker") as broker:
        config = write_config(tmp_path, broker=broker, settings='protocol = "5"')
        with Process("run", config) as agent:
            assert "Unsupported protocol version" in agent.wait_line("broker.lost")
            assert agent.terminate() == 0


def test_a_file_is_played_once_unless_it_is_wanted_again(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 100)
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, top='encoding = "cbor"')
        for more, arrived in ((), 100), ((), 100), (("--again",), 200):
            with Process("replay", table, "--config", config, "--json", *more) as agent:
                assert agent.wait() == 0, agent.lines
            assert json.loads(agent.out)["committed"] == 100
            assert len(hub.readings) == arrived


def test_bad_rows_are_told_and_the_good_ones_arrive(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 10)
    table.write_text(table.read_text() + "s1,yesterday,3,%\n")
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker)
        with Process("replay", table, "--config", config) as agent:
            assert agent.wait() == 0, agent.lines
            assert "line 12, column 'time'" in agent.wait_line("replay.row_refused")
        assert "11 rows, 1 bad" in agent.out
        assert len(hub.readings) == 10


def test_what_the_hub_refuses_is_told_once_and_is_settled(tmp_path: Path) -> None:
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker):
        config = write_config(tmp_path, broker=broker, top="pack = 1")
        table = write_csv(tmp_path / "rows.csv", 50)
        with Process("replay", table, "--config", config, "--unit", "furlong", "--json") as agent:
            assert agent.wait() == 0, agent.lines
        assert (json.loads(agent.out)["refused"], json.loads(agent.out)["committed"]) == (50, 0)
        (line,) = [line for line in agent.lines if "readings.refused" in line]
        assert "unit 'furlong' is unknown" in line


def test_a_stopped_replay_says_so_and_can_go_on(tmp_path: Path) -> None:
    config = write_config(tmp_path, broker=None)
    with Process("replay", write_csv(tmp_path / "rows.csv", 10), "--config", config, "--json") as agent:
        agent.wait_line("driver.finished")
        assert agent.terminate() == 1
    answer = json.loads(agent.out)
    assert (answer["queued"], answer["committed"], answer["settled"]) == (10, 0, False)


def test_what_the_broker_took_and_lost_is_sent_again(tmp_path: Path) -> None:
    with some_broker("mosquitto", tmp_path / "broker") as broker:
        config = write_config(tmp_path, broker=broker)
        table = write_csv(tmp_path / "rows.csv", 1000)
        with Hub(broker, loss=0.2) as hub, Process("replay", table, "--config", config, "--json") as agent:
            assert agent.wait(seconds=100) == 0, agent.lines
            assert hub.counts["lost"] > 0
            assert len(set(hub.readings)) == len(hub.readings) == 1000


def test_prague_containers_arrive_at_their_own_times(tmp_path: Path) -> None:
    series = shared("data/series/prague_container_fill.csv")
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker)
        options = ("--columns", COLUMNS, "--unit", "%", "--sensors", "1771,1778", "--json")
        with Process("replay", series, "--config", config, *options) as agent:
            assert agent.wait() == 0, agent.lines
        answer = json.loads(agent.out)
        assert (answer["rows"], answer["queued"], answer["bad"]) == (111_542, 4090, 0)
        assert answer["committed"] == len(set(hub.readings)) == len(hub.readings) == 4090
        assert {name for name, *_ in hub.readings} == {"1771/fillingLevel", "1778/fillingLevel"}


def test_what_is_sampled_without_a_broker_arrives_when_there_is_one(tmp_path: Path) -> None:
    with some_broker("mosquitto", tmp_path / "broker") as broker:
        broker.server.kill()
        table = write_csv(tmp_path / "rows.csv", 50)
        drivers = f'[[drivers]]\nkind = "replay"\nfile = "{table}"\nunit = "%"\n'
        config = write_config(tmp_path, broker=broker, extra=drivers)
        with Process("run", config) as agent:
            agent.wait_line("driver.finished")
            agent.wait_line("broker.lost")
            with Process("status", config, "--json") as status:
                assert status.wait() == 0
            answer = json.loads(status.out)
            assert (answer["queued"], answer["running"]) == (50, True)
            broker.server.start()
            with Hub(broker) as hub:
                hub.wait(lambda: len(hub.readings) == 50, "the backlog is delivered")
                assert agent.terminate() == 0
            assert sum("broker.lost" in line for line in agent.lines) == 1
            assert sum("broker.back" in line for line in agent.lines) == 1


def test_an_agent_that_is_stopped_hears_the_answers_to_what_is_under_way(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 50)
    drivers = f'[[drivers]]\nkind = "replay"\nfile = "{table}"\n'
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker, slow_s=0.5) as hub:
        config = write_config(tmp_path, broker=broker, extra=drivers)
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.readings) == 50, "committed, not yet told")
            assert agent.terminate() == 0
            assert "queued=0" in agent.wait_line("agent.stopped")
        hub.wait(lambda: not hub.states[-1].online, "its goodbye")
        assert hub.states[-1].queued == 0


def test_an_agent_without_a_hub_does_not_wait_for_it_at_its_end(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 50)
    with some_broker("mosquitto", tmp_path / "broker") as broker:
        config = write_config(tmp_path, broker=broker, extra=f'[[drivers]]\nkind = "replay"\nfile = "{table}"\n')
        with Process("run", config) as agent:
            agent.wait_line("driver.finished")
            agent.wait_line("broker.connected")
            began = time.monotonic()
            assert agent.terminate() == 0
            assert time.monotonic() - began < 1.5
            assert "queued=50" in agent.wait_line("agent.stopped")


def test_presence_says_online_then_offline_by_goodbye_or_by_last_will(broker: Broker, tmp_path: Path) -> None:
    config = write_config(tmp_path, broker=broker)
    with Hub(broker) as hub:
        with Process("run", config) as agent:
            hub.wait(lambda: hub.states and hub.states[-1].online, "online")
            assert agent.terminate() == 0
            hub.wait(lambda: not hub.states[-1].online, "goodbye")
        with Process("run", config) as agent:
            hub.wait(lambda: hub.states[-1].online, "online again")
            agent.kill()
            hub.wait(lambda: not hub.states[-1].online, "last will")


def test_a_node_that_may_not_publish_is_told_so_by_version_5_and_keeps_what_it_has(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 5)
    drivers = f'[[drivers]]\nkind = "replay"\nfile = "{table}"\n'
    with read_only_mosquitto(tmp_path) as broker:
        config = write_config(tmp_path, broker=broker, extra=drivers)
        with Process("run", config) as agent:
            agent.wait_line("driver.finished")
            assert "publish refused: Not authorized" in agent.wait_line("broker.lost")
            assert "queued=5" in _ended(agent)


def _ended(agent: Process) -> str:
    assert agent.terminate() == 0
    return agent.wait_line("agent.stopped")


def test_a_node_with_a_wrong_password_says_so_and_stops_when_told(tmp_path: Path) -> None:
    with some_broker("nats", tmp_path / "broker") as broker:
        config = write_config(tmp_path, broker=broker)
        (tmp_path / "credentials.json").write_text('{"username": "H1/gw1", "password": "wrong-password"}')
        with Process("run", config) as agent:
            line = agent.wait_line("broker.lost")
            assert "ot authorized" in line
            assert agent.terminate() == 0
        assert not any("wrong-password" in line for line in agent.lines)


def test_a_restored_disk_image_starts_a_new_epoch_and_loses_nothing(broker: Broker, tmp_path: Path) -> None:
    with Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker)
        for number in (1, 2, 3):
            write_csv(tmp_path / f"{number}.csv", 100, start_s=1_700_000_000 + number * 1_000_000)

        def replay(number: int) -> None:
            with Process("replay", tmp_path / f"{number}.csv", "--config", config) as agent:
                assert agent.wait() == 0, agent.lines

        replay(1)
        image = (tmp_path / "outbox.sqlite3").read_bytes()
        replay(2)
        for leftover in tmp_path.glob("outbox.sqlite3-*"):
            leftover.unlink()
        (tmp_path / "outbox.sqlite3").write_bytes(image)
        replay(3)
        assert len(hub.settled) == 2
        assert sorted(len(seqs) for seqs in hub.settled.values()) == [100, 200]
        assert len(set(hub.readings)) == len(hub.readings) == 300


def test_live_readings_overtake_a_backlog_that_drains_at_the_granted_rate(tmp_path: Path) -> None:
    with some_broker("mosquitto", tmp_path / "broker") as broker:
        write_csv(tmp_path / "old.csv", 300, sensors=("old",))
        write_csv(tmp_path / "new.csv", 1, sensors=("new",))
        old = f'[[drivers]]\nkind = "replay"\nfile = "{tmp_path}/old.csv"\n'
        live = f'[[drivers]]\nkind = "replay"\nfile = "{tmp_path}/new.csv"\nspeed = 1\ntimes = "live"\n'
        first = write_config(tmp_path, broker=None, extra=old)
        with Process("run", first) as agent:
            agent.wait_line("driver.finished")
            assert agent.terminate() == 0
        config = write_config(tmp_path, broker=broker, extra=live, top="pack = 1")
        with Hub(broker, rate=100) as hub, Process("run", config) as agent:
            hub.wait(lambda: any(row[0].startswith("new/") for row in hub.readings), "the live reading")
            assert len(hub.readings) < 150
            hub.wait(lambda: len(hub.readings) == 301, "the backlog", seconds=60)
            assert agent.terminate() == 0
        (epoch,) = hub.settled
        assert hub.settled[epoch] == SeqSet(((1, 301),))


def test_live_readings_are_seen_within_two_seconds_while_a_backlog_drains_at_the_granted_rate(
    broker: Broker, tmp_path: Path
) -> None:
    backlog, live, rate = 20_000, 80, 40.0
    fill_outbox(tmp_path / "outbox.sqlite3", backlog)
    lines = [f"new,{1_700_000_000 + each / 20},1" for each in range(live)]  # twenty a second
    (tmp_path / "new.csv").write_text("\n".join(["sensor,time,value", *lines]) + "\n")
    driver = f'[[drivers]]\nkind = "replay"\nfile = "{tmp_path}/new.csv"\nspeed = 1\ntimes = "live"\n'
    config = write_config(tmp_path, broker=broker, extra=driver, top="pack = 10")
    with Hub(broker, rate=rate) as hub, Process("run", config) as agent:
        hub.wait(lambda: hub.readings, "the first of the backlog")
        began = time.monotonic()
        hub.wait(lambda: sum(name == "new/fillingLevel" for name, *_ in hub.readings) == live, "every live reading")
        took = time.monotonic() - began
        waits = [came - at for (name, at), came in hub.arrived_ms.items() if name == "new/fillingLevel"]
        assert max(waits) <= 2000
        old = len(hub.readings) - live
        assert old < backlog - 10_000, "the backlog was still draining"
        assert rate * 10 * (took - 1) * 0.8 <= old <= rate * 10 * (took + 1) + 100, "at the rate that was granted"
        hub.rate = 0
        hub.wait(lambda: len(hub.readings) == backlog + live, "the rest", seconds=60)
        assert len(set(hub.readings)) == backlog + live
        assert agent.terminate() == 0


def test_the_agent_is_small(tmp_path: Path) -> None:
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker) as hub:
        table = write_csv(tmp_path / "rows.csv", 20_000)
        simulate = '[[drivers]]\nkind = "simulate"\nstart_ms = 1700000000000\n'
        replay = f'[[drivers]]\nkind = "replay"\nfile = "{table}"\n'
        config = write_config(tmp_path, broker=broker, extra=replay + simulate)
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.readings) >= 20_000, "all rows", seconds=60)
            assert agent.peak_mb() <= 60
            assert agent.terminate() == 0


def test_a_damaged_outbox_is_an_alarm_that_reaches_the_hub_until_someone_takes_the_file_away(tmp_path: Path) -> None:
    with some_broker("mosquitto", tmp_path / "broker") as broker, Hub(broker) as hub:
        fill_outbox(tmp_path / "outbox.sqlite3", 1000)
        with (tmp_path / "outbox.sqlite3").open("r+b") as stream:
            stream.seek(4096)
            stream.write(b"\xff" * 8192)
        table = write_csv(tmp_path / "rows.csv", 10)
        config = write_config(tmp_path, broker=broker)
        with Process("replay", table, "--config", config) as agent:
            assert agent.wait() == 0, agent.lines
            agent.wait_line("outbox.damaged")
        assert len(hub.readings) == 10
        assert "0123456789abcdef" not in hub.settled, "a new epoch"
        (kept,) = tmp_path.glob("outbox.sqlite3.damaged-*")
        assert any(state.alarm == f"outbox damaged, kept as {kept.name}" for state in hub.states)
        kept.unlink()
        states = len(hub.states)
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.states) > states, "its state")
            assert hub.states[-1].alarm == ""
            assert agent.terminate() == 0


def test_two_agents_never_share_an_outbox(tmp_path: Path) -> None:
    config = write_config(tmp_path, broker=None)
    with Process("run", config) as first:
        first.wait_line("agent.started")
        with Process("run", config) as second:
            assert second.wait() == 2
        assert any(f"in use by process {first.pid}" in line for line in second.lines)
        assert first.terminate() == 0
    until(lambda: not (tmp_path / "outbox.sqlite3-wal").exists(), "the outbox is closed in order")
