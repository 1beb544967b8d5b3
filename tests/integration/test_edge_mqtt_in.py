from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support_broker import Broker, Client, mosquitto_broker, mosquitto_with, nats_broker, until
from support_certificates import authority, server_pair
from support_edge import Hub, Process, write_config
from support_servers import free_port

from tweeling.errors import ConfigError, UnavailableError
from tweeling.wire.senml import Resolved
from tweeling_edge.bench.memory import GOAL_MB
from tweeling_edge.clock import Clock
from tweeling_edge.config import load
from tweeling_edge.drivers import Look, Site
from tweeling_edge.drivers.mqtt_in import MqttIn, MqttInSettings
from tweeling_edge.outbox_file import connect, look
from tweeling_edge.sample import from_body

LEVELS = """
[[drivers.readings]]
topic = "shop/{thing}/level"
name = "{thing}/fillingLevel"
unit = "%"
[[drivers.readings]]
topic = "shop/{thing}/state"
name = "{thing}/temperature"
path = "$.t"
time = "$.at"
unit = "Cel"
"""


@contextmanager
def talkative_mosquitto(folder: Path) -> Iterator[Broker]:
    """A broker that says of every packet where it goes."""
    folder.mkdir()
    lasting = f"log_type all\npersistence true\npersistence_location {folder}/\n"
    with mosquitto_with(folder, lasting) as broker:
        yield broker


def driver(broker: Broker, *, more: str = "", rules: str = LEVELS, settings: str = "") -> str:
    return f'[[drivers]]\nkind = "mqtt-in"\n{more}\n[drivers.broker]\nport = {broker.port}\n{settings}\n{rules}'


def kept(folder: Path) -> list[Resolved]:
    """What the outbox holds, whether an agent runs or not."""
    with closing(look(folder / "outbox.sqlite3")) as database:
        return [from_body(body)[0] for (body,) in database.execute("SELECT body FROM reading ORDER BY seq")]


def say(client: Client, thing: str, values: range) -> None:
    for value in values:
        client.published(f"shop/{thing}/level", str(value).encode())


@pytest.mark.parametrize("protocol", ["3.1.1", "5", "auto"])
def test_messages_of_a_local_broker_become_readings_that_the_hub_commits(tmp_path: Path, protocol: str) -> None:
    with (
        mosquitto_broker(tmp_path / "local") as local,
        mosquitto_broker(tmp_path / "broker") as broker,
        Hub(broker) as hub,
        Client(local, local.hub()) as client,
    ):
        config = write_config(tmp_path, broker=broker, extra=driver(local, settings=f'protocol = "{protocol}"'))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            client.published("shop/H1-A/level", b"42")
            client.published("shop/H1-A/state", json.dumps({"t": 21.5, "at": 1_772_362_800}).encode())
            hub.wait(lambda: len(hub.readings) == 2, "both readings")
            assert agent.peak_mb() <= GOAL_MB
            assert agent.terminate() == 0
    by_name = {name: (at, value, unit) for name, at, value, unit in hub.readings}
    assert by_name["H1-A/fillingLevel"][1:] == (0.42, "/")
    assert by_name["H1-A/temperature"] == (1_772_362_800_000, 21.5, "Cel")


OVERLAP = """
[[drivers.readings]]
topic = "shop/#"
name = "H1-A/any"
[[drivers.readings]]
topic = "shop/{thing}/level"
name = "{thing}/level"
"""


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_a_message_that_fits_two_rules_is_one_reading_of_each(tmp_path: Path, protocol: str) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        settings = f'protocol = "{protocol}"'
        narrow = '[[drivers.readings]]\ntopic = "shop/{thing}/level"\nname = "{thing}/level"\n'
        config = write_config(tmp_path, broker=None, extra=driver(local, rules=narrow, settings=settings))
        with Process("run", config) as agent:  # which that broker remembers under this name
            agent.wait_line("driver.connected")
            assert agent.terminate() == 0
        config = write_config(tmp_path, broker=None, extra=driver(local, rules=OVERLAP, settings=settings))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            say(client, "H1-A", range(3))
            client.published("shop/end", b"9")
            until(lambda: 9 in [sample.value for sample in kept(tmp_path)], "the last")
            assert agent.terminate() == 0
    names = [sample.name for sample in kept(tmp_path)]
    assert names == [*["H1-A/any", "H1-A/level"] * 3, "H1-A/any"]


def test_rules_that_overlap_in_part_are_refused(tmp_path: Path) -> None:
    rules = '[[drivers.readings]]\ntopic = "{}"\nname = "H1-A/any"\n'
    with pytest.raises(ConfigError, match=r"'shop/[+]/level' and 'shop/H1-A/#' overlap") as caught:
        load(
            write_config(
                tmp_path,
                broker=None,
                extra=f'[[drivers]]\nkind = "mqtt-in"\nbroker = {{}}\n{rules.format("shop/+/level")}'
                f"{rules.format('shop/H1-A/#')}",
            )
        )
    assert caught.value.field == "drivers[0].readings"


def test_a_message_far_beyond_max_kb_is_not_even_sent(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        config = write_config(tmp_path, broker=None, extra=driver(local, more="max_kb = 1"))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            client.published("shop/H1-A/level", b"7" * 300_000)
            client.published("shop/H1-A/level", b"7" * 2000)
            client.published("shop/H1-A/level", b"7")
            until(lambda: kept(tmp_path), "what comes after it")
            with Process("status", config, "--json") as status:
                assert status.wait() == 0
            assert agent.terminate() == 0
    assert list(json.loads(status.out)["unread"].values()) == [1]


def test_what_comes_while_the_agent_is_away_waits_at_the_broker(tmp_path: Path) -> None:
    config_of = lambda local: write_config(tmp_path, broker=None, extra=driver(local))  # noqa: E731 -- said once
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        config = config_of(local)
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            assert agent.terminate() == 0
        say(client, "H1-A", range(50))
        with Process("run", config) as agent:
            until(lambda: len(kept(tmp_path)) >= 50, "all of it")
            assert agent.terminate() == 0
    assert [sample.value for sample in kept(tmp_path)] == list(range(50))


def test_an_agent_killed_before_its_outbox_has_committed_has_acknowledged_nothing_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with talkative_mosquitto(tmp_path / "local") as local, Client(local, local.hub()) as client:
        config = write_config(tmp_path, broker=None, extra=driver(local, more='client_id = "edge"'))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            # Nobody else can write the outbox now: the commit of what comes waits.
            with closing(connect(tmp_path / "outbox.sqlite3")) as database:
                database.execute("BEGIN IMMEDIATE")
                say(client, "H1-A", range(30))
                until(
                    lambda: sum("Sending PUBLISH to edge" in line for line in local.server.lines) == 30, "they are sent"
                )
                agent.kill()
                database.execute("ROLLBACK")
            assert not any("Received PUBACK from edge" in line for line in local.server.lines)
        assert kept(tmp_path) == []
        with Process("run", config) as agent:
            until(lambda: {sample.value for sample in kept(tmp_path)} == set(range(30)), "every message")
            until(lambda: sum("Received PUBACK from edge" in line for line in local.server.lines) == 30, "all told")
            assert agent.terminate() == 0
    assert len(kept(tmp_path)) == 30


@pytest.mark.slow  # SQLite waits ten seconds for a lock
def test_what_the_outbox_could_not_take_is_not_acknowledged_and_comes_again(tmp_path: Path) -> None:
    with talkative_mosquitto(tmp_path / "local") as local, Client(local, local.hub()) as client:
        config = write_config(tmp_path, broker=None, extra=driver(local, more='client_id = "edge"'))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            with closing(connect(tmp_path / "outbox.sqlite3")) as database:
                database.execute("BEGIN IMMEDIATE")
                say(client, "H1-A", range(30))
                assert "locked" in agent.wait_line("driver.lost")
                assert not any("Received PUBACK from edge" in line for line in local.server.lines)
                database.execute("ROLLBACK")
            until(lambda: {sample.value for sample in kept(tmp_path)} == set(range(30)), "every message")
            agent.wait_line("driver.back")
            assert agent.terminate() == 0


def test_an_agent_killed_again_and_again_loses_no_message(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        config = write_config(tmp_path, broker=None, extra=driver(local))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
        for start in range(0, 1000, 200):
            with Process("run", config) as agent:
                say(client, "H1-A", range(start, start + 200))
                until(lambda start=start: len(kept(tmp_path)) > start * 0.5, "some of it")  # type: ignore[misc]  # bound now
                agent.kill()
        with Process("run", config) as agent:
            until(lambda: {sample.value for sample in kept(tmp_path)} == set(range(1000)), "every message")
            assert agent.terminate() == 0
    assert len(kept(tmp_path)) < 1500, "and few twice"


def test_what_means_nothing_is_counted_told_with_its_first_bytes_and_stops_nothing(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        config = write_config(tmp_path, broker=None, extra=driver(local, more='name = "shop"\nmax_kb = 1'))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            client.published("shop/H1-A/level", b"half\x1b[31m\xff full")
            for bad in (b"", b"nan", b"[" * 1000, b"1" * 2000):
                client.published("shop/H1-A/level", bad)
            client.published("shop/H1-A/state", b"{")
            client.published("shop/H1-A/state", b'{"at": 1772362800}')
            client.published("shop/H1-A/state", b'{"t": 1, "at": "soon"}')
            client.published("shop/no name/level", b"1")
            client.published("shop/H1-A/level", b"7")
            until(lambda: [sample.value for sample in kept(tmp_path)] == [7], "the good one")
            line = agent.wait_line("message.unread")
            assert all(part in line for part in ("driver=shop", 'topic="shop/H1-A/level"', "is no number"))
            assert r"half?[31m\\xff full" in line
            assert agent.terminate() == 0
        with Process("status", config, "--json") as status:
            assert status.wait() == 0
    assert json.loads(status.out)["unread"] == {
        "shop: is no number": 4,
        "shop: too large": 1,
        "shop: is no JSON": 1,
        "shop: lacks what the rule asks for": 1,
        "shop: has no time": 1,
        "shop: its topic makes no name": 1,
    }


def test_a_retained_message_counts_where_it_tells_its_own_time_and_comes_once(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        client.published("shop/H1-A/level", b"99", retain=True)
        client.published("shop/H1-A/state", b'{"t": 1, "at": 1772362800}', retain=True)
        config = write_config(tmp_path, broker=None, extra=driver(local))
        for value in (1, 2):
            with Process("run", config) as agent:
                agent.wait_line("driver.connected")
                client.published("shop/H1-B/level", str(value).encode())
                until(lambda value=value: kept(tmp_path)[-1:] and kept(tmp_path)[-1].value == value, "the news")  # type: ignore[misc]  # bound now
                assert agent.terminate() == 0
    assert [(sample.name, sample.value) for sample in kept(tmp_path)] == [
        ("H1-A/temperature", 1),
        ("H1-B/fillingLevel", 1),
        ("H1-B/fillingLevel", 2),
    ]


def test_a_broker_that_goes_and_comes_back_is_told_once_each(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local:
        config = write_config(tmp_path, broker=None, extra=driver(local))
        with Process("run", config) as agent:
            agent.wait_line("driver.connected")
            local.server.kill()
            assert "closed the connection" in agent.wait_line("driver.lost")
            local.server.start()
            until(lambda: sum("driver.connected" in line for line in agent.lines) == 2, "it is connected again")
            with Client(local, local.hub()) as client:
                client.published("shop/H1-A/level", b"5")
            until(lambda: len(kept(tmp_path)) == 1, "the reading after it")
            agent.wait_line("driver.back")
            assert agent.terminate() == 0
    assert sum("driver.lost" in line for line in agent.lines) == 1
    assert not any("Traceback" in line for line in agent.lines)


def test_a_broker_that_speaks_only_3_1_1_and_asks_who_we_are_is_heard_too(tmp_path: Path) -> None:
    (tmp_path / "local").mkdir()
    with nats_broker(tmp_path / "local", [("H9", "n1")]) as local:
        who = local.node("H9", "n1")
        secret = tmp_path / "local.json"
        secret.touch(mode=0o600)
        secret.write_text(json.dumps({"username": who.username, "password": who.password}))
        rules = '[[drivers.readings]]\ntopic = "tweeling/v1/H9/n1/cmd"\nname = "H9/level"\n'
        config = write_config(
            tmp_path, broker=None, extra=driver(local, rules=rules, settings='credentials = "local.json"')
        )
        with Process("run", config) as agent:
            assert "mqtt=3.1.1" in agent.wait_line("driver.connected")
            with Client(local, local.hub(), client_id=local.hub().client_id) as client:
                client.published("tweeling/v1/H9/n1/cmd", b"3.5")
            until(lambda: [sample.value for sample in kept(tmp_path)] == [3.5], "the reading")
            assert agent.terminate() == 0


def test_a_look_shows_what_each_rule_hears_and_takes_nothing_from_the_agent(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        settings = MqttInSettings.model_validate(
            {
                "kind": "mqtt-in",
                "broker": {"port": local.port},
                "readings": [
                    {"topic": "shop/{thing}/level", "name": "{thing}/fillingLevel", "unit": "%", "scale": 0.5},
                    {"topic": "shop/{thing}/state", "name": "{thing}/t", "path": "$.t", "time": "$.at"},
                    {"topic": "silent/+", "name": "H1/x"},
                ],
            }
        )
        client.published("shop/H1-A/state", b'{"t": 1, "at": 1772362800}', retain=True)
        client.published("shop/H1-B/level", b"50", retain=True)
        looks = list(MqttIn(settings, Site("H1", "gw1", Clock(), patience_s=1.0)).look())
    assert Look("H1-A/t", "1", 1, "", 1_772_362_800_000) in looks
    assert {(look.sensor, look.wrong) for look in looks if look.wrong} == {
        ("shop/H1-B/level", "is retained, so it is old, and tells no time of its own"),
        ("silent/+", "no message within 1 s"),
    }


def test_a_look_at_a_broker_that_is_not_there_says_so() -> None:
    settings = MqttInSettings.model_validate(
        {"broker": {"port": free_port()}, "readings": [{"topic": "a", "name": "a/b"}]}
    )
    with pytest.raises(UnavailableError, match="Connection refused"):
        list(MqttIn(settings, Site("H1", "gw1", Clock())).look())


def test_a_local_broker_is_verified_and_a_missing_authority_stops_the_agent_at_once(tmp_path: Path) -> None:
    server_pair(tmp_path)
    shown = f"certfile {tmp_path}/server.pem\nkeyfile {tmp_path}/server.key\n"
    with mosquitto_with(tmp_path, shown) as local:
        tls = driver(local, settings='[drivers.broker.tls]\nca_file = "ours.pem"')
        with Process("run", write_config(tmp_path, broker=None, extra=tls)) as agent:
            agent.wait_line("driver.connected")
            assert agent.terminate() == 0
        with Process("run", write_config(tmp_path, broker=None, extra=tls.replace("ours", "none"))) as agent:
            assert agent.wait() == 2
        assert any("drivers.broker.tls" in line for line in agent.lines)
        authority(tmp_path, "another")
        with Process("run", write_config(tmp_path, broker=None, extra=tls.replace("ours", "another"))) as agent:
            assert "certificate verify failed" in agent.wait_line("driver.lost")
            assert agent.terminate() == 0


def test_two_agents_of_one_name_throw_each_other_out_ever_more_rarely_and_lose_nothing(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "local") as local, Client(local, local.hub()) as client:
        folders = [tmp_path / "one", tmp_path / "two"]
        configs = []
        for folder in folders:
            folder.mkdir()
            configs.append(write_config(folder, broker=None, extra=driver(local, more='client_id = "same"')))
        with Process("run", configs[0]) as one, Process("run", configs[1]) as two:
            one.wait_line("driver.lost")
            two.wait_line("driver.lost")
            say(client, "H1-A", range(100))
            until(lambda: {each.value for folder in folders for each in kept(folder)} == set(range(100)), "all of it")
            assert one.terminate() == two.terminate() == 0
        for agent in (one, two):
            assert sum("driver.lost" in line for line in agent.lines) <= 3
