"""Modbus without a wire: what registers mean, and how to read as many as possible with as few questions."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from tweeling_edge.drivers.sensors import Sensor

Table = Literal["holding", "input", "coil", "discrete"]
Type = Literal["int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64", "bit"]
Order = Literal["ABCD", "CDAB", "BADC", "DCBA"]

LIMITS: Mapping[Table, int] = {"holding": 125, "input": 125, "coil": 2000, "discrete": 2000}
"""How many one question may ask for (Modbus Application Protocol 1.1b3, §6)."""

_FORMATS: Mapping[Type, str] = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
_EXCEPTIONS = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledged, still busy",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}


class Register(Sensor):
    """One value of a device: where it stands, how it is coded, and what it is."""

    device: int = Field(1, ge=0, le=255, description="the device's number on the bus (unit id), 0..255")
    table: Table = Field("holding", description="holding, input, coil or discrete")
    address: int = Field(
        ge=0, le=65_535, description="as on the wire, from 0: what a manual calls 40101 is holding 100"
    )
    type: Type = Field("uint16", description=f"one of {', '.join(_FORMATS)}; coils and discrete inputs are bits")
    order: Order = Field(
        "ABCD", description="the order of bytes: ABCD, CDAB (words swapped), BADC (bytes swapped) or DCBA"
    )
    invalid: tuple[int | float, ...] = Field((), description="raw values that mean nothing, such as [65535]")

    @model_validator(mode="before")
    @classmethod
    def _coils_are_bits(cls, raw: object) -> object:
        if isinstance(raw, Mapping) and raw.get("table") in {"coil", "discrete"}:
            return {"type": "bit", **raw}
        return raw

    @model_validator(mode="after")
    def _fits_its_table(self) -> Register:
        if (self.type == "bit") != (self.table in {"coil", "discrete"}):
            raise ValueError(f"a {self.table} has no {self.type}")
        if self.address + self.words > 65_536:
            raise ValueError(f"{self.type} at {self.address} ends beyond register 65535")
        return self

    @property
    def words(self) -> int:
        """How many addresses it takes."""
        return 1 if self.type == "bit" else struct.calcsize(_FORMATS[self.type]) // 2

    def value(self, words: Sequence[int]) -> float | int:
        """The raw value of these words (bits: 0 or 1), which may be no finite number."""
        if self.type == "bit":
            return int(words[0])
        ordered = words if self.order in {"ABCD", "BADC"} else words[::-1]
        swapped = self.order in {"BADC", "DCBA"}
        raw = b"".join(word.to_bytes(2, "little" if swapped else "big") for word in ordered)
        (value,) = struct.unpack(f">{_FORMATS[self.type]}", raw)
        return _shortest(value) if self.type == "float32" else value


class Question(NamedTuple):
    """Neighbouring registers of one device that one request reads."""

    device: int
    table: Table
    address: int
    size: int
    registers: tuple[Register, ...]

    def answers(self, words: Sequence[int]) -> Iterable[tuple[Register, Sequence[int]]]:
        """The words of each register, of all that were read."""
        for register in self.registers:
            start = register.address - self.address
            yield register, words[start : start + register.words]


def questions(registers: Iterable[Register]) -> list[Question]:
    """The fewest requests that read all registers and nothing between them: devices forbid what they do not have."""
    asked: list[Question] = []
    for register in sorted(registers, key=attrgetter("device", "table", "address", "words")):
        last = asked[-1] if asked else None
        if last is not None and (joined := _joined(last, register)) is not None:
            asked[-1] = joined
        else:
            asked.append(Question(register.device, register.table, register.address, register.words, (register,)))
    return asked


def alone(question: Question) -> list[Question]:
    """The same, each register on its own: one that a device forbids hinders no other."""
    return [
        Question(question.device, question.table, register.address, register.words, (register,))
        for register in question.registers
    ]


def exception(code: int) -> str:
    """The name of a Modbus exception (§7)."""
    return _EXCEPTIONS.get(code, f"exception {code}")


def _joined(question: Question, register: Register) -> Question | None:
    if (register.device, register.table) != (question.device, question.table):
        return None
    if register.address > question.address + question.size:
        return None
    size = max(question.size, register.address + register.words - question.address)
    if size > LIMITS[question.table]:
        return None
    return question._replace(size=size, registers=(*question.registers, register))


def _shortest(value: float) -> float:
    """The shortest number that is this float32: 12.3, not 12.300000190734863."""
    if not math.isfinite(value):
        return value
    texts = (f"{value:.{digits}g}" for digits in range(6, 10))
    return next((float(text) for text in texts if _float32(float(text)) == value), value)


def _float32(value: float) -> float | None:
    try:
        (nearest,) = struct.unpack(">f", struct.pack(">f", value))
    except OverflowError:  # rounded up beyond the largest
        return None
    return float(nearest)
