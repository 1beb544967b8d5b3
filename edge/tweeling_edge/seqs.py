"""A set of sequence numbers that changes in place: a backlog with many holes costs little memory, and no copies."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from tweeling.wire.ranges import Range, SeqSet

_WORN = 1024  # ranges gone from the front before the arrays are cut


class Seqs:
    """Disjoint, sorted, non-touching ranges; cheap at both ends, which is where a queue lives."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """Take sorted, disjoint ranges."""
        self._first, self._last = array("q"), array("q")
        self._start = 0  # ranges before it are gone
        self._count = 0
        for first, last in ranges:
            self.add(first, last)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, seq: int) -> bool:
        at = bisect_right(self._first, seq, self._start) - 1
        return at >= self._start and seq <= self._last[at]

    def __iter__(self) -> Iterator[Range]:
        """The ranges, in order."""
        for at in range(self._start, len(self._first)):
            yield self._first[at], self._last[at]

    @property
    def lowest(self) -> int | None:
        """The smallest member."""
        return self._first[self._start] if self._count else None

    def copy(self) -> SeqSet:
        """The same set as a value."""
        return SeqSet(tuple(self))

    def add(self, first: int, last: int) -> None:
        """Put first..last in, whether some of it is there or not."""
        begin = bisect_left(self._last, first - 1, self._start)
        end = bisect_right(self._first, last + 1, begin)
        if begin < end:
            first, last = min(first, self._first[begin]), max(last, self._last[end - 1])
        self._replace(begin, end, ((first, last),))

    def remove(self, first: int, last: int) -> None:
        """Take first..last out, whether it is there or not."""
        begin = bisect_left(self._last, first, self._start)
        end = bisect_right(self._first, last, begin)
        if begin < end:
            ends = ((self._first[begin], first - 1), (last + 1, self._last[end - 1]))
            self._replace(begin, end, [(low, high) for low, high in ends if low <= high])

    def update(self, seqs: SeqSet) -> None:
        """Put all of these in."""
        for first, last in seqs.ranges:
            self.add(first, last)

    def subtract(self, seqs: SeqSet) -> None:
        """Take all of these out."""
        if self._count:
            for first, last in seqs.ranges:
                self.remove(first, last)

    def common(self, seqs: SeqSet) -> SeqSet:
        """Those of `seqs` that are here."""
        found: list[Range] = []
        if self._count:
            for first, last in seqs.ranges:
                at = bisect_left(self._last, first, self._start)
                while at < len(self._first) and self._first[at] <= last:
                    found.append((max(first, self._first[at]), min(last, self._last[at])))
                    at += 1
        return SeqSet(tuple(found))

    def take(self, count: int) -> SeqSet:
        """Take out the lowest `count`, or all."""
        taken: list[Range] = []
        for first, last in self:
            if count <= 0:
                break
            taken.append((first, min(last, first + count - 1)))
            count -= last - first + 1
        if taken:
            self.remove(taken[0][0], taken[-1][1])
        return SeqSet(tuple(taken))

    def _replace(self, begin: int, end: int, ranges: Iterable[Range]) -> None:
        for at in range(begin, end):
            self._count -= self._last[at] - self._first[at] + 1
        firsts, lasts = array("q"), array("q")
        for first, last in ranges:
            firsts.append(first)
            lasts.append(last)
            self._count += last - first + 1
        if begin == self._start and len(firsts) < end - begin:  # at the front nothing needs to move
            begin = self._start = end - len(firsts)
        self._first[begin:end], self._last[begin:end] = firsts, lasts
        if self._start >= _WORN and 2 * self._start >= len(self._first):
            del self._first[: self._start], self._last[: self._start]
            self._start = 0
