from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tweeling.errors import ConfigError
from tweeling_edge.drivers.serial import SerialSettings
from tweeling_edge.scale.frames import Frame, Framing
from tweeling_edge.scale.reading import Reading
from tweeling_edge.settings import validated

GOOD: dict[str, Any] = {
    "kind": "serial",
    "port": "/dev/ttyUSB0",
    "protocol": "st-gs",
    "above_kg": 500,
    "zone": "H1-A",
    "direction": "in",
    "material": "beton_puin",
}

WEIGHT = {"protocol": "pattern", "pattern": r"(?P<weight>\d+)", "unit": "kg"}


def settings(**changed: Any) -> SerialSettings:
    return validated(SerialSettings, {**GOOD, **changed}, source="edge.toml", base=Path(), field="drivers[0]")


@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"port": "spy:///dev/ttyUSB0"}, "drivers[0].port", "socket://host:port"),
        ({"protocol": "toldeo"}, "drivers[0].protocol", "no protocol 'toldeo'. It should be one of mt-sics, st-gs"),
        ({"unit": "stone"}, "drivers[0].unit", "g, kg, t or lb"),
        ({"protocol": "toledo", "unit": "kg"}, "drivers[0]", "every frame of toledo names its unit"),
        ({"protocol": "pattern", "pattern": "(?P<weight>.)", "end": [""]}, "drivers[0]", "at least one character"),
        ({"direction": "through"}, "drivers[0].direction", "in or out"),
        ({"above_kg": 0}, "drivers[0].above_kg", "kilograms"),
        ({"below_kg": 500}, "drivers[0]", "below_kg and tare_kg are less than above_kg"),
        ({"tare_kg": 14_000}, "drivers[0]", "below_kg and tare_kg are less than above_kg"),
        ({"pattern": "x"}, "drivers[0]", "pattern belong to protocol = \"pattern\", not 'st-gs'"),
        ({"protocol": "pattern"}, "drivers[0]", "pattern has no group weight, gross or net"),
        ({"protocol": "pattern", "pattern": "(?P<weight>"}, "drivers[0]", "pattern is no regular expression"),
        ({"protocol": "mt-sics", "counts": "net"}, "drivers[0]", 'counts = "net" would count nothing'),
        (
            {**WEIGHT, "pattern": r"(?P<net>\d+)", "counts": "gross"},
            "drivers[0]",
            "no frame of pattern says that it is gross",
        ),
        ({**WEIGHT, "counts": "gross"}, "drivers[0]", "above the weight of an empty container"),
        (
            {"protocol": "mt-sics", "weigh": "ticket"},
            "drivers[0]",
            'Use weigh = "rest", or a pattern with a group `ticket`',
        ),
        ({"protocol": "toledo", "weigh": "ticket"}, "drivers[0]", "which is asked for or comes by itself"),
        ({**WEIGHT, "ask": "P", "weigh": "ticket"}, "drivers[0]", "would count a load at each frame of pattern"),
        ({"ask": "é"}, "drivers[0].ask", "more than ASCII"),
        ({"parity": "N"}, "drivers[0].parity", "none, even or odd"),
        ({"bauds": 9600}, "drivers[0].bauds", "is no setting"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(changed: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**changed)
    assert caught.value.field == field
    assert said in str(caught.value)


def test_what_tells_mode_or_ticket_may_be_counted_by_it() -> None:
    for protocol in ("st-gs", "sma", "rinstrum", "toledo"):
        assert settings(protocol=protocol, counts="net").rules().counts == "net"
    assert settings(**{**WEIGHT, "pattern": r"(?P<net>\d+)"}, counts="net").rules().counts == "net"
    numbered = {**WEIGHT, "pattern": r"(?P<ticket>\d+) (?P<weight>\d+)", "ask": "P", "weigh": "ticket"}
    assert settings(**numbered).spoken().ask == b"P"
    assert settings(weigh="ticket").weigh == "ticket", "the key on an indicator makes it print"
    assert settings(protocol="mt-sics", ask="", weigh="ticket").weigh == "ticket"


def test_a_tenth_of_a_load_is_an_empty_scale_unless_something_else_is_said() -> None:
    assert settings().rules().below_g == 50_000
    assert settings(below_kg=0).rules().below_g == 0
    assert settings(above_kg=0.5, tare_kg=0.045).rules()[:2] == (500, 50)


def test_a_pattern_of_ones_own_is_framed_as_told() -> None:
    own = settings(
        protocol="pattern", pattern=r"W(?P<weight>\d+)", start="\x02", end=["\x03"], unit="kg", ask="\x05"
    ).spoken()
    assert own.framing == Framing(b"\x02", (b"\x03",))
    assert own.ask == b"\x05"
    assert own.read(Frame(b"W0012")) == Reading(12_000)


def test_a_published_protocol_takes_the_unit_that_its_frames_leave_out_and_may_be_kept_from_asking() -> None:
    assert settings(unit="t").spoken().read(Frame(b"ST,+0001.234   ")) == Reading(1_234_000, stable=True)
    assert settings(protocol="mt-sics").spoken().ask == b"SI\r\n"
    assert settings(protocol="mt-sics", ask="").spoken().ask == b""
