"""The envelope a node publishes, and how a hub reads it.

`{v, node, epoch, runs: [[first, last, records]…], low, dropped: [[first, last, reason]…], ask, pack: [SenML…]}`

A run says that each seq from first to last owns the next `records` records of the pack. `low` is the oldest seq the
node still holds; a seq above it that the hub lacks and that `dropped` does not name is a gap. `ask` asks for every
range the hub knows of this epoch. JSON or CBOR, told apart by the first byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import cbor2
from pydantic import BaseModel, Field, ValidationError

from tweeling.domain import cborscan, units
from tweeling.domain.ids import Epoch, NodeId
from tweeling.domain.telemetry import FILLING_LEVEL, Direction, Identity, Movement
from tweeling.errors import WireError
from tweeling.wire import senml
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Topic

MAX_BYTES = 1 << 20
MAX_RECORDS = 10_000
_SHARES = frozenset({"/", ""})  # without a unit, a number is taken for what the attribute says
MAX_SEQ = 2**53 - 1  # exact in every language that reads JSON, and far from what SQL can add up
_MAX_DROPPED_SEQS = 2**40  # of one envelope
_MAX_DROPPED = 1000  # ranges
_MAX_DEPTH = 8
_MAX_KEYS = 64  # of one map in CBOR
_DIRECTIONS = frozenset(Direction)

Seq = Annotated[int, Field(ge=1, le=MAX_SEQ)]
Reason = Annotated[str, Field(max_length=200)]


class Envelope(BaseModel, frozen=True, extra="forbid", strict=True):
    """One message of a node, as it travels; the pack is still unread."""

    v: Literal[1] = 1
    node: NodeId
    epoch: Epoch
    runs: Annotated[
        tuple[tuple[Seq, Seq, Annotated[int, Field(ge=1, le=MAX_RECORDS)]], ...], Field(max_length=MAX_RECORDS)
    ] = ()
    low: Seq = 1
    dropped: Annotated[tuple[tuple[Seq, Seq, Reason], ...], Field(max_length=_MAX_DROPPED)] = ()
    ask: bool = False
    pack: list[Any] = Field(default=[], max_length=MAX_RECORDS)

    def seqs(self) -> SeqSet:
        """Every seq that travels here."""
        return SeqSet.of((first, last) for first, last, _ in self.runs)

    def owners(self) -> Iterator[tuple[int, int]]:
        """The (seq, index) of every record of the pack, in order."""
        for first, last, records in self.runs:
            for seq in range(first, last + 1):
                for index in range(records):
                    yield seq, index

    def to_json(self) -> bytes:
        """Encode as JSON."""
        return self.model_dump_json(exclude_defaults=True, exclude={"v"}).replace("{", '{"v":1,', 1).encode()

    def to_cbor(self) -> bytes:
        """Encode as CBOR, SenML labels as integers."""
        body = {"v": self.v, **self.model_dump(exclude_defaults=True, exclude={"v", "pack"})}
        if self.pack:
            body["pack"] = [senml.to_cbor(record) for record in self.pack]
        return cbor2.dumps(body)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What an envelope means: readings in columns, weighings, and the seqs that mean nothing."""

    hub: str
    node: str
    epoch: str
    low: int
    dropped: tuple[tuple[int, int, str], ...]
    ask: bool
    accepted: SeqSet
    refused: tuple[tuple[int, int, str], ...]
    names: tuple[str, ...]  # thing/property of each reading
    times: tuple[int, ...]  # milliseconds
    values: tuple[float, ...]  # in the canonical unit
    units: tuple[str, ...]  # canonical
    seqs: tuple[int, ...]
    movements: tuple[Movement, ...]


def parse(topic: Topic, payload: bytes) -> Envelope:
    """Read one payload, JSON or CBOR, or raise WireError naming the field."""
    if len(payload) > MAX_BYTES:
        raise WireError(f"payload of {len(payload)} bytes is over {MAX_BYTES}")
    try:
        if payload[:1] == b"{":
            envelope = Envelope.model_validate_json(payload)
        else:
            envelope = Envelope.model_validate(_from_cbor(payload))
    except ValidationError as exc:
        raise WireError(_first_problem(exc)) from exc
    _check(topic, envelope)
    return envelope


def _check(topic: Topic, envelope: Envelope) -> None:
    """Raise WireError for an envelope whose parts contradict each other or its topic."""
    if "v" not in envelope.model_fields_set:
        raise WireError("v: missing")
    if envelope.node != topic.node:
        raise WireError(f"node: payload says {envelope.node!r}, topic says {topic.node!r}")
    for name, ranges in (("runs", envelope.runs), ("dropped", envelope.dropped)):
        for first, last, _ in ranges:
            if last < first:
                raise WireError(f"{name}: [{first}, {last}] runs backwards")
    seqs = sum(last - first + 1 for first, last, _ in envelope.runs)
    owned = sum((last - first + 1) * records for first, last, records in envelope.runs)
    if owned != len(envelope.pack):
        raise WireError(f"runs: own {owned} records, the pack holds {len(envelope.pack)}")
    if len(envelope.seqs()) != seqs:
        raise WireError("runs: overlap")
    dropped = sum(last - first + 1 for first, last, _ in envelope.dropped)
    if dropped > _MAX_DROPPED_SEQS:
        raise WireError(f"dropped: {dropped} seqs are over {_MAX_DROPPED_SEQS}")


def _from_cbor(payload: bytes) -> object:
    try:
        cborscan.check(payload, max_depth=_MAX_DEPTH, max_keys=_MAX_KEYS, floats=True)
        body = cbor2.loads(payload, max_depth=_MAX_DEPTH)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, MemoryError, RecursionError) as exc:
        raise WireError(f"neither JSON nor CBOR: {str(exc)[:120]}") from exc
    if not isinstance(body, dict):
        raise WireError("payload is not a map")
    for key in ("runs", "dropped"):
        if isinstance(body.get(key), list):
            body[key] = tuple(tuple(row) if isinstance(row, list) else row for row in body[key])
    if isinstance(body.get("pack"), list):
        body["pack"] = [senml.from_cbor(record) for record in body["pack"]]
    return body


def _first_problem(exc: ValidationError) -> str:
    problem = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in problem["loc"])[:120] or "payload"
    # A key of theirs may hold anything; a reason is one line in logs and lists.
    return f"{''.join(char if char.isprintable() else '?' for char in where)}: {problem['msg'][:160]}"


def decode(topic: Topic, payload: bytes, *, now_ms: int, skew_ms: int) -> Decoded:
    """Read one payload and its pack.

    A record that means nothing, has a unit nobody knows, or claims a time later than now + skew refuses its whole
    seq, with the reason; the other seqs of the envelope stand. Raises WireError when nothing in it can be trusted.
    """
    envelope = parse(topic, payload)
    rows = senml.resolve(_records(envelope.pack), now_ms=now_ms)
    refused: dict[int, str] = {}
    readings: list[tuple[int, str, int, float, str]] = []
    movements: list[tuple[int, Movement]] = []
    for (seq, index), row in zip(envelope.owners(), rows, strict=True):
        if isinstance(row, senml.Unresolved):
            refused.setdefault(seq, row.reason)
        elif row.time_ms > now_ms + skew_ms:
            refused.setdefault(seq, f"time is {(row.time_ms - now_ms) / 1000:.0f} s in the future")
        else:
            try:
                if row.weighing is None:
                    readings.append((seq, row.name, row.time_ms, *_canonical(row)))
                else:
                    movements.append((seq, _movement(Identity(topic.hub, topic.node, envelope.epoch, seq, index), row)))
            except ValidationError as exc:
                refused.setdefault(seq, f"weighing: {_first_problem(exc)}"[:200])
            except ValueError as exc:
                refused.setdefault(seq, str(exc)[:200])
    if refused:
        readings = [reading for reading in readings if reading[0] not in refused]
        movements = [movement for movement in movements if movement[0] not in refused]
    seqs, names, times, values, canonical = zip(*readings, strict=True) if readings else ((), (), (), (), ())
    return Decoded(
        topic.hub,
        topic.node,
        envelope.epoch,
        envelope.low,
        envelope.dropped,
        envelope.ask,
        envelope.seqs() - SeqSet.from_seqs(refused),
        tuple((seq, seq, reason) for seq, reason in sorted(refused.items())),
        names,
        times,
        values,
        canonical,
        seqs,
        tuple(movement for _, movement in movements),
    )


def _records(pack: Sequence[Any]) -> Sequence[senml.Record | senml.Unresolved]:
    """Validate the pack at once; where that fails, one by one, so that one bad record spoils only its seq."""
    try:
        return senml.PACK.validate_python(pack)
    except ValidationError:
        return [_record(raw) for raw in pack]


def _record(raw: object) -> senml.Record | senml.Unresolved:
    try:
        return senml.RECORD.validate_python(raw)
    except ValidationError as exc:
        return senml.Unresolved(_first_problem(exc)[:200], senml.base_of(raw))


def fits(name: str, conversion: units.Conversion) -> bool:
    """Whether a unit can be that of an attribute: a fillingLevel is a share."""
    return conversion.unit in _SHARES or not name.endswith(f"/{FILLING_LEVEL}")


def _canonical(row: senml.Resolved) -> tuple[float, str]:
    """The value in the canonical unit of its dimension, and that unit."""
    conversion = units.conversion(row.unit)
    if conversion is None:
        raise ValueError(f"unit {row.unit[:32]!r} is unknown")
    if not fits(row.name, conversion):
        raise ValueError(f"fillingLevel is a share, of unit / or %, not {row.unit}")
    value = row.value * conversion.factor + conversion.offset
    if not math.isfinite(value):
        raise ValueError("value is too large")
    return value, conversion.unit


def _movement(identity: Identity, row: senml.Resolved) -> Movement:
    weighing = row.weighing or {}
    if row.unit != "g" or not isinstance(row.value, int):
        raise ValueError(f"weighing: an integer of unit g, not {row.value!r} {row.unit[:32]!r}"[:200])
    if weighing["mv_"] not in _DIRECTIONS:
        raise ValueError(f"weighing: direction {weighing['mv_'][:32]!r} is neither in nor out")
    return Movement(
        identity=identity,
        time_ms=row.time_ms,
        zone=row.name.split("/")[0],
        direction=Direction(weighing["mv_"]),
        net_g=row.value,
        gross_g=weighing.get("grs"),
        tare_g=weighing.get("tar"),
        material=weighing.get("mat", ""),
        partner=weighing.get("par"),
        ticket=weighing.get("tkt"),
        lot=weighing.get("lot"),
    )
