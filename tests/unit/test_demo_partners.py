import json

import pytest

from tweeling.cli.partners import shipping, transformation
from tweeling.domain import epcis
from tweeling.domain.canonical import jcs
from tweeling.simulation import Load, Processing
from tweeling.simulation.parameters import PROCESSES

LOT = "urn:epc:class:lgtin:9521141.000001.H1-A-260504-P01-1"
STEPS = sorted({process.step for process in PROCESSES.values()})


@pytest.mark.parametrize("step", STEPS)
def test_whatever_a_plant_does_the_log_takes_its_event(step: str) -> None:
    done = Processing(
        1_777_874_400_000, "H1-A", ((LOT, 20_000_000),), ((f"{LOT}-p", "beton_puin", 19_990_000),), 10_000, step
    )
    signed = transformation(done, "H1")
    [event] = epcis.parse(json.dumps(signed.event).encode())
    assert event.summary.type == "TransformationEvent"
    assert step in event.summary.biz_step


def test_a_partner_ships_with_its_own_mass_under_its_own_name() -> None:
    load = Load(
        1_777_874_400_000, "H1-A", "beton_puin", "P01", "in", 40_000_000, 15_000_000, 25_000_000, "H1-260504-017", LOT
    )
    signed = shipping(load, "H1")
    [event] = epcis.parse(json.dumps(signed.event).encode())
    assert signed.by == "P01"
    assert event.summary.mass_g != load.net_g
    assert abs(event.summary.mass_g - load.net_g) <= 0.005 * load.net_g + 10_000
    assert signed.time_ms < load.time_ms
    assert event.canonical == jcs(signed.event)
