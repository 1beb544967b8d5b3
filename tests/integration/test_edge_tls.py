from __future__ import annotations

import json
import queue
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_broker import Broker, Client, mosquitto_with
from support_certificates import authority, server_pair
from support_edge import Process, write_config
from support_servers import free_port

from tweeling.wire.ack import State
from tweeling_edge import config
from tweeling_edge.config import load
from tweeling_edge.publisher import LineEvent, LineUp, Publisher


@contextmanager
def encrypted_broker(folder: Path) -> Iterator[tuple[Broker, int]]:
    """A Mosquitto with a plain listener and an encrypted one, whose port is the second value."""
    server_pair(folder)
    encrypted = free_port()
    shown = f"listener {encrypted} 127.0.0.1\ncertfile {folder}/server.pem\nkeyfile {folder}/server.key\n"
    with mosquitto_with(folder, shown) as broker:
        yield broker, encrypted


@pytest.mark.parametrize(("trusted", "line"), [("ours", "broker.connected"), ("another", "broker.lost")])
def test_the_line_is_encrypted_and_only_to_a_broker_our_authority_signed(
    tmp_path: Path, trusted: str, line: str
) -> None:
    authority(tmp_path, "another")
    with encrypted_broker(tmp_path) as (_, port):
        path = write_config(tmp_path, broker=None, extra=f'[broker.tls]\nca_file = "{trusted}.pem"')
        path.write_text(path.read_text().replace(f"port = {load(path).broker.port}", f"port = {port}"))
        with Process("run", path) as agent:
            told = agent.wait_line("broker.")
            assert line in told
            assert trusted == "ours" or "certificate verify failed" in told
            assert agent.terminate() == 0


@pytest.mark.parametrize("encrypted", [False, True])
def test_more_than_the_network_takes_at_once_arrives_whole(tmp_path: Path, encrypted: bool) -> None:
    events: queue.SimpleQueue[LineEvent] = queue.SimpleQueue()
    with encrypted_broker(tmp_path) as (broker, port), Client(broker, broker.hub()) as client:
        assert client.subscribe("tweeling/v1/H1/n1/up", qos=1) == 1
        publisher = Publisher(
            config.Broker(port=port, tls=config.Tls(ca_file=tmp_path / "ours.pem")) if encrypted else plain(broker),
            None,
            hub="H1",
            node="n1",
            presence=lambda online, since: State(online=online, since_ms=since, epoch="a" * 16).encode(),
            listen=events.put,
            now_ms=lambda: 1,
            rng=random.Random(1),
        )
        publisher.start()
        try:
            assert isinstance(events.get(timeout=20), LineUp)
            sent = [random.Random(seed).randbytes(300_000 + seed) for seed in range(30)]
            assert None not in publisher.publish_all(sent)
            assert [client.receive()[1] for _ in sent] == sent
        finally:
            publisher.stop()


def plain(broker: Broker) -> config.Broker:
    return config.Broker(port=broker.port)


def test_a_missing_authority_is_a_configuration_error(tmp_path: Path) -> None:
    path = write_config(tmp_path, broker=None, extra='[broker.tls]\nca_file = "none.pem"')
    with Process("run", path) as agent:
        assert agent.wait() == 2
    assert any("broker.tls" in line for line in agent.lines), json.dumps(agent.lines)
