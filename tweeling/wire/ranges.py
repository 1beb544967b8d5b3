"""Sets of sequence numbers as sorted inclusive ranges: what is held, committed, refused or missing."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

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
        few, many = (self, other) if len(self.ranges) <= len(other.ranges) else (other, self)
        if not few.ranges:
            return many
        return many._with(few) if _is_few(few, many) else SeqSet.of((*many.ranges, *few.ranges))

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
        return self._without(other) if _is_few(other, self) else self._outside(other)

    def __and__(self, other: SeqSet) -> SeqSet:
        few, many = (self, other) if len(self.ranges) <= len(other.ranges) else (other, self)
        return few - (few - many)

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

    # A node whose sensors are refused now and then has tens of thousands of ranges, and each message touches a few.
    # So a few are looked for, and what lies between them is copied as it is.

    def _with(self, few: SeqSet) -> SeqSet:
        held, at = self.ranges, 0
        parts: list[Range] = []
        for first, last in few.ranges:
            start = bisect_left(held, first - 1, at, key=_last)
            end = bisect_right(held, last + 1, start, key=_first)
            parts += held[at:start]
            if start < end:
                first, last = min(first, held[start][0]), max(last, held[end - 1][1])  # noqa: PLW2901 -- it grows
            if parts and first <= parts[-1][1] + 1:
                before = parts.pop()
                first, last = before[0], max(last, before[1])  # noqa: PLW2901 -- likewise
            parts.append((first, last))
            at = end
        return SeqSet((*parts, *held[at:]))

    def _without(self, few: SeqSet) -> SeqSet:
        held, at = self.ranges, 0
        parts: list[Range] = []
        rest: Range | None = None  # what the cut before has left of a range
        for first, last in few.ranges:
            if rest is not None and rest[1] < first:
                parts.append(rest)
                rest = None
            if rest is None:
                start = bisect_left(held, first, at, key=_last)
                parts += held[at:start]
                at = start
            end = bisect_right(held, last, at, key=_first)
            if rest is None and at == end:
                continue
            left = held[at][0] if rest is None else rest[0]
            right = held[end - 1][1] if end > at or rest is None else rest[1]
            if left < first:
                parts.append((left, first - 1))
            rest = (last + 1, right) if last < right else None
            at = end
        if rest is not None:
            parts.append(rest)
        made = (*parts, *held[at:])
        return self if made == held else SeqSet(made)

    def _outside(self, many: SeqSet) -> SeqSet:
        parts: list[Range] = []
        cuts, at = many.ranges, 0
        for first, last in self.ranges:
            start = first
            at = bisect_left(cuts, start, at, key=_last)
            while at < len(cuts) and cuts[at][0] <= last:
                if cuts[at][0] > start:
                    parts.append((start, cuts[at][0] - 1))
                start = cuts[at][1] + 1
                at += 1
            at = max(at - 1, 0)  # it may reach into the next one
            if start <= last:
                parts.append((start, last))
        made = tuple(parts)
        return self if made == self.ranges else SeqSet(made)


_FEW = 8


def _is_few(few: SeqSet, many: SeqSet) -> bool:
    return _FEW * len(few.ranges) < len(many.ranges)


_first, _last = itemgetter(0), itemgetter(1)
