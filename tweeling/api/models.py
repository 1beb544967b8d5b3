"""What the interface answers, as its OpenAPI document tells it. Times are milliseconds UTC, masses grams."""

from __future__ import annotations

import base64
from dataclasses import asdict
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from tweeling.domain.forecast import Forecast
from tweeling.domain.now import ProofState
from tweeling.domain.telemetry import FILLING_LEVEL, Direction
from tweeling.errors import Trouble
from tweeling.ports.journal import Quarantined
from tweeling.services.corrections import Weighed


class Answer(BaseModel):
    """A value of the core, read by its attributes."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class Part(Answer):
    """The health of one part."""

    part: str
    ok: bool
    detail: str


class Node(Answer):
    """An edge node's presence."""

    hub: str
    node: str
    online: bool
    since_ms: int
    queued: int
    alarm: str = Field(description="what an operator should know of it, empty where all is well")


class Gaps(Answer):
    """Seqs that nodes have sent past and the hub has not."""

    seqs: int
    outboxes: int
    oldest_s: float


class Disk(Answer):
    """Bytes of the data folder, and what is free where it is."""

    used: int
    free: int


class LedgerSigns(Answer):
    """How anchoring goes; see `tweeling.domain.vitals`."""

    trouble: Trouble | None = Field(description="what keeps it from going on")
    unconfirmed: int = Field(description="anchors that too few blocks confirm")
    confirmations: int | None = Field(description="of the newest of these")
    wanted: int = Field(description="confirmations before an event is anchored")
    reorganisations: int = Field(description="that took anchors back, since start")
    price_wei: int | None = Field(description="of a unit of gas, when last asked")
    most_wei: int | None = Field(description="the dearest that is paid; null for any price")


class Vitals(Answer):
    """A hub's vital signs; see `tweeling.domain.vitals`. null: not known yet."""

    readings_per_s: float | None = Field(description="over the last ten seconds")
    readings_per_s_minute: float | None
    lag_batches: int
    lag_s: float
    gaps: Gaps
    quarantined: int
    quarantine_reason: str = Field(description="of the newest message in quarantine")
    journal_batches: int
    journal_bytes: int
    pending: int = Field(description="custody events that the chain does not hold yet")
    anchor_age_s: float | None
    anchors_left: int | None
    ledger: LedgerSigns | None = Field(description="null where no chain is configured")
    disk: Disk
    disk_growth: float | None = Field(description="bytes a day")
    disk_days: float | None = Field(description="until the disk is full; null also where the data does not grow")


class Status(Answer):
    """How the whole is, and what went through it. vitals: null while the journal does not answer."""

    now_ms: int
    ok: bool
    parts: list[Part]
    nodes: list[Node]
    counts: dict[str, int]
    vitals: Vitals | None


class Thing(Answer):
    """A zone, or any other container that reports. fill: 0..1; null before its first reading."""

    hub: str
    thing: str
    name: str
    fill: float | None
    time_ms: int | None
    quality: int
    stock_g: dict[str, int]
    capacity_m3: float | None


class History(Answer):
    """Hourly means; hours without readings are left out."""

    hub: str
    thing: str
    attribute: str = FILLING_LEVEL
    times_ms: list[int]
    values: list[float]


class Score(Answer):
    """How a model did on past cutoffs."""

    model: str
    crps: float
    coverage80: float
    cutoffs: int


class ForecastAnswer(Answer):
    """Quantiles at the end of each step; hours_to_full: P10, P50, P90, null beyond the horizon."""

    series: str
    cutoff_ms: int
    step_ms: int
    times_ms: list[int]
    quantiles: dict[str, list[float]]
    full: float
    p_full: float
    hours_to_full: list[float | None]
    served: str
    scores: list[Score]

    @classmethod
    def of(cls, forecast: Forecast) -> ForecastAnswer:
        """Levels become JSON's keys: "0.1", "0.5", "0.9"."""
        named = forecast._asdict() | {"quantiles": {str(level): q for level, q in forecast.quantiles.items()}}
        return cls.model_validate(named | {"scores": [score._asdict() for score in forecast.scores]})


class Event(Answer):
    """A custody event in one line."""

    index: int
    event_id: str
    type: str
    biz_step: str
    time_ms: int
    lots: list[str]
    mass_g: int | None
    submitter: str
    state: ProofState
    block: int | None


class PointsHeld(Answer):
    """A time-series store in short; see the port `TimeSeriesStore`."""

    count: int
    applied: int
    precision: float
    kept_from_ms: int
    removed: int


class Correction(Answer):
    """Who corrected a weighing, whose right it was, why and when."""

    by: str
    token: str
    reason: str
    time_ms: int


class Weighing(Answer):
    """A weighed load by its row number. correction: of it (where `corrected`), or what it is part of."""

    number: int
    hub: str
    node: str
    epoch: str
    seq: int
    index: int
    time_ms: int
    zone: str
    direction: Direction
    net_g: int
    gross_g: int | None
    tare_g: int | None
    material: str
    partner: str | None
    ticket: str | None
    lot: str | None
    corrected: bool
    correction: Correction | None

    @classmethod
    def of(cls, row: Weighed) -> Self:
        """Its identity becomes fields beside the others."""
        correction = None if row.correction is None else row.correction._asdict()
        told = {**row.movement.model_dump(exclude={"identity"}), **asdict(row.movement.identity)}
        return cls.model_validate({**told, "number": row.number, "corrected": row.corrected, "correction": correction})


class Corrected(Answer):
    """A weighing was taken back."""

    number: int


class Message(Answer):
    """A message in quarantine. size: bytes of its payload; seen: how often exactly these bytes came on this topic."""

    id: int
    recorded_ms: int
    topic: str
    reason: str
    size: int
    seen: int

    @classmethod
    def of(cls, kept: Quarantined) -> Self:
        """Without its bytes, unless the model has room for them."""
        row = {"id": kept.id, "recorded_ms": kept.recorded_ms, "seen": kept.seen, **kept.suspect._asdict()}
        payload = kept.suspect.payload
        return cls.model_validate(row | {"size": len(payload), "payload": base64.b64encode(payload)})


class WholeMessage(Message):
    """A message in quarantine, with its bytes in base64."""

    payload: str


class ReplayAnswer(Answer):
    """What came of messages replayed; before: the id below which others may be left."""

    replayed: int
    readings: int
    movements: int
    suspect: int
    before: int | None


class CapturedEvent(BaseModel):
    """Where a captured event stands in the log."""

    event_id: str = Field(serialization_alias="eventID")
    index: int
    receipt: str
