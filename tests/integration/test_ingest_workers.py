from __future__ import annotations

import errno
import json
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest
from support_broker import Broker, Client, mosquitto_broker, nats_broker, until
from support_ingest import EPOCH, message, reading, weighing
from support_servers import free_port

from tweeling.adapters.clock import SystemClock
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.mqtt import Address, Batching, Task, Workers
from tweeling.adapters.mqtt.sessions import end_unwanted
from tweeling.domain.now import NodeNow
from tweeling.ports.inbox import Message
from tweeling.ports.journal import Batch, NodeEpoch
from tweeling.services.ingest import Ingest
from tweeling.wire import topics
from tweeling.wire.ack import Ack, State

NODES = [("H1", "n1"), ("H1", "n2"), ("H2", "n1")]
SHARDS = ["H1/+", "H2/+"]


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = (
        nats_broker(tmp_path / "b", NODES, redeliver_s=1)
        if request.param == "nats"
        else mosquitto_broker(tmp_path / "b")
    )
    with made as running:
        yield running


class Hub:
    """A journal and two workers."""

    def __init__(self, broker: Broker, directory: Path) -> None:
        self.path = directory / "journal.sqlite"
        self.batches: list[Batch] = []
        self.presence: list[NodeNow] = []
        self.journal = SqliteJournal(self.path)
        who = broker.hub()
        address = Address(host=broker.host, port=broker.port, **who.model_dump())
        tasks = [
            Task(address.renamed(f"{who.client_id}-{i}"), topics.of_nodes(shard), Batching(), SystemClock(), 300_000)
            for i, shard in enumerate(SHARDS)
        ]
        self.workers = Workers(
            tasks,
            Ingest(self.journal, SystemClock()),
            on_batch=self.batches.append,
            on_presence=self.presence.append,
        )
        self.workers.start()

    def holds(self, hub: str, node: str, seqs: int) -> bool:
        return self.journal.settled(NodeEpoch(hub, node, EPOCH)).committed.ranges == ((1, seqs),)


@contextmanager
def hub_on(broker: Broker, directory: Path) -> Iterator[Hub]:
    hub = Hub(broker, directory)
    try:
        assert hub.workers.wait(20)
        yield hub
    finally:
        hub.workers.close()
        hub.journal.close()


def one(hub: str, node: str, seq: int) -> Message:
    return message({seq: [reading(seq / 100), weighing(seq)]}, hub=hub, node=node)


def test_each_worker_reads_its_own_nodes_and_one_writer_commits_for_all(broker: Broker, tmp_path: Path) -> None:
    with hub_on(broker, tmp_path) as hub:
        assert len(set(hub.workers.pids())) == 2
        for name in NODES:
            with Client(broker, broker.node(*name)) as node:
                assert node.subscribe(f"tweeling/v1/{'/'.join(name)}/ack") == 0
                state = State(online=True, since_ms=5, epoch=EPOCH)
                node.published(f"tweeling/v1/{'/'.join(name)}/state", state.encode(), retain=True)
                for seq in range(1, 101):
                    node.published(*one(*name, seq))
                until(lambda name=name: hub.holds(*name, 100), "all is committed")  # type: ignore[misc]  # bound now
                acked = set()
                while len(acked) < 100:
                    ack = Ack.decode(node.receive()[1])
                    acked |= {seq for first, last in ack.committed for seq in range(first, last + 1)}
        assert {(row.hub, row.node) for row in hub.presence} == set(NODES)
        counts = hub.journal.counts()
        assert (counts["readings"], counts["movements"], counts["repeated"]) == (300, 300, 0)
        until(lambda: hub.workers.status().handled == 303, "the workers tell how much they did")
        pids = hub.workers.pids()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_worker_that_is_killed_comes_back_and_costs_nothing(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with hub_on(broker, tmp_path) as hub:
        victim, survivor = hub.workers.pids()
        with Client(broker, broker.node("H1", "n1")) as node, Client(broker, broker.node("H2", "n1")) as other:
            for seq in range(1, 51):
                node.published(*one("H1", "n1", seq))
            os.kill(victim, signal.SIGKILL)
            for seq in range(51, 101):
                node.published(*one("H1", "n1", seq))
                other.published(*one("H2", "n1", seq - 50))
            until(lambda: hub.holds("H2", "n1", 50), "the other worker goes on")
            until(lambda: hub.holds("H1", "n1", 100), "what was not acknowledged comes again")
        assert survivor in hub.workers.pids()
        assert victim not in hub.workers.pids()
        counts = hub.journal.counts()
        assert (counts["readings"], counts["movements"]) == (150, 150)
    lines = [record.message for record in caplog.records]
    assert lines.count("worker.lost") == 1
    assert lines.count("broker.connected") == 3, "what workers log is in the hub's log"


def test_while_the_journal_takes_nothing_workers_wait_and_say_so(tmp_path: Path) -> None:
    with nats_broker(tmp_path / "b", NODES, redeliver_s=1) as broker, hub_on(broker, tmp_path) as hub:
        hub.journal._file.writer.drop()
        elsewhere = tmp_path / "elsewhere.sqlite"
        hub.path.rename(elsewhere)
        with Client(broker, broker.node("H2", "n1")) as node:
            for seq in range(1, 31):
                node.published(*one("H2", "n1", seq))
            until(lambda: "unable to open" in hub.workers.status().error, "the hub says what is wrong")
            elsewhere.rename(hub.path)
            until(lambda: hub.holds("H2", "n1", 30), "then they are committed")
        until(lambda: not hub.workers.status().error, "all is well again")


def test_junk_that_a_worker_read_is_quarantined_by_the_writer(tmp_path: Path) -> None:
    with nats_broker(tmp_path / "b", NODES, redeliver_s=1) as broker, hub_on(broker, tmp_path) as hub:
        with Client(broker, broker.node("H2", "n1")) as node:
            node.published("tweeling/v1/H2/n1/up", b"\x00junk")
            until(hub.journal.quarantine, "it is kept")
        assert hub.journal.quarantine()[0].suspect.payload == b"\x00junk"


def test_a_session_that_nobody_wants_any_more_is_ended(broker: Broker, tmp_path: Path) -> None:
    ids = tmp_path / "sessions.json"
    who = broker.hub()
    here = Address(host=broker.host, port=broker.port, **who.model_dump())
    end_unwanted(ids, here, ["old"])
    with Client(broker, who, client_id="old", clean=False) as old:
        old.subscribe("tweeling/v1/+/+/up", qos=1)
    with Client(broker, broker.node("H1", "n1")) as node:
        node.published(*one("H1", "n1", 1))
    end_unwanted(ids, here, ["new"])
    with Client(broker, who, client_id="old", clean=False) as old:
        old.subscribe("tweeling/v1/+/+/up", qos=1)
        with Client(broker, broker.node("H1", "n1")) as node:
            node.published(*one("H1", "n1", 2))
        assert old.receive() == one("H1", "n1", 2), "what was published meanwhile was not kept"
    assert json.loads(ids.read_text()) == ["new"]


def test_a_session_that_cannot_be_ended_now_is_remembered(tmp_path: Path) -> None:
    ids = tmp_path / "sessions.json"
    nobody = Address(host="127.0.0.1", port=free_port(), client_id="new")
    end_unwanted(ids, nobody, ["old"])
    end_unwanted(ids, nobody, ["new"])
    assert json.loads(ids.read_text()) == ["new", "old"]


def test_a_worker_that_cannot_be_started_again_now_is_started_later(
    broker: Broker, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    with hub_on(broker, tmp_path) as hub:
        victim = hub.workers.pids()[0]
        start = SpawnProcess.start

        def full(_process: SpawnProcess) -> None:
            monkeypatch.setattr(SpawnProcess, "start", start)
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(SpawnProcess, "start", full)
        os.kill(victim, signal.SIGKILL)
        with Client(broker, broker.node("H1", "n1")) as node:
            node.published(*one("H1", "n1", 1))
            until(lambda: hub.holds("H1", "n1", 1), "it is committed all the same")
    lines = [record.message for record in caplog.records]
    assert (lines.count("worker.not_started"), lines.count("ingest.stopped")) == (1, 0)
