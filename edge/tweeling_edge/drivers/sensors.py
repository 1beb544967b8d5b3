"""One thing that is measured: its name, its unit, and how what the device says becomes what is sent."""

from __future__ import annotations

import math
import re

from pydantic import Field, field_validator, model_validator

from tweeling.domain import units
from tweeling.wire.envelope import fits
from tweeling.wire.senml import is_name
from tweeling_edge.drivers import Look
from tweeling_edge.settings import Section

_NUMBER = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_SHOWN = 60  # characters of what a device said


class Conversion(Section):
    """How raw values become what is sent: raw * scale + offset, of a unit.

    Nothing is left out or cut for being implausible: the hub marks quality, and raw evidence is worth more than none.
    """

    unit: str = Field("", max_length=16, description="the SenML unit of what is sent, such as %, /, Cel, kg or m")
    scale: float = Field(1, allow_inf_nan=False, description="a number to multiply the raw value by, not 0")
    offset: float = Field(0, allow_inf_nan=False, description="a number to add after that, of the unit sent")

    @field_validator("unit")
    @classmethod
    def _known(cls, unit: str) -> str:
        if units.conversion(unit) is None:
            raise ValueError(f"the hub knows no unit {unit!r}")
        return unit

    @field_validator("scale")
    @classmethod
    def _tells_something(cls, scale: float) -> float:
        if scale == 0:
            raise ValueError("a scale of 0 would send the offset, whatever is measured")
        return scale

    def apply(self, raw: float) -> float | int:
        """The value that is sent for a raw one; a whole number stays one where nothing is to be converted."""
        if self.scale == 1 and self.offset == 0:
            return raw
        return float(f"{raw * self.scale + self.offset:.12g}")  # 23 * 0.1 is 2.3, not 2.3000000000000003

    def look(self, name: str, said: object, time_ms: int | None = None) -> Look:
        """What a sensor of this name says when its device says this: a number, or text that is one."""
        raw = _shown(said)
        value = number(said)
        if value is None:
            return Look(name, raw, wrong="is no number", remedy="See whether this is the value that is meant")
        sent = self.apply(value)
        if not math.isfinite(sent):
            return Look(name, raw, wrong="is no finite number", remedy="See `scale`")
        return Look(name, raw, sent, self.unit, time_ms)


class Sensor(Conversion):
    """A conversion and the name of what it is for."""

    name: str = Field(description="what is measured, thing/attribute, such as H1-A/fillingLevel")

    @field_validator("name")
    @classmethod
    def _a_name(cls, name: str) -> str:
        if not is_name(name):
            raise ValueError(f"{name[:140]!r} is no thing/attribute")
        return name

    @model_validator(mode="after")
    def _unit_fits(self) -> Sensor:
        check_unit(self.name, self.unit)
        return self


def check_unit(name: str, unit: str) -> None:
    """Raise ValueError where the hub would refuse every reading of this name for its unit."""
    known = units.conversion(unit)
    if known is not None and not fits(name, known):
        raise ValueError(f"fillingLevel is a share, of unit / or %, not {unit or 'none'}")


def number(said: object) -> float | int | None:
    """The number that a device said, as number, as text or as yes (1) and no (0); None where it said none."""
    if isinstance(said, bool):
        return int(said)
    if isinstance(said, (int, float)):
        return said if _finite(said) else None
    if isinstance(said, str) and len(said) <= _SHOWN and _NUMBER.fullmatch(said):
        value = float(said)
        return value if math.isfinite(value) else None
    return None


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _shown(said: object) -> str:
    text = str(said).strip()
    text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "".join(char if char.isprintable() else "?" for char in text)
