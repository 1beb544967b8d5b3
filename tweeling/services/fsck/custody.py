"""The custody log against itself and its chain: every leaf, subtree and root is computed anew from the entries.

Everything is read once, in order and side by side, so memory does not grow with the log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from tweeling.domain import entry
from tweeling.errors import VerificationError
from tweeling.ports.audit import KEPT_LEVELS, EntryRow, EventRow, NodeRow, RecordsAudit
from tweeling.services.fsck.chain import ChainCheck
from tweeling.services.fsck.contents import Contents, check_contents
from tweeling.services.fsck.heads import Claimed, HeadsCheck
from tweeling.services.fsck.lots import LotsCheck
from tweeling.services.fsck.merge import merge
from tweeling.services.fsck.report import Check
from tweeling.verify import TrustedLog


def audit_custody(records: RecordsAudit, trusted: TrustedLog | None, chain: ChainCheck) -> list[Check]:
    """Check entries, tree and heads. trusted: whose signature checkpoints bear, where that is known."""
    return _CustodyChecks(records, trusted, chain).run()


class _CustodyChecks:
    def __init__(self, records: RecordsAudit, trusted: TrustedLog | None, chain: ChainCheck) -> None:
        self._records = records
        self._chain = chain
        self._heads = HeadsCheck(records, trusted, chain)
        self._entries = Check("custody entries")
        self._tree = Check("custody tree")
        self._size = 0
        self._erased = 0
        self._unknown = 0
        self._edge: list[tuple[int, bytes]] = []  # (level, hash) of the complete subtrees, the largest first

    def run(self) -> list[Check]:
        for check, step in ((self._entries, self._check_entries), (self._tree, self._check_tree)):
            with check.reading():
                step()
        return [self._entries, self._tree, self._heads.check, self._chain.check]

    def _check_entries(self) -> None:
        """Entries stand without holes, open to what is kept behind them, and lead to every head."""
        lots = LotsCheck(self._entries, self._records)
        claims = self._heads.claimed()
        claim = self._compare_root(claims, next(claims, None))
        events = ((row.place, row) for row in self._records.events())
        entries = ((row.place, row) for row in self._records.entries())
        leaves = _placed(self._records.nodes(0))
        behind = ((place, (row, event)) for place, row, event in merge(entries, events))
        for place, kept, leaf in merge(behind, leaves):
            row, event = kept or (None, None)
            if row is None:
                if event is not None:
                    self._entries.add("event", f"entry {place}", expected="an entry", found=None)
                self._tree_node(0, place, None, leaf)
                continue
            if place != self._size:
                self._entries.add("entry", f"behind {self._size - 1}", expected=self._size, found=place)
            expected = hashlib.sha256(b"\x00" + row.body).digest()
            self._tree_node(0, place, expected, leaf)
            self._grow(expected)
            lots.take(place, expected, self._contents(row, event))
            claim = self._compare_root(claims, claim)
        lots.finish()
        if lots.astray:
            lots.follow(self._once_more())
        while claim is not None:
            claim.by.add(claim.what, f"size {claim.size}", expected=f"at most {self._size} entries", found=claim.size)
            claim = next(claims, None)
        self._heads.finish(self._size)
        self._entries.say(f"{self._size:,} entries")
        if self._erased:
            self._entries.say(f"of {self._erased:,} the event is erased")
        if self._unknown:
            self._entries.say(f"{self._unknown:,} are of a type that this program does not know")

    def _contents(self, row: EntryRow, event: EventRow | None) -> Contents | None:
        contents = _read(self._entries, row, event)
        if contents is not None:
            self._erased += event is not None and event.event is None
            self._unknown += contents.said.type != entry.EPCIS
        return contents

    def _once_more(self) -> Iterator[tuple[int, bytes, Contents | None]]:
        """Every entry with what it says; what disagrees in it is named already."""
        events = ((row.place, row) for row in self._records.events())
        entries = ((row.place, row) for row in self._records.entries())
        for place, row, event in merge(entries, events):
            if row is not None:
                yield place, hashlib.sha256(b"\x00" + row.body).digest(), _read(Check(""), row, event)

    def _compare_root(self, claims: Iterator[Claimed], claim: Claimed | None) -> Claimed | None:
        """Compare the heads of the tree as it is now; return the next one, of a larger tree."""
        while claim is not None and claim.size <= self._size:
            claim.by.compare("root", f"{claim.what} {claim.size}", expected=self._root(), found=claim.root)
            claim = next(claims, None)
        return claim

    def _grow(self, leaf: bytes) -> None:
        """Append a leaf; two complete subtrees of one size become one (RFC 9162 §2.1)."""
        level, running = 0, leaf
        while self._edge and self._edge[-1][0] == level:
            running = hashlib.sha256(b"\x01" + self._edge.pop()[1] + running).digest()
            level += 1
        self._edge.append((level, running))
        self._size += 1

    def _root(self) -> bytes:
        if not self._edge:
            return hashlib.sha256(b"").digest()
        running = self._edge[-1][1]
        for _, left in reversed(self._edge[:-1]):
            running = hashlib.sha256(b"\x01" + left + running).digest()
        return running

    def _check_tree(self) -> None:
        """Every subtree that is kept is made of those below it, and none is missing or too many."""
        count = self._size
        for level in sorted({*range(1, self._size.bit_length()), *self._records.levels()} - {0}):
            below = self._records.nodes(level - KEPT_LEVELS) if level % KEPT_LEVELS == 0 else iter(())
            for _ in range(KEPT_LEVELS):
                below = _parents(below)
            for index, expected, found in merge(_placed(below), _placed(self._records.nodes(level))):
                self._tree_node(level, index, expected, found)
                count += 1
        self._tree.say(f"{count:,} subtrees computed anew")

    def _tree_node(self, level: int, index: int, expected: bytes | None, found: bytes | None) -> None:
        if expected != found:
            self._tree.add("subtree", f"level {level} index {index}", expected=expected, found=found)


def _read(check: Check, row: EntryRow, event: EventRow | None) -> Contents | None:
    try:
        said = entry.read(row.body)
    except VerificationError as exc:
        check.add("entry", f"entry {row.place}", expected="commitments", found=exc)
        return None
    return check_contents(check, row, event, said)


def _placed(rows: Iterator[NodeRow]) -> Iterator[tuple[int, bytes]]:
    return ((row.place, row.hash) for row in rows)


def _parents(below: Iterator[NodeRow]) -> Iterator[NodeRow]:
    left: NodeRow | None = None
    for row in below:
        if row.place % 2 == 0:
            left = row
        elif left is not None and left.place + 1 == row.place:
            yield NodeRow(row.place >> 1, hashlib.sha256(b"\x01" + left.hash + row.hash).digest())
