"""The points of the time-series store against those of the journal's batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.points import Points
from tweeling.domain.telemetry import Quality
from tweeling.ports.audit import BatchRow, JournalAudit, PointsAudit
from tweeling.services.fsck.rederive import Rederived, UnreadableError, rederive
from tweeling.services.fsck.report import Check

_AT_ONCE = 200_000  # points
_MISSED = 100_000  # that are looked at once more, in case they were overwritten meanwhile

Keys = NDArray[np.int64]


class PointsCheck:
    """Takes in batches, the newest first; so of one series and time the first to come is the one that stands.

    through: the batch up to which the store has applied.
    """

    def __init__(self, store: PointsAudit, *, through: int, held: int) -> None:
        self.check = Check("points")
        self._store = store
        self._through = through
        self._held = held
        self._names: list[str] = []
        self._times: list[int] = []
        self._values: list[float] = []
        self._quality: list[NDArray[np.uint8]] = []
        self._batches: list[NDArray[np.int64]] = []
        self._seen: dict[str, Keys] = {}
        self._old = 0
        self._missed: list[tuple[str, int, str, str, int]] = []  # series, time, expected, found, batch

    def take(self, row: BatchRow, said: Rederived) -> None:
        """Compare what one batch says."""
        if row.number > self._through or not said.times:
            return
        self._names += reversed(said.names)
        self._times += reversed(said.times)
        self._values += reversed(said.values)
        late = np.array(said.times[::-1], np.int64) < row.recorded_ms - row.late_ms
        self._quality.append(np.where(late, Quality.HISTORICAL, Quality.GOOD).astype(np.uint8))
        self._batches.append(np.full(len(late), row.number))
        if len(self._times) >= _AT_ONCE:
            self._compare()

    def finish(
        self,
        again: Callable[[], AbstractContextManager[JournalAudit]],
        *,
        last: int,
        forgotten: int,
        loaded: int,
        comparable: bool,
    ) -> Check:
        """End the comparison.

        again: looks at the journal once more. forgotten: readings of trimmed batches. loaded: points of the history.
        comparable: whether no other journal ever wrote to the store, so that its points can be counted.
        """
        self._compare()
        if self._old:
            self.check.say(f"{self._old:,} points are older than the store keeps every one")
        if self._through > last:
            self.check.add("cursor", "points", expected=f"at most batch {last}", found=f"batch {self._through}")
        self._name_missed(again)
        distinct = sum(len(times) for times in self._seen.values())
        self.check.say(f"{distinct:,} points compared, through batch {self._through:,} of {last:,}")
        if forgotten:
            self.check.say(f"up to {forgotten:,} points of trimmed batches are not compared")
        if not comparable:
            self.check.say("not counted, because another journal was followed before")
        elif self._held > (most := loaded + forgotten + distinct):
            self.check.add("points", "store", expected=f"at most {most:,}", found=f"{self._held:,}")
        return self.check

    def _compare(self) -> None:
        if not self._times:
            return
        codes: dict[str, int] = {}
        series = np.array([codes.setdefault(name, len(codes)) for name in self._names], np.int32)
        names, times = tuple(codes), np.array(self._times, np.int64)
        values, quality = np.array(self._values), np.concatenate(self._quality)
        batches = np.concatenate(self._batches)
        self._names, self._times, self._values, self._quality, self._batches = [], [], [], [], []
        order = np.lexsort((times, series))  # stable: of equal keys the newest stays in front
        first = np.append(True, (np.diff(series[order]) != 0) | (np.diff(times[order]) != 0))[: len(order)]
        rows = self._unseen(names, series, times, order[first])
        asked = Points(names, series[rows], times[rows], values[rows], quality[rows])
        if not len(rows):
            return
        found = self._store.find(asked)
        largest = np.zeros(len(names))
        np.maximum.at(largest, asked.series, np.abs(asked.values))
        far = np.abs(found.values - asked.values) > self._store.precision * largest[asked.series]
        wrong = np.flatnonzero(~found.there | far | (found.quality != asked.quality))
        kept = asked.times[wrong] >= self._store.kept().from_ms  # asked after they were looked for: it only grows
        self._old += int(np.count_nonzero(~kept))
        wrong = wrong[kept]
        for at in wrong.tolist():
            if len(self._missed) >= _MISSED:
                self.check.more += 1
                continue
            there = _point(found.values[at], found.quality[at]) if found.there[at] else "no such point"
            expected = _point(asked.values[at], asked.quality[at])
            name, batch = names[asked.series[at]], int(batches[rows[at]])
            self._missed.append((name, int(asked.times[at]), expected, there, batch))

    def _unseen(self, names: tuple[str, ...], series: NDArray[np.int32], times: Keys, rows: Keys) -> Keys:
        """Those rows that no newer batch has told of; `rows` are sorted by series and time."""
        kept = []
        ends = np.flatnonzero(np.append(np.diff(series[rows]) != 0, True)) + 1
        start = 0
        for end in ends.tolist():
            part = rows[start:end]
            start = end
            name = names[series[part[0]]]
            seen = self._seen.get(name)
            if seen is not None:
                at = np.minimum(np.searchsorted(seen, times[part]), len(seen) - 1)
                part = part[seen[at] != times[part]]
                self._seen[name] = np.sort(np.concatenate((seen, times[part])), kind="stable")
            else:
                self._seen[name] = times[part]
            kept.append(part)
        return np.concatenate(kept)

    def _name_missed(self, again: Callable[[], AbstractContextManager[JournalAudit]]) -> None:
        """Name each point that is not as the journal says, unless a batch that came meanwhile has overwritten it."""
        if not self._missed:
            return
        missed = {row[:2]: row for row in self._missed}
        with again() as journal:
            unknown = journal.totals().get("trimmed", 0) > self._through
            for row in journal.batches(above=self._through):
                for key in _told(row):
                    missed.pop(key, None)
        if unknown:
            self.check.say(f"{len(missed):,} points have changed while we looked: run this again")
            return
        for name, time_ms, expected, found, batch in missed.values():
            self.check.add("point", f"{name} at {time_ms} ms, batch {batch}", expected=expected, found=found)


def _told(row: BatchRow) -> Iterator[tuple[str, int]]:
    try:
        said = rederive(row)
    except UnreadableError:
        return  # named where batches are checked
    yield from zip(said.names, said.times, strict=True)


def _point(value: float, quality: int) -> str:
    return f"{float(value)!r} of quality {int(quality)}"
