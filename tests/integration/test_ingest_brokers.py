from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_broker import Broker, Client, mosquitto_broker, nats_broker, until
from support_hub import WallClock
from support_ingest import EPOCH, message, reading, weighing

from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.mqtt import Address, Batching, Protocol, Subscriber
from tweeling.domain.now import NodeNow
from tweeling.ports.inbox import Message
from tweeling.ports.journal import Batch, NodeEpoch
from tweeling.services.ingest import Ingest, IngestSettings
from tweeling.wire.ack import Ack, State

N1 = NodeEpoch("H1", "n1", EPOCH)
ACK = "tweeling/v1/H1/n1/ack"
STATE = "tweeling/v1/H1/n1/state"


@pytest.fixture(params=["nats", "mosquitto, MQTT 5", "mosquitto, MQTT 3.1.1"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    nodes = [("H1", "n1"), ("H1", "n2")]
    made = (
        nats_broker(tmp_path / "b", nodes, redeliver_s=1)
        if request.param == "nats"
        else mosquitto_broker(tmp_path / "b")
    )
    with made as running:
        running.protocol = "3.1.1" if request.param.endswith("3.1.1") else "auto"
        yield running


class Hub:
    """A journal, an ingest and a subscriber."""

    def __init__(self, broker: Broker, path: Path) -> None:
        who = broker.hub()
        self.path = path
        self.batches: list[Batch] = []
        self.presence: list[NodeNow] = []
        self.journal = SqliteJournal(path)
        self.ingest = Ingest(self.journal, WallClock(), IngestSettings(gap_s=0.2))
        self.subscriber = Subscriber(
            Address(host=broker.host, port=broker.port, protocol=Protocol(broker.protocol), **who.model_dump()),
            self.ingest,
            on_batch=self.batches.append,
            on_presence=self.presence.append,
            batching=Batching(messages=50),
        )
        self.subscriber.start()

    def holds(self, seqs: int) -> bool:
        return self.journal.settled(N1).committed.ranges == ((1, seqs),)

    def close(self) -> None:
        self.subscriber.close()
        self.journal.close()


@contextmanager
def hub_on(broker: Broker, directory: Path) -> Iterator[Hub]:
    hub = Hub(broker, directory / "journal.sqlite")
    try:
        assert hub.subscriber.wait(20)
        yield hub
    finally:
        hub.close()


@contextmanager
def node_on(broker: Broker, **more: object) -> Iterator[Client]:
    with Client(broker, broker.node("H1", "n1"), **more) as node:  # type: ignore[arg-type]  # handed through
        assert node.subscribe(ACK) == 0
        yield node


def one(seq: int) -> Message:
    return message({seq: [reading(seq / 100), weighing(seq)]})


def acked(node: Client, seqs: int) -> None:
    """Wait until the hub's acks have named every seq up to this one."""
    left = set(range(1, seqs + 1))
    while left:
        topic, payload = node.receive()
        assert topic == ACK
        for first, last in Ack.decode(payload).committed:
            left -= set(range(first, last + 1))


def test_what_is_published_is_committed_and_then_acknowledged(broker: Broker, tmp_path: Path) -> None:
    with hub_on(broker, tmp_path) as hub, node_on(broker) as node:
        for seq in range(1, 101):
            node.publish(*one(seq))
        acked(node, 100)
        assert hub.holds(100)
        assert sum(len(batch.points) for batch in hub.batches) == 100
        assert [batch.number for batch in hub.batches] == list(range(1, hub.journal.last() + 1))
        assert hub.journal.counts()["repeated"] == 0
        status = hub.subscriber.status()
        assert (status.connected, status.queued, status.received, status.handled, status.error) == (
            True,
            0,
            100,
            100,
            "",
        )


def test_malformed_messages_are_quarantined_between_the_good_ones(broker: Broker, tmp_path: Path) -> None:
    with hub_on(broker, tmp_path) as hub, node_on(broker) as node:
        for seq in range(1, 21):
            node.publish(*one(seq))
            node.publish("tweeling/v1/H1/n1/up", b"junk %d" % seq)
        acked(node, 20)
        until(lambda: hub.journal.counts()["quarantined"] == 20, "the junk is kept")
        kept = {(each.suspect.topic, each.suspect.payload) for each in hub.journal.quarantine()}
        assert kept == {("tweeling/v1/H1/n1/up", b"junk %d" % seq) for seq in range(1, 21)}
        assert all(each.suspect.reason for each in hub.journal.quarantine())
        assert hub.holds(20)


def test_an_unknown_name_on_an_open_broker_is_quarantined(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "b") as broker, hub_on(broker, tmp_path) as hub, node_on(broker) as node:
        node.publish("tweeling/v1/H 1/n1/up", one(1).payload)
        node.publish(*one(1))
        acked(node, 1)
        until(hub.journal.quarantine, "the odd one is kept")
        (kept,) = hub.journal.quarantine()
        assert (kept.suspect.topic, kept.suspect.payload) == ("tweeling/v1/H 1/n1/up", one(1).payload)
        assert "hub and node are letters" in kept.suspect.reason


def test_what_came_while_the_hub_was_away_comes_when_it_is_back(broker: Broker, tmp_path: Path) -> None:
    with hub_on(broker, tmp_path):
        pass
    with node_on(broker) as node:
        for seq in range(1, 31):
            node.published(*one(seq))
        with hub_on(broker, tmp_path) as hub:
            acked(node, 30)
            assert hub.holds(30)


def test_a_gap_is_asked_for(broker: Broker, tmp_path: Path) -> None:
    with hub_on(broker, tmp_path), node_on(broker) as node:
        node.publish(*one(1))
        node.publish(*one(4))
        wanted = Ack(epoch=EPOCH)
        while not wanted.want:
            wanted = Ack.decode(node.receive()[1])
        assert wanted.want == ((2, 3),)


def test_presence_comes_and_goes_with_the_node(broker: Broker, tmp_path: Path) -> None:
    state = State(online=True, since_ms=7, epoch=EPOCH, queued=3)
    gone = state.model_copy(update={"online": False})
    with node_on(broker, will=(STATE, gone.encode(), True)) as node:
        node.published(STATE, state.encode(), retain=True)
        with hub_on(broker, tmp_path) as hub:  # which learns it from the retained message
            until(lambda: hub.ingest.nodes() == (NodeNow("H1", "n1", True, 7, 3),), "the node is there")
            node.vanish()
            until(lambda: hub.ingest.nodes() == (NodeNow("H1", "n1", False, 7, 3),), "the node is gone")
            assert hub.presence[-1].online is False


def test_nothing_is_acknowledged_while_the_journal_does_not_answer(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with hub_on(broker, tmp_path) as hub, node_on(broker) as node:
        elsewhere = hub.path.with_name("elsewhere")
        hub.journal._file.writer.drop()
        hub.journal._file.reader.drop()
        hub.path.rename(elsewhere)
        for seq in range(1, 41):
            node.published(*one(seq))
        until(lambda: "unable to open" in hub.subscriber.status().error, "the hub says what is wrong")
        assert hub.subscriber.status().handled == 0
        assert node.inbox.empty()
        elsewhere.rename(hub.path)
        acked(node, 40)
        assert hub.holds(40)
        assert hub.subscriber.status().error == ""
    events = [record.message for record in caplog.records if record.message.startswith("journal.")]
    assert events == ["journal.lost", "journal.back"]


def test_a_broker_that_is_killed_is_lost_once_and_back_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with nats_broker(tmp_path / "b", [("H1", "n1")], redeliver_s=1) as broker, hub_on(broker, tmp_path) as hub:
        with node_on(broker) as node:
            for seq in range(1, 11):
                node.published(*one(seq))
            acked(node, 10)
            broker.server.kill()
        until(lambda: not hub.subscriber.status().connected, "the hub notices")
        broker.server.start()
        assert hub.subscriber.wait(20)
        with node_on(broker) as node:
            for seq in range(11, 21):
                node.published(*one(seq))
            until(lambda: hub.holds(20), "all is committed")
    events = [record.message for record in caplog.records if record.message.startswith("broker.")]
    assert events == ["broker.connected", "broker.lost", "broker.back"]


def test_what_a_killed_nats_had_acknowledged_reaches_the_hub(tmp_path: Path) -> None:
    with nats_broker(tmp_path / "b", [("H1", "n1")], redeliver_s=1) as broker:
        with hub_on(broker, tmp_path):
            pass
        with node_on(broker) as node:
            for seq in range(1, 101):
                node.published(*one(seq))
            broker.server.kill()
        broker.server.start()
        with hub_on(broker, tmp_path) as hub:
            until(lambda: hub.holds(100), "nothing acknowledged is lost")
            counts = hub.journal.counts()
            assert (counts["readings"], counts["movements"]) == (100, 100)


@pytest.mark.parametrize(
    ("asked", "spoken", "error"),
    [("auto", "5", ""), ("5", "5", ""), ("3.1.1", "3.1.1", "")],
)
def test_mosquitto_is_spoken_to_in_the_version_that_is_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asked: str, spoken: str, error: str
) -> None:
    caplog.set_level(logging.INFO)
    with mosquitto_broker(tmp_path / "b") as broker:
        broker.protocol = asked
        with hub_on(broker, tmp_path) as hub:
            assert hub.subscriber.status().error == error
    assert [record.protocol for record in caplog.records if record.message == "broker.connected"] == [spoken]  # type: ignore[attr-defined]  # ours


def test_nats_is_spoken_to_in_the_version_it_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with nats_broker(tmp_path / "b", [("H1", "n1")]) as broker, hub_on(broker, tmp_path):
        pass
    assert [record.message for record in caplog.records] == ["broker.connected"]
    assert caplog.records[0].protocol == "3.1.1"  # type: ignore[attr-defined]  # ours


def test_a_broker_that_does_not_know_the_version_asked_for_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_broker(tmp_path / "b", [("H1", "n1")]) as broker:
        broker.protocol = "5"
        hub = Hub(broker, tmp_path / "journal.sqlite")
        until(lambda: "Unsupported protocol version" in hub.subscriber.status().error, "the hub says what is wrong")
        hub.close()
    assert [record.message for record in caplog.records] == ["broker.lost"]


def test_a_hub_with_wrong_credentials_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with nats_broker(tmp_path / "b", [("H1", "n1")]) as broker:
        journal = SqliteJournal(tmp_path / "journal.sqlite")
        node = broker.node("H1", "n1")
        hub = Subscriber(
            Address(host=broker.host, port=broker.port, client_id="x", username=node.username, password="wrong"),
            Ingest(journal, WallClock()),
        )
        hub.start()
        until(lambda: hub.status().error == "refused: Not authorized", "the hub says what is wrong")
        hub.close()
        journal.close()
    assert [record.message for record in caplog.records] == ["broker.lost"]
    assert "wrong" not in caplog.text


def test_an_ingest_that_fails_beyond_repair_says_so_and_leaves_the_rest_to_the_broker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_broker(tmp_path / "b", [("H1", "n1")], redeliver_s=1) as broker:
        with hub_on(broker, tmp_path) as hub, node_on(broker) as node:
            hub.journal._file.writer.open().execute("DELETE FROM total WHERE name = 'batches'")  # a broken promise
            node.published(*one(1))
            until(lambda: "ingest stopped" in hub.subscriber.status().error, "the hub says so")
            until(lambda: not hub.subscriber.status().connected, "the hub leaves")
            hub.journal._file.writer.open().execute("INSERT INTO total VALUES ('batches', 0)")
            node.published(*one(2))
        with hub_on(broker, tmp_path) as hub:
            until(lambda: hub.holds(2), "both come again")
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == ["ingest.stopped"]
