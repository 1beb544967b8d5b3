"""Opening hours in Dutch local time, without a time-zone database: a gateway need not have one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

HOUR_MS = 3_600_000
WEEK_MS = 168 * HOUR_MS

Interval = tuple[int, int]

_DAYS = ("ma", "di", "wo", "do", "vr", "za", "zo")
_RULE = re.compile(r"(ma|di|wo|do|vr|za|zo)(?:-(ma|di|wo|do|vr|za|zo))? (\d\d):(\d\d)-(\d\d):(\d\d)")
_EPOCH = date(1970, 1, 1)


class Hours:
    """Opening hours as signs write them: `ma-vr 06:00-19:00; za 07:00-13:00`."""

    def __init__(self, text: str) -> None:
        self._minutes: list[list[Interval]] = [[] for _ in _DAYS]
        for part in filter(None, text.split("; ")):
            rule = _RULE.fullmatch(part)
            if rule is None:
                raise ValueError(f"opening hours {part!r} are not like 'ma-vr 06:00-19:00'")
            first, last = _DAYS.index(rule[1]), _DAYS.index(rule[2] or rule[1])
            opens, closes = int(rule[3]) * 60 + int(rule[4]), int(rule[5]) * 60 + int(rule[6])
            for weekday in range(first, last + 1):
                self._minutes[weekday].append((opens, closes))

    def of(self, day: date) -> list[Interval]:
        """When it is open on a day, as [from, to) in milliseconds UTC."""
        return [(utc_ms(day, opens), utc_ms(day, closes)) for opens, closes in self._minutes[day.weekday()]]


def utc_ms(day: date, minutes: int = 0) -> int:
    """The moment of a local wall time; an hour that comes twice is the first, in summer time."""
    local = (day - _EPOCH).days * 24 * HOUR_MS + minutes * 60_000
    start, end = _last_sunday(day.year, 3), _last_sunday(day.year, 10)
    summer = start + 2 * HOUR_MS <= local < end + 3 * HOUR_MS
    return local - (2 if summer else 1) * HOUR_MS


def local_day(time_ms: int) -> date:
    """The local date of a moment."""
    utc = datetime.fromtimestamp(time_ms // 1000, UTC)
    start, end = _last_sunday(utc.year, 3) + HOUR_MS, _last_sunday(utc.year, 10) + HOUR_MS
    return (utc + timedelta(hours=2 if start <= time_ms < end else 1)).date()


def monday(day: date) -> date:
    """The first day of its ISO week."""
    return day - timedelta(days=day.weekday())


def _last_sunday(year: int, month: int) -> int:
    """Midnight of the last Sunday of a month of 31 days; Europe turns its clocks then, at 01:00 UTC."""
    last = date(year, month, 31)
    return (last - timedelta(days=(last.weekday() + 1) % 7) - _EPOCH).days * 24 * HOUR_MS
