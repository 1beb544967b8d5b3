from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support_broker import Broker, mosquitto_broker, nats_broker
from support_edge import Hub, Process

NODES = [("H1", "n1"), ("H2", "n2")]


def measured(*arguments: str | Path, code: int = 0) -> list[dict[str, Any]]:
    with Process("bench", *arguments) as bench:
        assert bench.wait() == code, bench.lines
    return [json.loads(line) for line in bench.out.splitlines()]


def credentials(broker: Broker, folder: Path) -> list[str | Path]:
    files: list[str | Path] = []
    for hub, node in NODES:
        if who := broker.node(hub, node).username:
            path = folder / f"{hub}-{node}.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps({"username": who, "password": broker.node(hub, node).password}))
            files.append(path)
    return ["--credentials", *files] if files else []


@pytest.mark.parametrize("kind", ["nats", "mosquitto"])
def test_what_is_published_from_memory_reaches_a_hub_once_and_is_acknowledged(kind: str, tmp_path: Path) -> None:
    start = nats_broker(tmp_path / "b", NODES) if kind == "nats" else mosquitto_broker(tmp_path / "b")
    with start as broker, Hub(broker) as hub:
        (got,) = measured(
            *("publish", "--port", str(broker.port), "--nodes", "H1/n1,H2/n2", "--records", "5"),
            *("--window", "20", "--seconds", "1", *credentials(broker, tmp_path)),
        )
        assert got["acknowledged"] == got["messages"] > 20
        assert (got["unacknowledged"], got["refused"], got["connections"]) == (0, 0, 2)
        assert len(hub.readings) == got["messages"] * 5
        assert got["p50_ms"] <= got["p99_ms"] <= got["max_ms"]
        assert sum(len(seqs) for seqs in hub.settled.values()) == got["messages"]


def test_a_schedule_is_kept_and_what_is_lost_behind_the_broker_is_repeated(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "b") as broker, Hub(broker, loss=0.2) as hub:
        (got,) = measured(
            *("publish", "--port", str(broker.port), "--records", "100", "--rate", "50"),
            *("--seconds", "2", "--wait", "0.5"),
        )
        assert 90 <= got["messages"] <= 100
        assert got["repeats"] >= hub.counts["lost"] > 0
        assert got["acknowledged"] == got["messages"]
        assert len(hub.readings) == got["messages"] * 100


@pytest.mark.parametrize("rate", [(), ("--rate", "50")])
def test_the_whole_agent_sends_what_memory_makes_and_all_of_it_is_settled(
    tmp_path: Path, rate: tuple[str, ...]
) -> None:
    with mosquitto_broker(tmp_path / "b") as broker, Hub(broker) as hub:
        for records, samples in ((5, 1), (100, 100)):
            (got,) = measured(
                *("agent", "--port", str(broker.port), "--records", str(records), "--protocol", "auto"),
                *("--seconds", "0.5", "--folder", tmp_path, *rate),
            )
            assert got["samples"] >= got["acknowledged"] * samples > 0
            assert (got["unacknowledged"], got["refused"], got["protocol"]) == (0, 0, "5")
            assert len(hub.readings) == got["samples"] * records // samples
            assert 10 < got["rss_mb"] < 60
            hub.readings.clear()
        assert not list(tmp_path.glob("tweeling-bench-*"))


def test_the_outbox_is_measured_beside_the_machine_s_own_limits(tmp_path: Path) -> None:
    with Process("bench", "outbox", "--seconds", "0.2", "--writers", "4", "--folder", tmp_path, "--json") as bench:
        code = bench.wait()
    lines = [json.loads(line) for line in bench.out.splitlines()]
    assert all(set(line) == {"bench", "metric", "value", "unit", "limit", "goal", "ok"} for line in lines)
    figures = {line["metric"]: line for line in lines}
    assert set(figures) == {
        *("fsync", "sqlite_transactions_of_1", "sqlite_transactions_of_100"),
        *("outbox_put_1_by_1", "outbox_put_1_by_1_p99", "outbox_put_1_by_4", "outbox_put_1_by_4_p99"),
        *("outbox_put_100", "agent_rss"),
    }
    assert 10 < figures["agent_rss"]["value"] < 60
    for metric in ("outbox_put_1_by_4", "outbox_put_100"):
        figure = figures[metric]
        assert figure["limit"] == figures["sqlite_transactions_of_100"]["value"]
        assert figure["ok"] is (figure["value"] >= figure["goal"] == 5000)
    assert code == (1 if any(line["ok"] is False for line in lines) else 0)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_bench_is_refused_by_name(tmp_path: Path) -> None:
    with Process("bench", "publish", "--nodes", "H1") as bench:
        assert bench.wait() == 2
    assert "--nodes: 'H1' is no node. Write HUB/NODE" in bench.lines[-1]
    with Process("bench", "publish", "--credentials", tmp_path / "a", tmp_path / "b") as bench:
        assert bench.wait() == 2
    assert "--credentials: 2 files for 1 nodes" in bench.lines[-1]
    with Process("bench", "agent", "--window", "101") as bench:
        assert bench.wait() == 2
    assert "--window: 101 is out of bounds. It should be 5..100" in bench.lines[-1]
    with Process("bench", "outbox", "--folder", tmp_path / "nowhere") as bench:
        assert bench.wait() == 2
    assert "--folder: cannot be written: No such file or directory" in bench.lines[-1]
