"""The agent and the broker die under it; what was durable arrives, once. (The hub's deaths are tested with the hub.)"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from support_broker import mosquitto_broker, nats_broker
from support_edge import Hub, Process, write_config, write_csv

from tweeling.simulation import Load, Simulator
from tweeling.wire.ranges import SeqSet
from tweeling_edge.clock import system_ms

ROWS = 6000


def assert_whole(hub: Hub, rows: int) -> None:
    assert len(hub.readings) == rows, "each row once"
    assert len(set(hub.readings)) == rows
    (seqs,) = hub.settled.values()
    assert seqs == SeqSet(((1, rows),)), "no seq is missing"


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_a_replay_killed_again_and_again_yields_each_row_exactly_once(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    table = write_csv(tmp_path / "rows.csv", ROWS)
    with mosquitto_broker(tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker)
        # The outbox is killed while it is filled, the line while it is drained.
        for _ in range(4):
            goal = min(len(hub.readings) + rng.randint(0, 1500), ROWS - 1)
            with Process("replay", table, "--config", config, "--json") as agent:
                if goal:
                    hub.wait(lambda goal=goal: len(hub.readings) >= goal, "some readings")  # type: ignore[misc]  # bound now
                else:
                    agent.wait_line("agent.started")
                agent.kill()
        with Process("replay", table, "--config", config, "--json") as agent:
            assert agent.wait() == 0, agent.lines
        answer = json.loads(agent.out)
        assert (answer["rows"], answer["queued"], answer["committed"]) == (ROWS, ROWS, ROWS)
        assert_whole(hub, ROWS)


def test_a_broker_that_restarts_without_its_state_costs_nothing(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", ROWS)
    with mosquitto_broker(tmp_path / "broker") as broker:
        config = write_config(tmp_path, broker=broker, top="backlog = 500")
        with Process("replay", table, "--config", config, "--json") as agent:
            with Hub(broker) as first:
                first.wait(lambda: len(first.readings) >= 1000, "some readings")
                broker.server.kill()
                for leftover in (tmp_path / "broker" / "store").iterdir():
                    leftover.unlink()
            agent.wait_line("broker.lost")
            broker.server.start()
            with Hub(broker) as second:
                # The same hub with a new connection: what it had committed stays committed.
                second.settled, second.readings = first.settled, first.readings
                assert agent.wait(seconds=100) == 0, agent.lines
                assert_whole(second, ROWS)
        assert sum("broker.lost" in line for line in agent.lines) == 1


def test_a_hub_that_comes_late_finds_everything(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "rows.csv", 1000)
    with nats_broker(tmp_path / "broker", [("H1", "gw1")]) as broker:
        config = write_config(tmp_path, broker=broker)
        with Process("replay", table, "--config", config, "--json") as agent:
            agent.wait_line("broker.connected")
            agent.wait_line("driver.finished")
            with Hub(broker) as hub:
                assert agent.wait() == 0, agent.lines
                assert_whole(hub, 1000)


def test_a_killed_agent_keeps_every_weighing_to_the_gram(tmp_path: Path) -> None:
    simulate = (
        '[[drivers]]\nkind = "simulate"\nstart_ms = 1700000000000\nfrom_ms = 1790000000000\ntick_s = 0.05\n'
        "[clock]\norigin_sim_ms = 1790000000000\norigin_real_ms = {}\nspeed = 100000\n"
    )
    with mosquitto_broker(tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, extra=simulate.format(system_ms()))
        for goal in (10, 30, 60):
            with Process("run", config) as agent:
                hub.wait(lambda goal=goal: len(hub.movements) >= goal, "weighings")  # type: ignore[misc]  # bound now
                agent.kill()
        expected = _truth(max(movement.time_ms for movement in hub.movements))
        with Process("run", config) as agent:
            agent.wait_line("broker.connected")
            hub.wait(lambda: expected <= {(row.time_ms, row.net_g) for row in hub.movements}, "what was held back")
            assert agent.terminate() == 0
        tickets = [movement.ticket for movement in hub.movements]
        assert len(set(tickets)) == len(tickets)


def _truth(until_ms: int) -> set[tuple[int, int]]:
    world = Simulator(2026, "H1", 1_700_000_000_000).observe(1_790_000_000_000, until_ms, every_ms=600_000)
    return {(item.time_ms, item.net_g) for item in world if isinstance(item, Load)}
