from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support_broker import Broker, Client, Server, mosquitto_broker, nats_broker, until
from support_ingest import EPOCH, NOW, message, reading, weighing

from tweeling.adapters.journal import SqliteJournal
from tweeling.ports.inbox import Message
from tweeling.ports.journal import NodeEpoch

HUB = Path(__file__).resolve().parent.parent / "support_hub.py"


@pytest.fixture(params=["nats", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    made = nats_broker(tmp_path / "b", [("H1", "n1")]) if request.param == "nats" else mosquitto_broker(tmp_path / "b")
    with made as running:
        yield running


class HubProcess(Server):
    """An ingest of its own, killed when and where it is told."""

    def __init__(self, broker: Broker, directory: Path, *doom: str) -> None:
        who = broker.hub()
        address = directory / "address.json"
        address.write_text(json.dumps({"host": broker.host, "port": broker.port, **who.model_dump()}))
        argv = [sys.executable, str(HUB), str(address), str(directory / "journal.sqlite"), *doom]
        super().__init__(argv, ready="hub is ready")

    def died(self) -> bool:
        return self._process is not None and self._process.poll() == -9

    def holds(self, readings: int) -> bool:
        return f"readings {readings}" in self.lines


def load(seqs: range) -> list[Message]:
    return [message({seq: [reading(seq, at=NOW), weighing(seq)]}) for seq in seqs]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hub_killed_around_its_commit_has_every_reading_once(broker: Broker, tmp_path: Path, when: str) -> None:
    first = HubProcess(broker, tmp_path, when, "20")
    first.start()
    with Client(broker, broker.node("H1", "n1")) as node:
        for sent in load(range(1, 51)):
            node.published(*sent)
        until(first.died, "the hub dies at its twentieth message")
        first.stop()
        for sent in load(range(51, 61)):
            node.published(*sent)
        second = HubProcess(broker, tmp_path)
        second.start()
        try:
            until(lambda: second.holds(60), "the broker delivers again what was not acknowledged")
        finally:
            second.stop()
    with closing(SqliteJournal(tmp_path / "journal.sqlite")) as journal:
        assert journal.settled(NodeEpoch("H1", "n1", EPOCH)).committed.ranges == ((1, 60),)
        batches = journal.read(0, 1000)
        counts = journal.counts()
    values = Counter(value for batch in batches for value in batch.points.values.tolist())
    assert values == Counter(dict.fromkeys(map(float, range(1, 61)), 1))
    assert sum(movement.net_g for batch in batches for movement in batch.movements) == sum(range(1, 61))
    assert (counts["readings"], counts["movements"], counts["quarantined"]) == (60, 60, 0)
