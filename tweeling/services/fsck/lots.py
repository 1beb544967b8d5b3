"""Lots against the entries that touch them: each is kept with its newest entry, and its key makes every link."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from tweeling.ports.audit import LotRow, RecordsAudit
from tweeling.services.fsck.contents import Contents, Touch, link
from tweeling.services.fsck.report import Check

_AT_ONCE = 500


class _Asked(NamedTuple):
    place: int
    contents: Contents
    touch: Touch


class LotsCheck:
    """Takes entries in order. Lots are looked up some at a time, so memory does not grow with their number."""

    def __init__(self, check: Check, records: RecordsAudit) -> None:
        self._check = check
        self._records = records
        self._rows: Iterator[LotRow] = records.lots()
        self._row = next(self._rows, None)
        self._asked: list[_Asked] = []

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
            self._row = next(self._rows, None)
        if contents is not None:
            self._asked += [_Asked(place, contents, touch) for touch in contents.lots or ()]
        if len(self._asked) >= _AT_ONCE:
            self._look_up()

    def finish(self) -> None:
        """No entry is left."""
        self._look_up()
        while self._row is not None:
            self._check.add("lot", f"lot {self._row.lot}", expected="an entry", found=f"entry {self._row.place}")
            self._row = next(self._rows, None)

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
