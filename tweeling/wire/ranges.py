"""Sets of sequence numbers as sorted inclusive ranges: what is held, committed, refused or missing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Range = tuple[int, int]
"""First and last, both included."""


@dataclass(frozen=True, slots=True)
class SeqSet:
    """An immutable set of sequence numbers, kept as disjoint, sorted, non-touching inclusive ranges."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, ranges: Iterable[Range]) -> SeqSet:
        """Merge any ranges, in any order, overlapping or not; raise ValueError on a backward one."""
        merged: list[Range] = []
        for first, last in sorted(ranges):
            if first > last:
                raise ValueError(f"range [{first}, {last}] runs backwards")
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def from_seqs(cls, seqs: Iterable[int]) -> SeqSet:
        """Make the set of single numbers."""
        return cls.of((seq, seq) for seq in seqs)

    def __or__(self, other: SeqSet) -> SeqSet:
        if not self.ranges or not other.ranges:
            return self if self.ranges else other
        return SeqSet.of((*self.ranges, *other.ranges))

    def grown(self, more: SeqSet) -> SeqSet | None:
        """The union with seqs that all lie behind these, found quickly; None where they do not."""
        if not self.ranges or not more.ranges:
            return more if more.ranges else self
        (first, last), (next_first, next_last) = self.ranges[-1], more.ranges[0]
        if next_first <= last:
            return None
        if next_first > last + 1:
            return SeqSet(self.ranges + more.ranges)
        return SeqSet((*self.ranges[:-1], (first, next_last), *more.ranges[1:]))

    def __sub__(self, other: SeqSet) -> SeqSet:
        if not self.ranges or not other.ranges:
            return self
        left: list[Range] = []
        cuts = other.ranges
        at = 0
        for first, last in self.ranges:
            start = first
            while at < len(cuts) and cuts[at][1] < start:
                at += 1
            k = at
            while k < len(cuts) and cuts[k][0] <= last:
                if cuts[k][0] > start:
                    left.append((start, cuts[k][0] - 1))
                start = cuts[k][1] + 1
                k += 1
            if start <= last:
                left.append((start, last))
        return SeqSet(tuple(left))

    def __and__(self, other: SeqSet) -> SeqSet:
        return self - (self - other)

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self.ranges, seq, key=lambda held: held[0])
        return at > 0 and seq <= self.ranges[at - 1][1]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges:
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    @property
    def highest(self) -> int:
        """The largest member, or 0 of an empty set (sequence numbers start at 1)."""
        return self.ranges[-1][1] if self.ranges else 0

    def holes(self, low: int) -> SeqSet:
        """Members missing between `low` and the highest member."""
        if not self or low > self.highest:
            return SeqSet()
        return SeqSet(((low, self.highest),)) - self
