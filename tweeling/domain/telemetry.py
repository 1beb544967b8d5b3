"""Readings and weighings, as the hub understands them after the border."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from pydantic import BaseModel, Field, model_validator

from tweeling.domain.ids import Epoch, Grams, HubId, NodeId


class Quality(IntEnum):
    """How far a point may be trusted."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    HISTORICAL = 3  # delivered late on purpose: true then, no news now
    ESTIMATED = 4


class Direction(StrEnum):
    """Which way a weighed load went, seen from the hub."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """What makes a weighing itself: two equal ones in one millisecond stay two."""

    hub: HubId
    node: NodeId
    epoch: Epoch
    seq: int
    index: int


_TEXT = r"^[^\x00]*$"  # PostgreSQL's text knows no NUL


class Movement(BaseModel, frozen=True, extra="forbid"):
    """One weighed load in or out of a zone: an event with identity, exact in grams."""

    identity: Identity
    time_ms: int
    zone: str = Field(min_length=1, max_length=64)
    direction: Direction
    net_g: Grams = Field(ge=0, le=10**12)
    gross_g: Grams | None = Field(default=None, ge=0, le=10**12)
    tare_g: Grams | None = Field(default=None, ge=0, le=10**12)
    material: str = Field(max_length=64, pattern=_TEXT)
    partner: str | None = Field(default=None, max_length=64, pattern=_TEXT)
    ticket: str | None = Field(default=None, max_length=64, pattern=_TEXT)
    lot: str | None = Field(default=None, max_length=256, pattern=_TEXT)

    @model_validator(mode="after")
    def _scale_adds_up(self) -> Movement:
        if self.gross_g is not None and self.tare_g is not None and self.gross_g - self.tare_g != self.net_g:
            raise ValueError(f"gross {self.gross_g} g - tare {self.tare_g} g is not net {self.net_g} g")
        return self


class Series(NamedTuple):
    """One measured attribute of one thing in one hub; `fillingLevel` (0..1) is Smart Data Models' word."""

    hub: HubId
    thing: str
    attribute: str

    @property
    def key(self) -> str:
        """The name under which a store keeps it: `hub/thing/attribute`."""
        return "/".join(self)

    @classmethod
    def parse(cls, key: str) -> Series:
        """Read a key back; raise ValueError if it has not three parts."""
        hub, thing, attribute = key.split("/")
        return cls(hub, thing, attribute)


FILLING_LEVEL = "fillingLevel"
"""Share of a container or zone that is full, 0..1 (Smart Data Models, WasteContainer)."""
