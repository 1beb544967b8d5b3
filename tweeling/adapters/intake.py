"""What of an arrival is new, and its columns: the arithmetic that every journal shares."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from tweeling.domain.points import Points
from tweeling.domain.telemetry import Movement, Quality
from tweeling.ports.journal import Arrival, Batch, Settled, Suspect
from tweeling.wire.envelope import Decoded
from tweeling.wire.ranges import SeqSet

LATE_MS = 3_600_000
"""A reading that comes later than this is historical: true then, no news now."""

TOTALS = ("readings", "movements", "batches", "quarantined", "refused", "dropped", "repeated", "quarantine_dropped")
"""What every journal counts."""

MAX_TOTAL = 2**53 - 1
"""Where a total stays: exact as a number of JSON, and no sum of two leaves 64 bits."""


class Keep(NamedTuple):
    """How much quarantine is kept, the newest; junk must not fill the disk."""

    rows: int = 100_000
    bytes: int = 256 << 20


KEEP = Keep()


class Taken(NamedTuple):
    """What one envelope adds to a node's epoch, and what is known after it."""

    committed: SeqSet
    refused: SeqSet
    dropped: SeqSet
    repeated: int
    after: Settled


def take(decoded: Decoded, known: Settled) -> Taken:
    """Keep what is new: the first word on a seq stands, and only a seq that never came can be dropped."""
    came_refused = SeqSet.of((first, last) for first, last, _ in decoded.refused)
    done = known.committed | known.refused
    committed = decoded.accepted - done
    refused = came_refused - done
    dropped = (
        SeqSet.of((first, last) for first, last, _ in decoded.dropped) - done - committed - refused - known.dropped
    )
    after = Settled(
        known.committed | committed,
        known.refused | refused,
        (known.dropped | dropped) - committed - refused,
    )
    repeated = len(decoded.accepted) + len(came_refused) - len(committed) - len(refused)
    return Taken(committed, refused, dropped, repeated, after)


def evidence(arrival: Arrival, refused: SeqSet) -> Suspect:
    """An envelope with refused seqs as a suspect, its reasons in one line."""
    reasons = [f"seq {first}: {reason}" for first, _, reason in arrival.decoded.refused if first in refused]
    more = f"; and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return Suspect(arrival.topic, arrival.payload, "; ".join(reasons[:3]) + more)


def size(suspect: Suspect) -> int:
    """The bytes a suspect takes in quarantine."""
    return len(suspect.topic.encode()) + len(suspect.payload) + len(suspect.reason.encode())


def batch(number: int, recorded_ms: int, late_ms: int, taken: Iterable[tuple[Decoded, SeqSet]]) -> Batch:
    """Make the columns and movements of what was new; the same input always gives the same batch."""
    codes: dict[str, int] = {}
    series: list[int] = []
    times: list[int] = []
    values: list[float] = []
    movements: list[Movement] = []
    for decoded, fresh in taken:
        all_new = fresh == decoded.accepted
        for name, time_ms, value, seq in zip(decoded.names, decoded.times, decoded.values, decoded.seqs, strict=True):
            if all_new or seq in fresh:
                series.append(codes.setdefault(f"{decoded.hub}/{name}", len(codes)))
                times.append(time_ms)
                values.append(value)
        movements += [each for each in decoded.movements if all_new or each.identity.seq in fresh]
    when = np.asarray(times, dtype=np.int64)
    quality = np.where(when < recorded_ms - late_ms, Quality.HISTORICAL.value, Quality.GOOD.value)
    points = Points(
        tuple(codes),
        np.asarray(series, dtype=np.int32),
        when,
        np.asarray(values, dtype=np.float64),
        quality.astype(np.uint8),
    )
    return Batch(number, recorded_ms, points, tuple(movements))
