"""What of an arrival is new, and its columns: the arithmetic that every journal shares."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.points import Points
from tweeling.domain.telemetry import Movement, Quality
from tweeling.ports.journal import Batch, NodeEpoch, Settled
from tweeling.wire.parcel import Arrival, Head, Parcel, Readings, Run, Suspect
from tweeling.wire.ranges import Range, SeqSet

LATE_MS = 3_600_000
"""A reading that comes later than this is historical: true then, no news now."""

TOTALS = (
    "readings",
    "movements",
    "batches",
    "quarantined",
    "refused",
    "dropped",
    "repeated",
    "quarantine_dropped",
    "replayed",
)
"""What every journal counts."""

MAX_TOTAL = 2**53 - 1
"""Where a total stays: exact as a number of JSON, and no sum of two leaves 64 bits."""


PAGE_BYTES = 16 << 20
"""Payloads of the quarantine that are handed out at once, about."""


class Keep(NamedTuple):
    """How much is kept, the newest: of quarantine, for junk must not fill the disk, and of trimmed batches."""

    rows: int = 500_000
    bytes: int = 256 << 20
    trimmed_bytes: int = 128 << 20


KEEP = Keep()


_NONE = SeqSet()


class Taken(NamedTuple):
    """What one envelope adds to a node's epoch, and what is known after it."""

    committed: SeqSet
    refused: SeqSet
    repeated: int
    after: Settled


class Intake(NamedTuple):
    """What a whole parcel adds.

    fresh: for each arrival with something new, its new seqs; None where that is every seq it brought.
    """

    fresh: Sequence[tuple[Arrival, SeqSet | None]]
    readings: Readings
    evidence: list[Suspect]
    after: dict[NodeEpoch, Settled]
    totals: dict[str, int]

    def movements(self) -> list[Movement]:
        """The weighings that are new."""
        return [
            movement
            for arrival, seqs in self.fresh
            for movement in arrival.head.movements
            if seqs is None or movement.identity.seq in seqs
        ]


def sort_out(parcel: Parcel, settled: Callable[[NodeEpoch], Settled], *, again: bool = False) -> Intake:
    """Find what is new in a parcel; again: a seq that was refused may be committed now."""
    if (grown := _all_new(parcel.arrivals, settled)) is not None:
        fresh_all = [(arrival, None) for arrival in parcel.arrivals if arrival.head.accepted.ranges]
        return Intake(fresh_all, parcel.readings, list(parcel.suspects), grown, dict.fromkeys(TOTALS, 0))
    after: dict[NodeEpoch, Settled] = {}
    fresh: list[tuple[Arrival, SeqSet | None]] = []
    evidence = list(parcel.suspects)
    totals = dict.fromkeys(TOTALS, 0)
    mask: list[NDArray[np.bool_]] = []  # made only where some rows are not new
    masked = start = 0
    for arrival in parcel.arrivals:
        head = arrival.head
        node = NodeEpoch(head.hub, head.node, head.epoch)
        known = after.get(node)
        if known is None:
            known = settled(node)
        new = take(head, known, again=again)
        after[node] = new.after
        end = start + head.size
        if new.committed is head.accepted:
            if head.accepted:  # what is refused today might be read tomorrow: then new is what was new
                fresh.append((arrival, head.accepted if head.refused else None))
        else:
            mask += [np.ones(start - masked, bool), rows_of(head, new.committed)]
            masked = end
            if new.committed:
                fresh.append((arrival, new.committed))
        start = end
        if new.after.refused is not known.refused:
            totals["refused"] += len(new.refused) - len(known.refused & new.committed)
        totals["dropped"] += _more(known.dropped, new.after.dropped)
        totals["repeated"] += new.repeated
        if new.refused:
            evidence.append(_evidence(arrival, new.refused))
    readings = parcel.readings
    if mask:
        readings = readings.where(np.concatenate([*mask, np.ones(start - masked, bool)]))
    return Intake(fresh, readings, evidence, after, totals)


def _all_new(arrivals: Iterable[Arrival], settled: Callable[[NodeEpoch], Settled]) -> dict[NodeEpoch, Settled] | None:
    """What is known after the usual parcel, all of it new and in order; None for any other."""
    came: dict[NodeEpoch, list[Range]] = {}
    for arrival in arrivals:
        head = arrival.head
        if head.refused or head.dropped:
            return None
        rows = came.setdefault(NodeEpoch(head.hub, head.node, head.epoch), [])
        for first, last in head.accepted.ranges:
            if not rows or first > rows[-1][1] + 1:
                rows.append((first, last))
            elif first == rows[-1][1] + 1:
                rows[-1] = (rows[-1][0], last)
            else:
                return None
    after: dict[NodeEpoch, Settled] = {}
    for node, rows in came.items():
        known = settled(node)
        grown = known.committed.grown(SeqSet(tuple(rows)))
        if grown is None or (rows and rows[0][0] <= max(known.refused.highest, known.dropped.highest)):
            return None
        after[node] = Settled(grown, known.refused, known.dropped)
    return after


def take(head: Head, known: Settled, *, again: bool = False) -> Taken:
    """Keep what is new: the first word on a seq stands, and only a seq that never came can be dropped."""
    accepted = head.accepted
    if accepted.ranges and not (head.refused or head.dropped):
        grown = known.committed.grown(accepted)
        if grown is not None and accepted.ranges[0][0] > max(known.refused.highest, known.dropped.highest):
            return Taken(accepted, _NONE, 0, Settled(grown, known.refused, known.dropped))  # all new, in order
    came_refused = _named(head)
    committed = accepted - known.committed
    if not again:
        committed -= known.refused
    refused = came_refused - known.committed - known.refused
    announced = SeqSet.of((first, last) for first, last, _ in head.dropped)
    after = Settled(
        known.committed | committed,
        (known.refused | refused) - committed,
        (known.dropped | announced - known.committed - known.refused) - committed - refused,
    )
    repeated = 0 if again else len(accepted) + len(came_refused) - len(committed) - len(refused)
    return Taken(accepted if committed == accepted else committed, refused, repeated, after)


def rows_of(head: Head, seqs: SeqSet) -> NDArray[np.bool_]:
    """Which readings of an envelope belong to some seqs."""
    mask = [np.full((last - first + 1) * each, first in seqs) for first, last, each in _cut(head.rows, seqs)]
    return np.concatenate(mask) if mask else np.empty(0, dtype=bool)


def _cut(rows: Iterable[Run], seqs: SeqSet) -> Iterator[Run]:
    """The same runs, cut so that each lies inside `seqs` or outside."""
    for first, last, each in rows:
        run = SeqSet(((first, last),))
        for a, b in sorted((*(run & seqs).ranges, *(run - seqs).ranges)):
            yield a, b, each


def size(suspect: Suspect) -> int:
    """The bytes a suspect takes in quarantine."""
    return len(suspect.topic.encode()) + len(suspect.payload) + len(suspect.reason.encode())


def batch(number: int, recorded_ms: int, late_ms: int, readings: Readings, movements: Iterable[Movement]) -> Batch:
    """Make a batch of what was new; the same input always gives the same one."""
    late = readings.times < recorded_ms - late_ms
    quality = np.where(late, np.uint8(Quality.HISTORICAL.value), np.uint8(Quality.GOOD.value))
    points = Points(readings.names, readings.series, readings.times, readings.values, quality)
    return Batch(number, recorded_ms, points, tuple(movements))


def _evidence(arrival: Arrival, refused: SeqSet) -> Suspect:
    """An envelope with refused seqs as a suspect, its reasons in one line."""
    return Suspect(arrival.topic, arrival.payload, reasons(arrival.head, refused))


def why_not(parcel: Parcel, after: dict[NodeEpoch, Settled]) -> str:
    """Why a parcel is still suspect, empty where all of it has a meaning now."""
    rows = [suspect.reason for suspect in parcel.suspects]
    for arrival in parcel.arrivals:
        head = arrival.head
        if left := after[NodeEpoch(head.hub, head.node, head.epoch)].refused & _named(head):
            rows.append(reasons(head, left))
    return "; ".join(rows)


def _named(head: Head) -> SeqSet:
    return SeqSet.of((first, last) for first, last, _ in head.refused)


def reasons(head: Head, refused: SeqSet) -> str:
    """Why these seqs of an envelope are refused, in one line."""
    rows = [f"seq {first}: {reason}" for first, _, reason in head.refused if first in refused]
    more = f"; and {len(rows) - 3} more" if len(rows) > 3 else ""
    return "; ".join(rows[:3]) + more


def _more(before: SeqSet, after: SeqSet) -> int:
    """How many more there are, which is nothing to count where nothing changed."""
    return 0 if after is before else len(after) - len(before)
