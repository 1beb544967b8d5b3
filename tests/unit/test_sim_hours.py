"""Opening hours, also on days that have 23 or 25 hours."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tweeling.simulation.hours import Hours, local_day, utc_ms
from tweeling.simulation.region import load

_AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def test_local_time_is_that_of_the_time_zone_database() -> None:
    day, minutes = date(2023, 1, 1), [0, 59, 60, 119, 180, 240, 390, 1439]
    while day < date(2030, 1, 1):
        for minute in minutes:
            wall = datetime(day.year, day.month, day.day, minute // 60, minute % 60, tzinfo=_AMSTERDAM)
            moment = utc_ms(day, minute)
            assert moment == round(wall.timestamp() * 1000)
            assert local_day(moment) == day
        day += timedelta(days=1)


def test_a_hub_is_open_as_its_sign_says() -> None:
    hours = Hours("ma-vr 06:00-19:00; za 07:00-13:00")
    saturday = date(2026, 7, 4)
    assert hours.of(saturday) == [(utc_ms(saturday, 7 * 60), utc_ms(saturday, 13 * 60))]
    assert hours.of(date(2026, 7, 5)) == []
    assert [len(hours.of(date(2026, 6, 29) + timedelta(days=n))) for n in range(7)] == [1, 1, 1, 1, 1, 1, 0]


def test_every_hub_has_hours_that_can_be_read() -> None:
    for hub in load().hubs:
        assert Hours(hub.opening_hours).of(date(2026, 6, 29))


def test_hours_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="opening hours 'soms' are not like"):
        Hours("soms")
