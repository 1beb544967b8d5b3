"""Fault 1: edge, broker, hub and store are killed at seeded points of progress, under load, at start and in a drain."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_rig import Node, fast_clock, rig, simulate
from support_rig_audit import audit, truth_of
from support_rig_kills import Killer, plan

NODES = [Node("H1", "gw1"), Node("H2", "gw1")]


WORKERS = {"ingest": {"shards": [["H1/+"], ["H2/+"]]}}


def survive(folder: Path, broker: str, store: str, seed: int, points: int, *, workers: bool) -> None:
    victims = ["edge", "broker", "hub", *(["store"] if store == "victoriametrics" else [])]
    victims += ["worker"] if workers else []
    with rig(folder, broker=broker, store=store, nodes=NODES, settings=WORKERS if workers else {}) as made:
        for number, edge in enumerate(made.edges):
            edge.write([simulate(seed=seed + number)], clock=fast_clock(50_000))
        made.start()
        Killer(made, seed, forgetful=broker == "mosquitto").carry_out(plan(seed, points, victims))
        made.finish()
        truth = truth_of(made.edges)
        assert truth.weighings.total() > points
        audit(made, truth)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("broker", "store", "seed", "workers"),
    [("nats", "duckdb", 11, False), ("mosquitto", "victoriametrics", 12, True)],
)
def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, broker: str, store: str, seed: int, workers: bool
) -> None:
    survive(tmp_path, broker, store, seed, 6, workers=workers)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(101, 106))
@pytest.mark.parametrize(("broker", "store"), [("nats", "victoriametrics"), ("mosquitto", "duckdb")])
def test_two_hundred_kills_lose_nothing_and_double_nothing(tmp_path: Path, broker: str, store: str, seed: int) -> None:
    survive(tmp_path, broker, store, seed, 20, workers=seed % 2 == 0)
