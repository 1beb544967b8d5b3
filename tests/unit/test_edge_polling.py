from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tweeling.errors import ConfigError, UnavailableError
from tweeling.wire.senml import Resolved
from tweeling_edge.clock import Clock
from tweeling_edge.drivers import Look, Site, registry
from tweeling_edge.drivers.polling import Cadence, Polled, PollSettings
from tweeling_edge.drivers.sensors import Conversion, Sensor, number


@given(st.floats(0.05, 86_400), st.lists(st.floats(0, 500_000), max_size=50))
def test_moments_lie_on_an_even_grid_and_none_is_made_up(every: float, pauses: list[float]) -> None:
    cadence, now, last = Cadence(every, 0.0), 0.0, 0.0
    for pause in pauses:
        now += pause  # the look took so long
        now += cadence.wait(now)
        assert now > last
        assert abs(now / every - round(now / every)) < 1e-6 * max(1.0, now / every)
        last = now


def test_a_look_that_takes_long_does_not_move_the_grid() -> None:
    cadence = Cadence(10, 0)
    assert cadence.wait(3) == 7
    assert cadence.wait(10.5) == 9.5
    assert cadence.wait(47) == 3, "the moments missed meanwhile are left out"
    assert cadence.wait(50) == 10


class Hand:
    """A clock whose time passes only while somebody waits; the wall may be set."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.wall_ms = 1_700_000_000_000

    def clock(self) -> Clock:
        hand = self

        class Waiting(Clock):
            def wait(self, ms: float, stop: threading.Event) -> bool:
                hand.passed_s += ms / 1000
                hand.wall_ms += round(ms)
                return not stop.is_set()

        return Waiting(real_ms=lambda: hand.wall_ms, monotonic_s=lambda: hand.passed_s)


class Scripted(Polled):
    """Says at each look what its script says."""

    def __init__(self, hand: Hand, script: list[Callable[[], Iterable[Look]]], stop: threading.Event) -> None:
        super().__init__("scripted", PollSettings(kind="scripted", every_s=60), Site("H1", "gw1", hand.clock()))
        self._script = iter(script)
        self._stop = stop

    def look(self) -> Iterable[Look]:
        step = next(self._script, None)
        if step is None:
            self._stop.set()
            return ()
        return step()


def told(*script: Callable[[], Iterable[Look]], hand: Hand | None = None) -> list[Resolved]:
    stop = threading.Event()
    driver = Scripted(hand or Hand(), list(script), stop)
    return [sample[0] for batch in driver.batches(None, stop) for sample in batch.samples]


def down() -> Iterable[Look]:
    raise UnavailableError("device: silent")


A, B, BROKEN = Look("a/level", "1", 1), Look("b/level", "2", 2), Look("a/level", "x", wrong="is no number")


def test_a_lost_sensor_hinders_no_other_and_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tweeling_edge")
    got = told(lambda: [A, B], lambda: [BROKEN, B], lambda: [BROKEN, B], lambda: [A, B], lambda: [BROKEN])
    assert [record.name for record in got] == ["a/level", "b/level", "b/level", "b/level", "a/level", "b/level"]
    assert [record.message for record in caplog.records] == ["sensor.lost", "sensor.back", "sensor.lost"]
    assert [getattr(record, "said", "") for record in caplog.records] == ["x", "", "x"]


def test_a_lost_device_is_told_once_and_asked_again_at_the_next_moment(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tweeling_edge")
    got = told(down, down, lambda: [A], down, lambda: [A])
    assert [record.time_ms - 1_700_000_000_000 for record in got] == [120_000, 240_000]
    events = [record.message for record in caplog.records]
    assert events == ["driver.lost", "driver.back", "driver.lost", "driver.back"]


def test_a_driver_that_says_nothing_of_a_sensor_is_no_reading(caplog: pytest.LogCaptureFixture) -> None:
    assert told(lambda: [Look("a/level"), B]) == told(lambda: [B])
    assert caplog.records[0].reason == "says no value"  # type: ignore[attr-defined]  # an extra


def test_what_came_before_the_device_went_silent_is_kept() -> None:
    def half() -> Iterable[Look]:
        yield A
        raise OSError("unplugged")

    assert [record.name for record in told(half)] == ["a/level"]


def test_a_clock_that_is_set_neither_stops_nor_bunches_the_looks() -> None:
    hand = Hand()

    def set_clock() -> Iterable[Look]:
        hand.wall_ms -= 7_200_000
        return [A]

    got = told(lambda: [A], set_clock, lambda: [A], hand=hand)
    assert [record.time_ms - 1_700_000_000_000 for record in got] == [0, 60_000 - 7_200_000, 120_000 - 7_200_000]
    assert hand.passed_s == 240


def test_a_reading_with_its_own_time_is_told_once_however_often_it_is_seen() -> None:
    old, new = Look("a/level", "1", 1, time_ms=5), Look("a/level", "1", 1, time_ms=6)
    assert [record.time_ms for record in told(lambda: [old], lambda: [old], lambda: [new], lambda: [old])] == [5, 6, 5]


def test_a_reading_the_outbox_could_not_take_is_told_again() -> None:
    stop = threading.Event()
    driver = Scripted(Hand(), [lambda: [Look("a/level", "1", 1, time_ms=5)]] * 2, stop)
    next(iter(driver.batches(None, stop)))  # and never asked for the next: it was not durable
    assert len(list(driver.batches(None, stop))) == 1


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (3, 3), (2.5, 2.5), (" -2.5e3", -2500.0), ("+.5", 0.5), (True, 1), (False, 0),
        ("", None), ("1_000", None), ("nan", None), ("0x10", None), (None, None), ([1], None),
        (float("inf"), None), (10**400, None), ("1e999", None), ("9" * 100, None), ("٣", None),
    ],
)  # fmt: skip
def test_only_what_is_a_number_is_read_as_one(said: object, value: float | None) -> None:
    assert number(said) == value


def test_a_conversion_scales_then_shifts_and_leaves_whole_numbers_whole() -> None:
    assert Conversion(scale=0.1).look("a/t", 23).value == 2.3
    assert Conversion(scale=0.5, offset=-10, unit="Cel").look("a/t", "30") == Look("a/t", "30", 5.0, "Cel")
    assert isinstance(Conversion().look("a/t", 7).value, int)
    assert Conversion(scale=1e300).look("a/t", 1e300).wrong == "is no finite number"
    assert Conversion().look("a/t", "\x1b[31m" + "x" * 100).raw == "?[31m" + "x" * 55 + "…"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "level"}, "no thing/attribute"),
        ({"name": "a/level", "unit": "furlong"}, "knows no unit"),
        ({"name": "a/fillingLevel", "unit": "cm"}, "is a share"),
        ({"name": "a/level", "scale": 0}, "would send the offset"),
        ({"name": "a/level", "scale": float("inf")}, "finite"),
    ],
)
def test_a_sensor_that_could_tell_nothing_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Sensor.model_validate(settings)


def test_a_library_that_is_not_installed_is_named_with_its_extra() -> None:
    with pytest.raises(ConfigError, match=r"pip install 'tweeling\[lasers\]'"):
        registry.library("tweeling_no_such_library", extra="lasers")
