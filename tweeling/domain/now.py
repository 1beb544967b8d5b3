"""What is so now, as screens and interfaces show it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class ThingNow(NamedTuple):
    """A zone of the region, or any other container that reports a fillingLevel.

    fill: 0..1 or None before the first reading. stock_g: exact ledger of weighings per material, {material: grams}.
    """

    hub: str
    thing: str
    name: str
    fill: float | None
    time_ms: int | None
    quality: int
    stock_g: dict[str, int]
    capacity_m3: float | None


class ProofState(StrEnum):
    """How far a custody event has come."""

    PENDING = "pending"  # sequenced and durable, under no anchored checkpoint yet
    ANCHORED = "anchored"  # under a checkpoint that the chain holds


@dataclass(frozen=True, slots=True)
class EventNow:
    """A custody event in one line."""

    index: int
    event_id: str
    type: str
    biz_step: str
    time_ms: int
    lots: tuple[str, ...]
    mass_g: int | None
    submitter: str
    state: ProofState
    block: int | None


class NodeNow(NamedTuple):
    """An edge node's presence. alarm: what an operator should know of it, empty where all is well."""

    hub: str
    node: str
    online: bool
    since_ms: int
    queued: int
    alarm: str = ""


class PartNow(NamedTuple):
    """The health of one part: broker, ingest, store, log, ledger, forecast …; detail says what is known."""

    part: str
    ok: bool
    detail: str
