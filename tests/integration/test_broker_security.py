"""With one node's credentials nothing of another's can be read, written or interrupted, on any port."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Broker, Client, nats_broker, until

from tweeling.adapters.nats import Credentials

OWN = "tweeling/v1/H1/n1"
FOREIGN = "tweeling/v1/H1/n2"
REFUSED = 128


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with nats_broker(tmp_path_factory.mktemp("b"), [("H1", "n1"), ("H1", "n2")]) as running:
        yield running


@pytest.fixture(scope="module")
def hub(broker: Broker) -> Iterator[Client]:
    who = broker.hub()
    with Client(broker, who, client_id=who.client_id, clean=False) as client:
        assert [client.subscribe(f"tweeling/v1/+/+/{channel}", 1) for channel in ("up", "state")] == [1, 1]
        yield client


@pytest.fixture(scope="module")
def victim(broker: Broker) -> Iterator[Client]:
    with Client(broker, broker.node("H1", "n2")) as client:
        assert [client.subscribe(f"{FOREIGN}/{channel}") for channel in ("ack", "cmd")] == [0, 0]
        yield client


def still_untouched(broker: Broker, hub: Client, victim: Client) -> None:
    """Send a mark each way: the next thing that hub and victim see is that mark, so nothing came before it."""
    with Client(broker, broker.node("H1", "n2")) as other:
        other.published(f"{FOREIGN}/up", b"mark")
    assert hub.receive() == (f"{FOREIGN}/up", b"mark")
    hub.publish(f"{FOREIGN}/ack", b"mark", qos=0)
    assert victim.receive() == (f"{FOREIGN}/ack", b"mark")
    assert hub.connected
    assert victim.connected


def test_a_node_may_use_its_own_topics(broker: Broker, hub: Client, victim: Client) -> None:
    with Client(broker, broker.node("H1", "n1"), will=(f"{OWN}/state", b"gone", True)) as node:
        assert [node.subscribe(f"{OWN}/{channel}") for channel in ("ack", "cmd")] == [0, 0]
        node.published(f"{OWN}/up", b"data")
        node.published(f"{OWN}/state", b"here", retain=True)
        assert {hub.receive(), hub.receive()} == {(f"{OWN}/up", b"data"), (f"{OWN}/state", b"here")}
        hub.publish(f"{OWN}/cmd", b"do", qos=0)
        assert node.receive() == (f"{OWN}/cmd", b"do")
        node.vanish()
    assert hub.receive() == (f"{OWN}/state", b"gone")
    still_untouched(broker, hub, victim)


@pytest.mark.parametrize("qos", [0, 1, 2])
@pytest.mark.parametrize(
    "topic",
    [
        *(f"{FOREIGN}/{channel}" for channel in ("up", "ack", "cmd", "state")),
        *("#", "+", "/#", "+/#", "+/+/+/+/+", "tweeling/#", "tweeling/v1/+/+/ack", "tweeling/v1/H1/+/ack"),
        *(f"{OWN}/up", f"{OWN}/state", f"{OWN}/+", f"{OWN}/#"),
        *("$MQTT/#", "$MQTT/sub/#", "$MQTT/msgs/#", "$MQTT/rmsgs/#", "$MQTT/deliver/#", "$MQTT/JSA/#"),
        *("$JS/#", "$JS/API/#", "$JS/ACK/#", "$SYS/#", "$SRV/#", "_INBOX/#", "$KV/#", "$O/#"),
    ],
)
def test_a_node_may_subscribe_to_nothing_else(broker: Broker, topic: str, qos: int) -> None:
    with Client(broker, broker.node("H1", "n1")) as node:
        assert node.subscribe(topic, qos) in {REFUSED, -1}


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize(
    "topic",
    [
        *(f"{FOREIGN}/{channel}" for channel in ("up", "state", "ack", "cmd")),
        *(f"{OWN}/ack", f"{OWN}/cmd", "tweeling/v1/H1/n3/up", f"{OWN}/up/more"),
        *("$MQTT/msgs/tweeling/v1/H1/n2/up", "$MQTT/sub/x", "$MQTT/JSA/x", "$JS/API/INFO", "$JS/API/STREAM/NAMES"),
        *("$JS/API/STREAM/DELETE/$MQTT_msgs", "$JS/API/STREAM/PURGE/$MQTT_msgs", "$JS/ACK/$MQTT_msgs/x/1/1/1/1/0"),
        *("$JS/API/STREAM/DELETE/$MQTT_sess", "$SYS/REQ/SERVER/PING", "$SYS/REQ/USER/INFO"),
    ],
)
def test_a_node_may_publish_nothing_else(broker: Broker, hub: Client, victim: Client, topic: str, retain: bool) -> None:
    with Client(broker, broker.node("H1", "n1")) as node:
        node.publish(topic, b"evil", qos=0, retain=retain)
        node.published(topic, b"evil", retain=retain)
    still_untouched(broker, hub, victim)
    with Client(broker, broker.hub(), client_id="a-hub-with-fresh-eyes") as fresh:
        fresh.subscribe("tweeling/v1/+/+/state")  # where a retained message would be waiting
        fresh.subscribe("tweeling/v1/+/+/up")
        hub.publish(f"{FOREIGN}/ack", b"mark", qos=0)
        victim.receive()
        with Client(broker, broker.node("H1", "n2")) as other:
            other.published(f"{FOREIGN}/up", b"mark")
        assert hub.receive() == (f"{FOREIGN}/up", b"mark")
        seen = [fresh.receive()]
        while seen[-1] != (f"{FOREIGN}/up", b"mark"):
            seen.append(fresh.receive())
        assert {name for name, _ in seen[:-1]} <= {f"{OWN}/state"}


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("channel", ["up", "state", "ack", "cmd"])
def test_a_last_will_reaches_no_foreign_topic(
    broker: Broker, hub: Client, victim: Client, channel: str, retain: bool
) -> None:
    before = len(broker.server.lines)
    with Client(broker, broker.node("H1", "n1"), will=(f"{FOREIGN}/{channel}", b"evil", retain)) as node:
        if node.connected:
            node.vanish()
            until(
                lambda: any("Publish Violation" in line for line in broker.server.lines[before:]),
                "the broker refuses the will",
            )
    still_untouched(broker, hub, victim)


def test_a_client_id_cannot_be_guessed_and_a_foreign_one_gives_no_messages(
    broker: Broker, hub: Client, victim: Client
) -> None:
    """Who knew the id could evict its owner, as MQTT has it; it is 128 random bits, and told to nobody."""
    for guess in ("hub", "hub-", "H1/n2", "H1.n2", "n2", "tweeling"):
        with Client(broker, broker.node("H1", "n1"), client_id=guess, clean=False):
            pass
    still_untouched(broker, hub, victim)


def test_a_leaked_client_id_still_gives_nothing_to_read(tmp_path: Path) -> None:
    with nats_broker(tmp_path, [("H1", "n1"), ("H1", "n2")]) as broker:
        who = broker.hub()
        with Client(broker, who, client_id=who.client_id, clean=False) as hub:
            hub.subscribe("tweeling/v1/+/+/up", 1)
        with (
            Client(broker, broker.node("H1", "n2")) as other,
            Client(broker, broker.node("H1", "n1"), client_id=who.client_id, clean=False) as thief,
        ):
            other.published(f"{FOREIGN}/up", b"secret")
            thief.subscribe(f"{OWN}/ack")
            with Client(broker, who, client_id="another-hub") as second:
                second.publish(f"{OWN}/ack", b"mark", qos=0)
                assert thief.receive() == (f"{OWN}/ack", b"mark")  # and nothing before it


@pytest.mark.parametrize("user", ["H1/n1", "hub"])
def test_the_native_port_lets_nobody_in(broker: Broker, hub: Client, victim: Client, user: str) -> None:
    who = broker.hub() if user == "hub" else broker.node("H1", "n1")
    for login in ({"user": who.username, "pass": who.password}, {}, {"auth_token": who.password}):
        with socket.create_connection((broker.host, broker.native_port()), timeout=10) as raw:
            stream = raw.makefile("rwb")
            assert stream.readline().startswith(b"INFO ")
            connect = {"verbose": True, "pedantic": False, **login}
            stream.write(
                b"CONNECT " + json.dumps(connect).encode() + b"\r\nSUB > 1\r\nPUB tweeling.v1.H1.n2.up 1\r\nx\r\n"
            )
            stream.flush()
            assert b"Authorization Violation" in stream.readline()
            stream.close()
    still_untouched(broker, hub, victim)


def test_without_credentials_or_with_wrong_ones_nobody_comes_in(broker: Broker) -> None:
    own, other = broker.node("H1", "n1"), broker.node("H1", "n2")
    for who in (
        Credentials(username="", password=""),
        Credentials(username=own.username, password=""),
        Credentials(username=own.username, password=other.password),
        Credentials(username="admin", password="admin"),
        Credentials(username="SYSTEM", password=""),
    ):
        with Client(broker, who) as client:
            assert client.answer == "Not authorized"


def test_only_loopback_is_listened_on(broker: Broker) -> None:
    """Whatever the server says it listens on, and nothing more: no monitoring, no cluster, no websocket."""
    listening = [line.split("]", 2)[-1] for line in broker.server.lines if "Listening for" in line]
    assert len(listening) == 2
    assert all("127.0.0.1:" in line for line in listening)
