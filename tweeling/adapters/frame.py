"""How a batch's envelopes lie in the journal: their bytes end to end, and a JSON list that tells them apart.

A head is `[topic, length, heard_ms, fresh]`; fresh is null where every seq of the envelope was new, else their ranges.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from tweeling.adapters import intake
from tweeling.domain.telemetry import Movement
from tweeling.errors import InvariantError, WireError
from tweeling.ports.journal import Batch
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Arrival, Parcel, Readings, concatenate
from tweeling.wire.ranges import SeqSet

_ANY_SKEW = 2**62  # what was accepted once is not judged again


class Frame(NamedTuple):
    """The bytes of one batch, as they are kept."""

    heads: str
    body: bytes


def pack(fresh: Sequence[tuple[Arrival, SeqSet | None]]) -> Frame:
    """Lay envelopes end to end."""
    heads = [
        (arrival.topic, len(arrival.payload), arrival.heard_ms, None if seqs is None else seqs.ranges)
        for arrival, seqs in fresh
    ]
    return Frame(json.dumps(heads, separators=(",", ":")), b"".join(arrival.payload for arrival, _ in fresh))


def unpack(frame: Frame) -> list[tuple[str, bytes, int, SeqSet | None]]:
    """Topic, payload, time of judgement and new seqs of each envelope; raise ValueError where these do not fit."""
    rows = []
    at = 0
    for topic, length, heard_ms, fresh in json.loads(frame.heads):
        seqs = None if fresh is None else SeqSet.of((first, last) for first, last in fresh)
        rows.append((topic, frame.body[at : at + length], heard_ms, seqs))
        at += length
    if at != len(frame.body):
        raise ValueError(f"heads tell of {at} bytes, there are {len(frame.body)}")
    return rows


def decode(frame: Frame) -> Iterator[tuple[Parcel, list[SeqSet | None]]]:
    """Decode envelopes again as at their time; with the new seqs of each. Raises WireError, ValueError."""
    decoder = Decoder(skew_ms=_ANY_SKEW)
    for heard_ms, rows in groupby(unpack(frame), key=lambda row: row[2]):
        same = list(rows)
        parcel = decoder.read([(topic, payload) for topic, payload, _, _ in same], now_ms=heard_ms)
        if parcel.suspects or len(parcel.arrivals) != len(same):
            raise WireError(parcel.suspects[0].reason if parcel.suspects else "an envelope is none")
        yield parcel, [fresh for _, _, _, fresh in same]


def rebuild(number: int, recorded_ms: int, late_ms: int, frame: Frame) -> Batch:
    """Make the same batch again from its bytes, or raise InvariantError."""
    readings: list[Readings] = []
    movements: list[Movement] = []
    try:
        for parcel, fresh in decode(frame):
            heads = [(arrival.head, seqs) for arrival, seqs in zip(parcel.arrivals, fresh, strict=True)]
            masks = [np.ones(head.size, bool) if seqs is None else intake.rows_of(head, seqs) for head, seqs in heads]
            readings.append(parcel.readings.where(np.concatenate(masks)))
            movements += [
                movement
                for head, seqs in heads
                for movement in head.movements
                if seqs is None or movement.identity.seq in seqs
            ]
    except (WireError, ValueError) as exc:
        raise InvariantError(f"batch {number} cannot be read any more: {exc}", field="journal") from exc
    return intake.batch(number, recorded_ms, late_ms, concatenate(readings), movements)
