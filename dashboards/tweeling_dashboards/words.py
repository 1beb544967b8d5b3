"""Numbers, times and texts in the reader's form."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tweeling_dashboards import texts

HOME = ZoneInfo("Europe/Amsterdam")
"""Where the hubs are, and so the clock that everyone in the region reads."""

ABSENT = "\N{EN DASH}"
"""Stands where a value is not known."""

_MOST = 1e15
"""Beyond it a number is a mistake, or an attack on whoever has to read it."""

_MINUTE, _HOUR = 60_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Words:
    """One reader's language: `words("now")` is a text, the methods write values.

    They write whatever they are given: a time or number that cannot be shown is a dash, for one bad value among many
    must not take the page from everyone.
    """

    lang: str

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key with its values filled in."""
        found = texts.text(key, self.lang)
        return found.format(**values) if values else found

    def term(self, group: str, name: str) -> str:
        """A standard's term in the reader's language, or as it is."""
        return texts.term(group, name, self.lang)

    def number(self, value: float, digits: int = 0) -> str:
        """1.234,5 in Dutch, 1,234.5 in English."""
        if not _bearable(value):
            return ABSENT
        written = f"{value:,.{digits}f}"
        return written.translate(str.maketrans(",.", ".,")) if self.lang == "nl" else written

    def percent(self, share: float) -> str:
        """62%, never rounded up to 100."""
        if not _bearable(share):
            return ABSENT
        rounded = round(share * 100)
        return f"{99 if rounded == 100 and share < 1 else rounded}%"

    def chance(self, probability: float) -> str:
        """62%, and never nothing or certainty."""
        if probability < 0.01:
            return "<1%"
        return ">99%" if probability > 0.99 else self.percent(probability)

    def tonnes(self, grams: int) -> str:
        """Whole tonnes, or one decimal below ten."""
        if not _bearable(grams):
            return ABSENT
        value = grams / 1e6
        return f"{self.number(value, 1 if abs(value) < 10 else 0)} t"

    def clock(self, time_ms: int) -> str:
        """08:00."""
        then = local(time_ms)
        return f"{then:%H:%M}" if then else ABSENT

    def moment(self, time_ms: int) -> str:
        """As in: di 25 nov 08:00."""
        then = local(time_ms)
        if then is None:
            return ABSENT
        month = texts.MONTHS[self.lang][then.month - 1]
        return f"{self.weekday(time_ms)} {then.day} {month} {then:%H:%M}"

    def date(self, time_ms: int) -> str:
        """As in: 25 nov 2025."""
        then = local(time_ms)
        if then is None:
            return ABSENT
        return f"{then.day} {texts.MONTHS[self.lang][then.month - 1]} {then.year}"

    def weekday(self, time_ms: int) -> str:
        """As in: di."""
        then = local(time_ms)
        return texts.DAYS[self.lang][then.weekday()] if then else ABSENT

    def span(self, hours: float) -> str:
        """31 u, or 8 d 19 u."""
        if not _bearable(hours):
            return ABSENT
        whole = round(hours)
        if whole < 48:
            return self("hours", n=whole)
        days, rest = divmod(whole, 24)
        return self("days_hours", d=days, h=rest) if rest else self("days", n=days)

    def ago(self, time_ms: int, now_ms: int) -> str:
        """How long ago, the coarser the longer: a screen need not change every minute."""
        if local(time_ms) is None:
            return ABSENT
        passed = now_ms - time_ms
        if passed < 5 * _MINUTE:
            return self("just_now")
        if passed < _HOUR:
            return self("minutes", n=passed // (5 * _MINUTE) * 5)
        if passed < 48 * _HOUR:
            return self("hours", n=passed // _HOUR)
        return self("days", n=passed // (24 * _HOUR))


def local(time_ms: int) -> datetime | None:
    """A time on the region's clock; None where no calendar has it."""
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone(HOME)
    except (OverflowError, ValueError, OSError):
        return None


def chosen(lang: str | None, accepted: str = "") -> Words:
    """The language that the URL names, else the first of ours in the browser's Accept-Language, else Dutch."""
    preferred = (part.strip()[:2].lower() for part in accepted.split(","))
    return Words(next((one for one in (lang, *preferred) if one in texts.LANGUAGES), texts.LANGUAGES[0]))


def shortened(text: str, most: int = 60) -> str:
    """A name that strangers chose, at a length that a screen can bear."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _bearable(value: float) -> bool:
    return abs(value) < _MOST  # never true of what is no number
