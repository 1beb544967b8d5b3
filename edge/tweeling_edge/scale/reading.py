"""What an indicator says in one frame, in whole grams: decimal arithmetic throughout, rounded once where it must be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal, NamedTuple

GRAMS: Mapping[str, Decimal] = {
    "g": Decimal(1),
    "kg": Decimal(1000),
    "t": Decimal(1_000_000),
    "lb": Decimal("453.59237"),  # the international pound, exactly
}
MAX_G = 10**12

Mode = Literal["gross", "net", "tare"]

_NUMBER = re.compile(r"([+-]?)\s*(\d{1,12}(?:[.,]\d{0,9})?|[.,]\d{1,9})")
_UNITS = {"gm": "g", "gr": "g", "k": "kg", "to": "t", "lbs": "lb", "l": "lb"}


class Reading(NamedTuple):
    """A weight as displayed. mode, gross_g, tare_g and ticket are there where the indicator told them.

    stable: None where the protocol does not tell.
    """

    weight_g: int
    stable: bool | None = None
    mode: Mode | None = None
    gross_g: int | None = None
    tare_g: int | None = None
    ticket: str = ""


class NoWeight(NamedTuple):
    """The indicator is well understood, and has no weight to tell: overload, underload, error."""

    why: str


class NotUnderstood(NamedTuple):
    """A frame without meaning, and why."""

    reason: str


Said = Reading | NoWeight | NotUnderstood


def grams(number: str, unit: str) -> int:
    """A printed weight in whole grams; raise ValueError where it is none or the unit is unknown."""
    return rounded(exact(number, unit))


def rounded(value: Decimal) -> int:
    """Whole grams, half to even."""
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def exact(number: str, unit: str) -> Decimal:
    """A printed weight in grams, to the last digit; raise ValueError where it is none or the unit is unknown."""
    found = _NUMBER.fullmatch(number.strip())
    if found is None:
        raise ValueError(f"{number.strip()[:20]!r} is no weight")
    factor = GRAMS.get(known_unit(unit))
    if factor is None:
        raise ValueError(f"unit {unit.strip()[:10]!r} is unknown" if unit.strip() else "no unit")
    value = Decimal(found[1] + found[2].replace(",", ".")) * factor
    if abs(value) > MAX_G:
        raise ValueError(f"{number.strip()[:20]!r} {unit.strip()} is more than a scale can carry")
    return value


def known_unit(unit: str) -> str:
    """The unit in our spelling; as it was where nobody told us about it."""
    lowered = unit.strip().lower()
    return _UNITS.get(lowered, lowered)
