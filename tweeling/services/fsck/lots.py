"""Lots against the entries that touch them: each is kept with its newest entry, and its key makes every link."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tweeling.ports.audit import LotRow, RecordsAudit
from tweeling.services.fsck.contents import Contents, Touch, link
from tweeling.services.fsck.report import Check

_AT_ONCE = 500
_BUCKETS = 4096
_FIRST = b""  # what stands for the entry before a lot's first


class _Asked(NamedTuple):
    place: int
    contents: Contents
    touch: Touch


class _Passed(NamedTuple):
    place: int
    leaf: bytes


_NONE = _Passed(-1, _FIRST)


class LotsCheck:
    """Takes entries in order. Lots are looked up some at a time, so memory does not grow with their number.

    Of each lot, every entry is the one before exactly one other, but for the newest, which its row names. So the leaves
    that entries have, less those that they name as the one before, sum up to those of the rows: in each bucket of lots,
    as hashes under a key that nobody knew when the log was edited. Only where they do not is anything `astray`.
    """

    def __init__(self, check: Check, records: RecordsAudit) -> None:
        self._check = check
        self._records = records
        self._rows: Iterator[LotRow] = records.lots()
        self._row = next(self._rows, None)
        self._asked: list[_Asked] = []
        self._secret = secrets.token_bytes(32)
        self._sums = [0] * _BUCKETS

    def take(self, place: int, leaf: bytes, contents: Contents | None) -> None:
        """Compare the lots whose newest entry this is, and ask for those that it touches."""
        touches = None if contents is None else contents.lots
        while (row := self._row) is not None and row.place <= place:
            where = f"lot {row.lot}"
            if row.place < place:
                self._check.add("lot", where, expected="an entry", found=f"entry {row.place}")
            else:
                self._check.compare("lot's leaf", where, expected=leaf, found=row.leaf)
                if touches is not None and row.lot not in (touch.lot for touch in touches):
                    self._check.add("lot", where, expected=f"touched by entry {place}", found="untouched by it")
            self._next_row(row)
        for touch in touches or ():
            self._sum(touch.lot, plus=leaf, minus=touch.previous or _FIRST)
        if contents is not None:
            self._asked += [_Asked(place, contents, touch) for touch in contents.lots or ()]
        if len(self._asked) >= _AT_ONCE:
            self._look_up()

    def finish(self) -> None:
        """No entry is left."""
        self._look_up()
        while (row := self._row) is not None:
            self._check.add("lot", f"lot {row.lot}", expected="an entry", found=f"entry {row.place}")
            self._next_row(row)

    @property
    def astray(self) -> bool:
        """Whether a lot may have come to its newest entry by another way; one that erased entries touched, too."""
        return any(self._sums)

    def follow(self, entries: Iterable[tuple[int, bytes, Contents | None]]) -> None:
        """Take every entry once more, and name those that do not follow their lot's entry before.

        Remembers the lots that may be astray, and the leaves of entries that say no lots any more.
        """
        newest: dict[str, _Passed] = {}
        unread: dict[bytes, int] = {}
        for place, leaf, contents in entries:
            if contents is None or contents.lots is None:
                unread[leaf] = place
                continue
            for touch in contents.lots:
                if not self._sums[self._bucket(touch.lot)]:
                    continue
                before, named = newest.get(touch.lot, _NONE), touch.previous or _FIRST
                if named != before.leaf and unread.get(named, -1) <= before.place:
                    expected = f"linked to entry {before.place}" if before is not _NONE else "the first"
                    self._check.add(
                        "lot's entry before", f"lot {touch.lot}, entry {place}", expected=expected, found=named or None
                    )
                newest[touch.lot] = _Passed(place, leaf)

    def _next_row(self, row: LotRow) -> None:
        self._sum(row.lot, plus=_FIRST, minus=row.leaf)
        self._row = next(self._rows, None)

    def _sum(self, lot: str, *, plus: bytes, minus: bytes) -> None:
        at = self._bucket(lot)
        self._sums[at] = (self._sums[at] + self._hash(lot, plus) - self._hash(lot, minus)) % 2**256

    def _bucket(self, lot: str) -> int:
        return self._hash(lot) % _BUCKETS

    def _hash(self, lot: str, leaf: bytes | None = None) -> int:
        name = lot.encode(errors="surrogatepass")
        told = name if leaf is None else hashlib.sha256(name).digest() + leaf
        return int.from_bytes(hashlib.blake2b(told, digest_size=32, key=self._secret).digest())

    def _look_up(self) -> None:
        while self._asked:
            part, self._asked = self._asked[:_AT_ONCE], self._asked[_AT_ONCE:]
            rows = {row.lot: row for row in self._records.lots_named({each.touch.lot for each in part})}
            for each in part:
                self._compare(each, rows.get(each.touch.lot))

    def _compare(self, asked: _Asked, row: LotRow | None) -> None:
        touch, where = asked.touch, f"lot {asked.touch.lot}"
        if row is None:
            self._check.add("lot", where, expected=f"a row, for entry {asked.place} touches it", found=None)
            return
        if row.place < asked.place:
            self._check.add("lot's newest entry", where, expected=f"{asked.place} or later", found=row.place)
        if hashlib.sha256(row.key).digest() != touch.key:
            self._check.add("lot's key", where, expected=f"that of entry {asked.place}", found="another")
        elif link(row.key, touch.previous) not in asked.contents.said.commitments:
            self._check.add("lot's link", where, expected=f"committed to by entry {asked.place}", found="it is not")
