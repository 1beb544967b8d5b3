"""The line dies without a word, the broker stands still, the clock is set: who notices, how soon, and what it costs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Broker, mosquitto_broker, nats_broker
from support_edge import Hub, Process, write_config

from tweeling_edge.clock import system_ms

KEEPALIVE_S = 8
SEEN_S = 1.5 * KEEPALIVE_S + 1


@pytest.fixture(params=["nats", pytest.param("mosquitto", marks=pytest.mark.slow)])  # which looks every six seconds
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    start = nats_broker if request.param == "nats" else mosquitto_broker
    names = {"nodes": [("H1", "gw1")]} if request.param == "nats" else {}
    with start(tmp_path / "broker", **names) as running:
        yield running


def test_a_frozen_agent_is_seen_offline_in_time_and_is_back_by_itself(broker: Broker, tmp_path: Path) -> None:
    config = write_config(tmp_path, broker=broker, settings=f"keepalive_s = {KEEPALIVE_S}")
    with Hub(broker) as hub, Process("run", config) as agent:
        hub.wait(lambda: hub.states and hub.states[-1].online, "online")
        hub.wait(lambda: hub.counts["envelopes"], "its question, which is all it has to say")
        agent.freeze()
        began = time.monotonic()
        hub.wait(lambda: not hub.states[-1].online, "its last will")
        assert time.monotonic() - began <= SEEN_S
        agent.thaw()
        hub.wait(lambda: hub.states[-1].online, "online again")
        assert agent.terminate() == 0
        assert sum("broker.lost" in line for line in agent.lines) == 1
        assert sum("broker.back" in line for line in agent.lines) == 1


@pytest.mark.slow
def test_an_agent_leaves_a_frozen_broker_in_time_and_nothing_is_lost(tmp_path: Path) -> None:
    with mosquitto_broker(tmp_path / "broker") as broker, Hub(broker) as hub:
        lines = [f"s,{1_700_000_000 + each / 10},1" for each in range(200)]
        (tmp_path / "live.csv").write_text("\n".join(["sensor,time,value", *lines]) + "\n")
        driver = f'[[drivers]]\nkind = "replay"\nfile = "{tmp_path}/live.csv"\nspeed = 2\ntimes = "live"\n'
        config = write_config(tmp_path, broker=broker, extra=driver, settings=f"keepalive_s = {KEEPALIVE_S}")
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.readings) >= 20, "readings flow")
            os.kill(broker.server.pid, signal.SIGSTOP)
            began = time.monotonic()
            try:
                agent.wait_line("broker.lost")
                assert time.monotonic() - began <= SEEN_S
            finally:
                os.kill(broker.server.pid, signal.SIGCONT)
            agent.wait_line("broker.back")
            hub.wait(lambda: len(hub.readings) >= 200, "every reading")
            assert agent.terminate() == 0
        (seqs,) = hub.settled.values()
        assert seqs.ranges == ((1, 200),)
        assert len(set(hub.readings)) == len(hub.readings) == 200


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_an_agent_whose_clock_is_set_goes_on_at_once_and_weighs_nothing_twice(tmp_path: Path, jump_s: int) -> None:
    morning, speed = 1_790_054_000_000, 1008  # an hour is six weeks of the story, and another morning
    story = '[[drivers]]\nkind = "simulate"\nstart_ms = 1700000000000\ntick_s = 0.05\nevery_s = 1200\n'
    clock = f"[clock]\norigin_sim_ms = {morning}\norigin_real_ms = {system_ms()}\nspeed = {speed}\n"
    set_by = tmp_path / "set-by"
    set_by.write_text("0")
    program = (str(Path(__file__).parents[1] / "support_clock.py"), str(set_by))
    with mosquitto_broker(tmp_path / "broker") as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, extra=story + clock)
        with Process("run", config, program=program) as agent:
            for by_s in (0, jump_s, 0):
                set_by.write_text(str(by_s))
                envelopes, weighings = len(hub.envelopes), len(hub.movements)
                low = morning + by_s * 1000 * speed
                times = range(low, low + 60_000 * speed)  # what the clock says in the minute of this test

                def told(times: range = times, envelopes: int = envelopes, weighings: int = weighings) -> bool:
                    news = [time_ms for envelope in hub.envelopes[envelopes:] for time_ms in envelope.times]
                    weighed = [movement.time_ms for movement in hub.movements[weighings:]]
                    return any(each in times for each in news) and any(each in times for each in weighed)

                hub.wait(told, f"readings and weighings at what the clock says, set by {by_s} s", seconds=30)
            assert agent.terminate() == 0
            assert not any("broker.lost" in line or "error" in line for line in agent.lines)
        tickets = [movement.ticket for movement in hub.movements]
        assert len(set(tickets)) == len(tickets)
