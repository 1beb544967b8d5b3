"""Toledo continuous output: three status bytes of flags, six digits displayed, six digits of tare."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from tweeling_edge.scale.frames import Frame
from tweeling_edge.scale.reading import NotUnderstood, NoWeight, Reading, Said, grams

_ALWAYS: Final = 0x20  # bit 5 of every status byte
_NET, _NEGATIVE, _OUT, _MOTION, _KG, _POWER_UP = 0x01, 0x02, 0x04, 0x08, 0x10, 0x40
_UNIT: Final = 0x07  # of status byte C: 0 says lb or kg, 1 says g
_START_AND_END: Final = 0x02 + 0x0D


def read_toledo(frame: Frame) -> Said:
    """What the 15 bytes between <STX> and <CR> say (9 in the short form, without tare); a trailer is a checksum."""
    body = bytes(byte & 0x7F for byte in frame.body)
    if frame.trailer and (_START_AND_END + sum(body) + frame.trailer[0]) & 0x7F:
        return NotUnderstood("wrong checksum")
    if len(body) not in {9, 15}:
        return NotUnderstood(f"has {len(body)} bytes, not 15 or 9")
    if not body[0] & body[1] & body[2] & _ALWAYS:
        return NotUnderstood("has no status bytes")
    if body[1] & (_OUT | _POWER_UP):
        return NoWeight("out of range" if body[1] & _OUT else "not zeroed since power-up")
    try:
        return _reading(body[:3], body[3:9], body[9:])
    except ValueError as exc:
        return NotUnderstood(str(exc))


def _reading(status: bytes, shown: bytes, tare: bytes) -> Reading:
    a, b, c = status
    unit = _unit(b, c)
    factor = Decimal(10) ** (2 - (a & 0x07))
    weight = grams(_number(shown, factor), unit) * (-1 if b & _NEGATIVE else 1)
    stable = not b & _MOTION
    if not b & _NET:
        return Reading(weight, stable, "gross", weight)
    tare_g = grams(_number(tare, factor), unit) if tare else 0
    return Reading(weight, stable, "net", weight + tare_g, tare_g) if tare_g else Reading(weight, stable, "net")


def _unit(b: int, c: int) -> str:
    match c & _UNIT:
        case 0:
            return "kg" if b & _KG else "lb"
        case 1:
            return "g"
        case other:
            raise ValueError(f"unit code {other} is unknown")


def _number(digits: bytes, factor: Decimal) -> str:
    text = digits.decode("ascii").strip()
    if not text.isdigit():
        raise ValueError(f"{text!r} is no weight")
    return f"{Decimal(text) * factor:f}"
