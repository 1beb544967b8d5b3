"""Units of the SenML registry (RFC 8428 §12.1, RFC 8798), normalised to one canonical unit per dimension."""

from __future__ import annotations

from typing import NamedTuple


class Conversion(NamedTuple):
    """value * factor + offset is the value in the canonical unit."""

    unit: str
    factor: float
    offset: float = 0.0


_CONVERSIONS = {
    "/": Conversion("/", 1.0),
    "%": Conversion("/", 0.01),
    "%FL": Conversion("/", 0.01),  # deprecated fill level of RFC 8428, still sent
    "%EL": Conversion("/", 0.01),  # battery
    "%RH": Conversion("%RH", 1.0),
    "m": Conversion("m", 1.0),
    "cm": Conversion("m", 0.01),
    "mm": Conversion("m", 0.001),
    "m3": Conversion("m3", 1.0),
    "l": Conversion("m3", 0.001),
    "kg": Conversion("kg", 1.0),
    "g": Conversion("kg", 0.001),
    "t": Conversion("kg", 1000.0),
    "Cel": Conversion("Cel", 1.0),
    "K": Conversion("Cel", 1.0, -273.15),
    "V": Conversion("V", 1.0),
    "mV": Conversion("V", 0.001),
    "dB": Conversion("dB", 1.0),
    "dBW": Conversion("dBW", 1.0),
    "dBm": Conversion("dBW", 1.0, -30.0),
    "count": Conversion("count", 1.0),
    "s": Conversion("s", 1.0),
    "h": Conversion("s", 3600.0),
    "": Conversion("", 1.0),
}


def conversion(unit: str) -> Conversion | None:
    """How to bring a unit to its canonical one, or None for a unit nobody has told us about."""
    return _CONVERSIONS.get(unit)
