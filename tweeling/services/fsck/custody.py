"""The custody log against itself: every leaf, subtree and root is computed anew from the entries."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator

import cbor2

from tweeling.domain import entry, note
from tweeling.domain.log import Disclosure
from tweeling.errors import VerificationError
from tweeling.ports.audit import KEPT_LEVELS, EntryRow, HeadRow, NodeRow, RecordsAudit
from tweeling.services.fsck.merge import merge
from tweeling.services.fsck.report import Check
from tweeling.verify import TrustedLog


def audit_custody(records: RecordsAudit, trusted: TrustedLog | None) -> list[Check]:
    """Check entries, tree and heads. trusted: whose signature checkpoints bear, where that is known."""
    checks = _CustodyChecks(records, trusted)
    return checks.run()


class _CustodyChecks:
    def __init__(self, records: RecordsAudit, trusted: TrustedLog | None) -> None:
        self._records = records
        self._trusted = trusted
        self._entries = Check("custody entries")
        self._tree = Check("custody tree")
        self._heads = Check("custody heads")
        self._size = 0
        self._edge: list[tuple[int, bytes]] = []  # (level, hash) of the complete subtrees, the largest first

    def run(self) -> list[Check]:
        for check, step in (
            (self._heads, self._check_notes),
            (self._entries, self._check_entries),
            (self._tree, self._check_tree),
        ):
            with check.reading():
                step()
        return [self._entries, self._tree, self._heads]

    def _check_notes(self) -> None:
        """A checkpoint's text says what its row says, and bears the log's signature."""
        count = 0
        for head in self._records.checkpoints():
            count += 1
            where = f"checkpoint {head.size}"
            try:
                signed = note.parse(head.note)
                said = note.tree_head(signed)
                if self._trusted is not None:
                    self._heads.compare("origin", where, expected=self._trusted.origin, found=said.origin)
                    note.verify(signed, name=self._trusted.origin, public=self._trusted.public)
            except VerificationError as exc:
                self._heads.add("note", where, expected="a signed note", found=exc)
                continue
            self._heads.compare("note's size", where, expected=head.size, found=said.size)
            self._heads.compare("note's root", where, expected=head.root, found=said.root)
        signed_by = "" if self._trusted else ", signatures not verified: there is no trust file"
        self._heads.say(f"{count:,} checkpoints{signed_by}")

    def _check_entries(self) -> None:
        """Entries stand without holes, open to what is kept behind them, and lead to every head."""
        heads = deque(sorted(self._every_head(), key=lambda named: named[1].size))
        lots = {row.place: row for row in self._records.lots()}  # the newest of each entry is enough: all share a leaf
        leaves = ((row.place, row.hash) for row in self._records.nodes(0))
        self._check_heads(heads)
        for index, body, kept in merge(self._leaves(), leaves):
            self._tree_node(0, index, body, kept)
            if body is None:
                continue
            self._grow(body)
            if index in lots:
                where = f"lot {lots[index].lot}"
                self._entries.compare("lot's leaf", where, expected=body, found=lots[index].leaf)
            self._check_heads(heads)
        for index, row in lots.items():
            if index >= self._size:
                self._entries.add("lot", row.lot, expected=f"an entry below {self._size}", found=f"entry {index}")
        for what, head in heads:
            self._heads.add(what, f"size {head.size}", expected=f"at most {self._size} entries", found=head.size)
        self._entries.say(f"{self._size:,} entries")

    def _every_head(self) -> Iterator[tuple[str, HeadRow]]:
        yield from (("checkpoint", row) for row in self._records.checkpoints())
        yield from (("anchor", row) for row in self._records.anchors())

    def _leaves(self) -> Iterator[tuple[int, bytes]]:
        awaited = 0
        for row in self._records.entries():
            if row.place != awaited:
                self._entries.add("entry", f"behind {awaited - 1}", expected=awaited, found=row.place)
            awaited = row.place + 1
            self._check_entry(row)
            yield row.place, hashlib.sha256(b"\x00" + row.body).digest()

    def _check_entry(self, row: EntryRow) -> None:
        where = f"entry {row.place}"
        try:
            said = entry.read(row.body)
        except VerificationError as exc:
            self._entries.add("entry", where, expected="commitments", found=exc)
            return
        if row.event is not None and row.jcs is not None:
            self._entries.compare("event", where, expected=row.jcs, found=hashlib.sha256(row.event).digest())
        if row.disclosures is None:
            return
        try:
            opened = [Disclosure(*item) for item in cbor2.loads(row.disclosures)]
            lies = [item.name for item in opened if not said.commits_to(item)]
        except (cbor2.CBORDecodeError, TypeError, ValueError, AttributeError) as exc:
            self._entries.add("disclosures", where, expected="salted fields", found=exc)
            return
        for name in lies:
            self._entries.add("disclosure", where, expected="committed to by the entry", found=f"{name} is not")

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

    def _check_heads(self, heads: deque[tuple[str, HeadRow]]) -> None:
        while heads and heads[0][1].size <= self._size:
            what, head = heads.popleft()
            self._heads.compare("root", f"{what} {head.size}", expected=self._root(), found=head.root)

    def _check_tree(self) -> None:
        """Every subtree that is kept is made of those below it, and none is missing or too many."""
        levels = max(self._size.bit_length(), self._records.levels())
        count = self._size
        for level in range(1, levels):
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


def _placed(rows: Iterator[NodeRow]) -> Iterator[tuple[int, bytes]]:
    return ((row.place, row.hash) for row in rows)


def _parents(below: Iterator[NodeRow]) -> Iterator[NodeRow]:
    left: NodeRow | None = None
    for row in below:
        if row.place % 2 == 0:
            left = row
        elif left is not None and left.place + 1 == row.place:
            yield NodeRow(row.place >> 1, hashlib.sha256(b"\x01" + left.hash + row.hash).digest())
