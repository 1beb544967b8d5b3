"""A device's own time: ISO 8601, or seconds or milliseconds since 1970."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_EARLIEST_MS = 2**28 * 1000  # SenML reads a time below 2^28 s as relative
_LATEST_MS = 253_402_300_800_000
_MS_FROM = 1e11  # as seconds this is the year 5138, as milliseconds 1973
_SHOWN = 40


def time_ms(said: object, zone: tzinfo) -> int:
    """Milliseconds since 1970 of what a device said, or raise ValueError; `zone` is for times that name none."""
    shown = str(said)[:_SHOWN]
    try:
        found = _read(said, zone)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{shown!r} is no time (ISO 8601, or seconds or ms since 1970)") from None
    if not _EARLIEST_MS <= found < _LATEST_MS:
        raise ValueError(f"{shown!r} is before July 1978 or after the year 9999")
    return found


def known_zone(zone: str) -> str:
    """A validator: raise ValueError for a time zone that nobody knows."""
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ValueError(f"no time zone {zone!r}") from exc
    return zone


def _read(said: object, zone: tzinfo) -> int:
    if isinstance(said, str) and not _NUMBER.match(said):
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=zone)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
        return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    number = float(said)  # type: ignore[arg-type]  # what no number can be made of, raises
    if not math.isfinite(number):
        raise ValueError("not finite")
    return round(number) if abs(number) >= _MS_FROM else round(number * 1000)
