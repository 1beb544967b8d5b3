"""What a kept batch says, derived from its bytes alone, by the reference decoder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tweeling.domain.telemetry import Movement
from tweeling.errors import WireError
from tweeling.ports.audit import BatchRow, MovementRow
from tweeling.ports.journal import NodeEpoch
from tweeling.wire import envelope, topics
from tweeling.wire.ranges import SeqSet

_ANY_SKEW = 2**62  # what was accepted once is not judged again


class UnreadableError(Exception):
    """A batch, or an envelope in it, that says nothing any more."""


@dataclass(slots=True)
class Rederived:
    """Readings of one batch in columns, its weighings, and which seqs it brought."""

    names: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    movements: list[MovementRow] = field(default_factory=list)
    seqs: list[tuple[NodeEpoch, SeqSet]] = field(default_factory=list)


def rederive(row: BatchRow) -> Rederived:
    """Decode a batch again, or raise UnreadableError."""
    said = Rederived()
    for topic, payload, heard_ms, fresh in _envelopes(row):
        try:
            place = topics.parse(topic)
            decoded = envelope.decode(place, payload, now_ms=heard_ms, skew_ms=_ANY_SKEW)
        except WireError as exc:
            raise UnreadableError(f"an envelope on {topic!r} means nothing: {exc}") from exc
        new = decoded.accepted if fresh is None else fresh
        if (fresh is None and decoded.refused) or (new - decoded.accepted):
            raise UnreadableError(f"an envelope on {topic!r} has lost seqs that were committed from it")
        said.seqs.append((NodeEpoch(place.hub, place.node, decoded.epoch), new))
        rows: Any = zip(decoded.names, decoded.times, decoded.values, decoded.seqs, strict=True)
        if new != decoded.accepted:
            rows = (row for row in rows if row[3] in new)
        for name, time_ms, value, _ in rows:
            said.names.append(f"{place.hub}/{name}")
            said.times.append(time_ms)
            said.values.append(value)
        said.movements += [_row(each) for each in decoded.movements if each.identity.seq in new]
    return said


def _envelopes(row: BatchRow) -> Iterator[tuple[str, bytes, int, SeqSet | None]]:
    """Topic, payload, time of judgement, and the seqs that were new (None: all)."""
    at = 0
    try:
        heads = json.loads(row.heads)
        for topic, length, heard_ms, fresh in heads:
            seqs = None if fresh is None else SeqSet.of((first, last) for first, last in fresh)
            yield str(topic), row.body[at : at + length], int(heard_ms), seqs
            at += length
    except (ValueError, TypeError) as exc:
        raise UnreadableError(f"the heads are none: {exc}") from exc
    if at != len(row.body):
        raise UnreadableError(f"the heads tell of {at} bytes, there are {len(row.body)}")


def _row(movement: Movement) -> MovementRow:
    who = movement.identity
    return MovementRow(
        who.hub,
        who.node,
        who.epoch,
        who.seq,
        who.index,
        movement.time_ms,
        movement.zone,
        movement.direction.value,
        movement.net_g,
        movement.gross_g,
        movement.tare_g,
        movement.material,
        movement.partner,
        movement.ticket,
        movement.lot,
    )
