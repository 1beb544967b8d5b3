import json

from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.services.claims import event_time, from_weighing, kilograms


def _weighing(direction: Direction = Direction.IN, **change: object) -> Movement:
    values: dict[str, object] = {
        "identity": Identity("H1", "scale", "0" * 16, 7, 0),
        "time_ms": 1_767_225_600_000,
        "zone": "H1-A",
        "direction": direction,
        "net_g": 24_580_000,
        "material": "beton_puin",
        "partner": "P01",
        "ticket": "H1-2026-1",
        "lot": "urn:epc:class:lgtin:9521141.000001.7",
        **change,
    }
    return Movement.model_validate(values)


def test_the_same_weighing_always_gives_the_same_event() -> None:
    assert json.dumps(from_weighing(_weighing())) == json.dumps(from_weighing(_weighing()))


def test_two_equal_weighings_are_two_events() -> None:
    other = _weighing(identity=Identity("H1", "scale", "0" * 16, 8, 0))
    assert from_weighing(_weighing())["eventID"] != from_weighing(other)["eventID"]


def test_a_load_in_is_received_from_its_partner_and_a_load_out_is_shipped_to_it() -> None:
    into, out = from_weighing(_weighing()), from_weighing(_weighing(Direction.OUT))
    assert into["bizStep"] == "receiving"
    assert into["sourceList"] == [{"type": "possessing_party", "source": "urn:tweeling:party:P01"}]
    assert out["bizStep"] == "shipping"
    assert out["destinationList"] == [{"type": "possessing_party", "destination": "urn:tweeling:party:P01"}]


def test_mass_is_exact_to_the_gram() -> None:
    assert kilograms(24_580_000) == 24_580
    assert kilograms(1) == 0.001
    assert kilograms(999_999_999_999) == 999_999_999.999


def test_an_event_carries_the_offset_of_the_wall_clock() -> None:
    assert event_time(1_767_225_600_000) == {
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventTimeZoneOffset": "+01:00",
    }
    assert event_time(1_782_864_000_000)["eventTimeZoneOffset"] == "+02:00"
