import json
import logging
import threading
from collections.abc import Mapping

import pytest
from support_broker import until

from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.errors import AlreadyCapturedError, InvariantError, UnavailableError
from tweeling.ports.custody_api import Captured, DetachedSignature
from tweeling.services.claims import Claims, event_time, from_weighing, kilograms


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


class _FragileFacts(MemoryFacts):
    """Facts that do not answer for a while."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.asked = threading.Semaphore(0)

    def get(self, key: str) -> Mapping[str, object] | None:
        if self.down:
            self.asked.release()
            raise UnavailableError("the facts are out")
        return super().get(key)


class _Log:
    """Takes what the custody log would take, and remembers it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def capture(self, body: bytes, *, token_id: str, signature: DetachedSignature | None) -> Captured:
        assert (token_id, signature) == ("hub", None)
        if body in self.taken:
            raise AlreadyCapturedError("it", self.taken.index(body))
        if b"nonsense" in body:
            raise InvariantError("no URI", field="epcClass")
        self.taken.append(body)
        return Captured("it", len(self.taken) - 1)

    def receipt(self, event_id: str) -> bytes:
        raise InvariantError("unknown", field=event_id)


def test_each_weighing_of_a_lot_is_claimed_once_even_when_the_cursor_was_lost() -> None:
    facts, log = MemoryFacts(), _Log()
    rows = [_weighing(identity=Identity("H1", "scale", "0" * 16, seq, 0)) for seq in range(1, 6)]
    facts.apply_movements([*rows, _weighing(lot=None)], source="journal", through=1)
    claims = Claims(facts, log, batch=2)
    while claims.step():
        pass
    assert len(log.taken) == 5
    facts.put("claims.cursor", {"row": 0})
    while claims.step():
        pass
    assert len(log.taken) == 5


def test_a_weighing_whose_lot_has_no_valid_name_does_not_hold_up_the_others() -> None:
    facts, log = MemoryFacts(), _Log()
    bad = _weighing(identity=Identity("H1", "scale", "0" * 16, 1, 0), lot="nonsense")
    facts.apply_movements([bad, _weighing()], source="journal", through=1)
    Claims(facts, log).step()
    assert len(log.taken) == 1


def test_claims_end_at_once_when_they_are_told_to() -> None:
    stop = threading.Event()
    claims = Claims(MemoryFacts(), _Log())
    thread = threading.Thread(target=claims.run, args=(stop,))
    thread.start()
    stop.set()
    claims.wake()
    thread.join(5)
    assert not thread.is_alive()


def test_an_outage_of_the_facts_is_logged_once_and_caught_up_after(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="tweeling")
    facts, log, stop = _FragileFacts(), _Log(), threading.Event()
    facts.apply_movements([_weighing()], source="journal", through=1)
    facts.down = True
    claims = Claims(facts, log)
    thread = threading.Thread(target=claims.run, args=(stop,))
    thread.start()
    for _ in range(3):
        assert facts.asked.acquire(timeout=10)
        claims.wake()
    facts.down = False
    claims.wake()
    until(lambda: log.taken and len(caplog.records) == 2, "the claim is made, and that the facts are back is said")
    stop.set()
    claims.wake()
    thread.join(10)
    assert not thread.is_alive()
    assert [record.message for record in caplog.records] == ["claims.lost", "claims.back"]
