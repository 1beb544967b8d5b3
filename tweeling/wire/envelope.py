"""The envelope a node publishes, and how a hub reads it.

`{v, node, epoch, runs: [[first, last, records]…], low, dropped: [[first, last, reason]…], ask, pack: [SenML…]}`

A run says that each seq from first to last owns the next `records` records of the pack. `low` is the oldest seq the
node still holds; a seq above it that the hub lacks and that `dropped` does not name is a gap. `ask` asks for every
range the hub knows of this epoch. JSON or CBOR, told apart by the first byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Annotated, Any, Literal

import cbor2
from pydantic import BaseModel, Field, ValidationError

from tweeling.domain.ids import Epoch, NodeId
from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.errors import WireError
from tweeling.wire import senml
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Topic

MAX_BYTES = 1 << 20
MAX_RECORDS = 10_000
_MAX_SEQ = 2**63 - 1

Seq = Annotated[int, Field(ge=1, le=_MAX_SEQ)]
Reason = Annotated[str, Field(max_length=200)]


class Envelope(BaseModel, frozen=True, extra="forbid", strict=True):
    """One message of a node, as it travels; the pack is still unread."""

    v: Literal[1] = 1
    node: NodeId
    epoch: Epoch
    runs: tuple[tuple[Seq, Seq, Annotated[int, Field(ge=1, le=MAX_RECORDS)]], ...] = ()
    low: Seq = 1
    dropped: tuple[tuple[Seq, Seq, Reason], ...] = ()
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
    values: tuple[float, ...]
    units: tuple[str, ...]
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
    if envelope.node != topic.node:
        raise WireError(f"node: payload says {envelope.node!r}, topic says {topic.node!r}")
    owned = 0
    for first, last, records in envelope.runs:
        if last < first:
            raise WireError(f"runs: [{first}, {last}] runs backwards")
        owned += (last - first + 1) * records
        if owned > MAX_RECORDS:
            raise WireError(f"runs: more than {MAX_RECORDS} records")
    if owned != len(envelope.pack):
        raise WireError(f"runs: own {owned} records, the pack holds {len(envelope.pack)}")
    if len(envelope.seqs()) != sum(last - first + 1 for first, last, _ in envelope.runs):
        raise WireError("runs: overlap")
    for first, last, _ in envelope.dropped:
        if last < first:
            raise WireError(f"dropped: [{first}, {last}] runs backwards")
    return envelope


def _from_cbor(payload: bytes) -> object:
    stream = BytesIO(payload)
    try:
        body = cbor2.load(stream, max_depth=8)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, MemoryError, RecursionError) as exc:
        raise WireError(f"neither JSON nor CBOR: {str(exc)[:120]}") from exc
    if stream.read(1):
        raise WireError("bytes follow the CBOR item")
    if not isinstance(body, dict):
        raise WireError("payload is not a map")
    for key in ("runs", "dropped"):
        if isinstance(body.get(key), list):
            body[key] = tuple(tuple(row) if isinstance(row, list) else row for row in body[key])
    if isinstance(body.get("pack"), list):
        body["pack"] = [senml.from_cbor(record) for record in body["pack"]]
    return body


def _first_problem(exc: ValidationError) -> str:
    problem = exc.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "payload"
    return f"{where[:120]}: {problem['msg'][:160]}"


def decode(topic: Topic, payload: bytes, *, now_ms: int, skew_ms: int) -> Decoded:
    """Read one payload and its pack.

    A record that means nothing, or that claims a time later than now + skew, refuses its whole seq, with the reason;
    the other seqs of the envelope stand. Raises WireError when nothing in it can be trusted.
    """
    envelope = parse(topic, payload)
    rows = senml.resolve(_records(envelope.pack), now_ms=now_ms)
    refused: dict[int, str] = {}
    owners = list(envelope.owners())
    movements: dict[tuple[int, int], Movement] = {}
    for (seq, index), row in zip(owners, rows, strict=True):
        if isinstance(row, senml.Unresolved):
            refused.setdefault(seq, row.reason)
        elif row.time_ms > now_ms + skew_ms:
            refused.setdefault(seq, f"time is {(row.time_ms - now_ms) / 1000:.0f} s in the future")
        elif row.weighing is not None:
            identity = Identity(topic.hub, topic.node, envelope.epoch, seq, index)
            try:
                movements[seq, index] = _movement(identity, row)
            except (ValidationError, ValueError) as exc:
                problem = _first_problem(exc) if isinstance(exc, ValidationError) else str(exc)
                refused.setdefault(seq, f"weighing: {problem}"[:200])
    points = [
        (row, owner[0])
        for owner, row in zip(owners, rows, strict=True)
        if owner[0] not in refused and isinstance(row, senml.Resolved) and row.weighing is None
    ]
    return Decoded(
        topic.hub,
        topic.node,
        envelope.epoch,
        envelope.low,
        envelope.dropped,
        envelope.ask,
        envelope.seqs() - SeqSet.from_seqs(refused),
        tuple((seq, seq, reason) for seq, reason in sorted(refused.items())),
        tuple(row.name for row, _ in points),
        tuple(row.time_ms for row, _ in points),
        tuple(float(row.value) for row, _ in points),
        tuple(row.unit for row, _ in points),
        tuple(seq for _, seq in points),
        tuple(movement for (seq, _), movement in movements.items() if seq not in refused),
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
        return senml.Unresolved(_first_problem(exc)[:200])


def _movement(identity: Identity, row: senml.Resolved) -> Movement:
    weighing = row.weighing or {}
    if row.unit != "g" or not isinstance(row.value, int):
        raise ValueError(f"a weighing is an integer of unit g, not {row.value!r} {row.unit!r}")
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
