"""The simulator with the faults of the field, through the agent to a hub."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support_broker import mosquitto_broker
from support_edge import Hub, Process, write_config

from tweeling.errors import ConfigError
from tweeling.simulation import Faulty, Fill, Load
from tweeling.simulation.faults import PRESETS
from tweeling_edge.clock import system_ms
from tweeling_edge.drivers.simulate import SimulateSettings
from tweeling_edge.settings import validated

START = 1_677_477_600_000
FROM, DAYS = START + 10 * 7 * 86_400_000, 12


def test_what_comes_late_twice_or_at_a_wrong_time_reaches_the_hub_as_it_is_over_a_kill(tmp_path: Path) -> None:
    until = FROM + DAYS * 86_400_000
    told = list(Faulty(2026, "H4", START, PRESETS["rough"]).tell(FROM, until, every_ms=600_000))
    clock = f"[clock]\norigin_sim_ms = {until}\norigin_real_ms = {{now}}\nspeed = 1\n"
    driver = (
        f'[[drivers]]\nkind = "simulate"\nseed = 2026\nstart_ms = {START}\nfrom_ms = {FROM}\nfaults = "rough"\n{clock}'
    )
    with mosquitto_broker(tmp_path) as broker, Hub(broker) as hub:
        config = write_config(tmp_path, broker=broker, hub="H4", extra=driver.format(now=system_ms()))
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.readings) >= 600, "the first of it")
            agent.kill()
        with Process("run", config) as agent:
            hub.wait(lambda: len(hub.readings) + len(hub.movements) >= len(told), "all of it", seconds=60)
            assert agent.terminate() == 0
    heard = Counter((name, at, round(value, 6)) for name, at, value, _ in hub.readings if name.endswith("fillingLevel"))
    fills = [item for _, item in told if isinstance(item, Fill)]
    expected = Counter((f"{item.zone}/fillingLevel", item.time_ms, round(item.level, 6)) for item in fills)
    assert not expected - heard, "nothing is lost"
    extra = heard - expected
    assert all(at >= until - 2 * 3_600_000 for _, at, _ in extra), "and nothing is there once more"
    assert max(expected.values()) >= 2, "but what the line sent twice"
    weighed = Counter(movement.ticket for movement in hub.movements)
    assert set(weighed) >= {item.ticket for _, item in told if isinstance(item, Load)}
    assert max(weighed.values()) == 1


@pytest.mark.parametrize(
    ("faults", "field", "said"),
    [
        ("terrible", "drivers[0].faults", "no preset 'terrible': none, mild, rough, or a table of faults"),
        ({"stuck": {"per_week": 1}}, "drivers[0].faults.stuck.hours", "is missing"),
        ({"spike": {"per_week": 1, "hours": 1, "size": 2}}, "drivers[0].faults.spike.size", "at most 0.5"),
        ({"stuck": {"per_week": 100, "hours": 10}}, "drivers[0].faults.stuck", "do not fit into a week"),
    ],
)
def test_faults_that_cannot_be_are_named(faults: object, field: str, said: str) -> None:
    raw = {"kind": "simulate", "start_ms": START, "faults": faults}
    with pytest.raises(ConfigError) as caught:
        validated(SimulateSettings, raw, source="edge.toml", base=Path(), field="drivers[0]")
    assert caught.value.field == field
    assert said in str(caught.value)
