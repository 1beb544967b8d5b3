"""A sample: what one sensor said at one moment, as the outbox keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tweeling.errors import InvariantError
from tweeling.wire.envelope import Envelope
from tweeling.wire.senml import Resolved, encode
from tweeling_edge.events import Publish

MAX_RECORDS = 32
MAX_BYTES = 8192  # so that the largest pack (120 samples) stays below what a hub takes

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), ensure_ascii=False).encode

Sample = tuple[Resolved, ...]
"""Records that are true together: they share one seq, and are committed or refused as one."""

Bodies = Mapping[int, str]
"""Samples as the outbox keeps them, by seq."""


@dataclass(frozen=True, slots=True)
class Packed:
    """An envelope's bytes, and the seqs whose rows could not be read."""

    payload: bytes
    unreadable: tuple[int, ...]


def to_body(sample: Sample) -> str:
    """Encode a sample for the outbox, or raise InvariantError."""
    if not 1 <= len(sample) <= MAX_RECORDS:
        raise InvariantError(f"has {len(sample)} records, not 1..{MAX_RECORDS}", field="sample")
    try:
        body = _encode(sample)
    except ValueError as exc:
        raise InvariantError("has a value that is not finite", field="sample") from exc
    if len(body.encode()) > MAX_BYTES:
        raise InvariantError(f"is longer than {MAX_BYTES} bytes", field="sample")
    return body


def from_body(body: str) -> Sample:
    """Decode what `to_body` made; raise InvariantError where the disk kept something else."""
    try:
        return tuple(Resolved(*record) for record in json.loads(body))
    except (ValueError, TypeError) as exc:
        raise InvariantError("does not read back", field="sample") from exc


def is_weighing(sample: Sample) -> bool:
    """Whether it holds a weighing, which is never given up."""
    return any(record.weighing is not None for record in sample)


def pack(node: str, epoch: str, command: Publish, bodies: Bodies, *, cbor: bool = False) -> Packed:
    """Make the envelope that a Publish asks for, of the samples that are there."""
    seqs = [seq for seq in command.seqs if seq in bodies]
    runs: list[tuple[int, int, int]] = []
    records: list[Resolved] = []
    unreadable: list[int] = []
    for seq, sample in zip(seqs, _samples([bodies[seq] for seq in seqs]), strict=True):
        if sample is None:
            unreadable.append(seq)
            continue
        records += sample
        if runs and runs[-1][1] == seq - 1 and runs[-1][2] == len(sample):
            runs[-1] = (runs[-1][0], seq, len(sample))
        else:
            runs.append((seq, seq, len(sample)))
    envelope = Envelope(
        node=node,
        epoch=epoch,
        runs=tuple(runs),
        low=command.low,
        dropped=command.dropped,
        ask=command.ask,
        pack=encode(records),
    )
    return Packed(envelope.to_cbor() if cbor else envelope.to_json(), tuple(unreadable))


def _samples(bodies: Sequence[str]) -> Sequence[Sample | None]:
    """Decode all at once; where that fails, one by one, so that one bad row spoils only itself."""
    try:
        told = json.loads(f"[{','.join(bodies)}]")
        if len(told) == len(bodies):
            return [tuple(Resolved(*record) for record in sample) for sample in told]
    except (ValueError, TypeError):
        pass
    return [_sample(body) for body in bodies]


def _sample(body: str) -> Sample | None:
    try:
        return from_body(body)
    except InvariantError:
        return None
