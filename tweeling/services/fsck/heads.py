"""Every head of the log that was signed or anchored, against one another; what the tree says of them comes after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tweeling.domain import note
from tweeling.errors import VerificationError
from tweeling.ports.audit import AnchorRow, HeadRow, RecordsAudit
from tweeling.services.fsck.chain import ChainCheck
from tweeling.services.fsck.merge import merge
from tweeling.services.fsck.report import Check
from tweeling.verify import TrustedLog


class Claimed(NamedTuple):
    """That the log had this root at this size. by: which check says so, what: in which words."""

    by: Check
    what: str
    size: int
    root: bytes


class HeadsCheck:
    """Checkpoints, anchors and what the chain tells, side by side by size."""

    def __init__(self, records: RecordsAudit, trusted: TrustedLog | None, chain: ChainCheck) -> None:
        self.check = Check("custody heads")
        self._records = records
        self._trusted = trusted
        self._chain = chain
        self._unsigned: list[int] = []  # which the chain alone tells of

    def claimed(self) -> Iterator[Claimed]:
        """Every head, the smallest first."""
        checkpoints = anchors = 0
        for size, kept, told in self._by_size():
            checkpoint, anchor = kept or (None, None)
            counts = self._chain.compare(anchor, told)
            if checkpoint is not None:
                checkpoints += 1
                self._check_note(checkpoint)
                yield Claimed(self.check, "checkpoint", size, checkpoint.root)
            elif anchor is not None:
                self._miss(size)
            elif counts:
                self._unsigned.append(size)
            if anchor is not None:
                anchors += 1
                self._check_place(anchor)
                yield Claimed(self.check, "anchor", size, anchor.root)
            if told is not None and counts:
                yield Claimed(self._chain.check, "anchor on the chain", size, told.root)
        unsigned = "" if self._trusted else ", signatures not verified: there is no trust file"
        self.check.say(f"{checkpoints:,} checkpoints, {anchors:,} anchors{unsigned}")
        if anchors and self._trusted is not None and self._trusted.anchor is None:
            self.check.say("where they stand is not compared: the trust file pins no contract")

    def finish(self, entries: int) -> None:
        """All claims are compared. Of a size that the log does not have, the chain's own check tells."""
        for size in self._unsigned:
            if size <= entries:
                self._miss(size)
        self._chain.finish(entries)

    def _miss(self, size: int) -> None:
        self.check.add("checkpoint", f"size {size}", expected="signed, for it is anchored", found=None)

    def _by_size(self) -> Iterator[tuple[int, tuple[HeadRow | None, AnchorRow | None] | None, AnchorRow | None]]:
        checkpoints = ((row.size, row) for row in self._records.checkpoints())
        anchors = ((row.size, row) for row in self._records.anchors())
        kept = ((size, (checkpoint, anchor)) for size, checkpoint, anchor in merge(checkpoints, anchors))
        return merge(kept, ((event.size, event) for event in self._chain.events()))

    def _check_note(self, row: HeadRow) -> None:
        """A checkpoint's text says what its row says, and bears the log's signature and nothing else."""
        where = f"checkpoint {row.size}"
        try:
            signed = note.parse(row.note)
            said = note.tree_head(signed)
            if self._trusted is not None:
                self.check.compare("origin", where, expected=self._trusted.origin, found=said.origin)
                note.verify(signed, name=self._trusted.origin, public=self._trusted.public)
        except VerificationError as exc:
            self.check.add("note", where, expected="a signed note", found=exc)
            return
        self.check.compare("note's signatures", where, expected=1, found=len(signed.signatures))
        self.check.compare("note's size", where, expected=row.size, found=said.size)
        self.check.compare("note's root", where, expected=row.root, found=said.root)

    def _check_place(self, row: AnchorRow) -> None:
        """An anchor stands where the trust file says that the log is anchored."""
        if self._trusted is None or (pinned := self._trusted.anchor) is None:
            return
        where = f"anchor {row.size}"
        self.check.compare("chain_id", where, expected=pinned.chain_id, found=row.chain_id)
        self.check.compare("contract", where, expected=pinned.contract, found=row.contract)
        self.check.compare("log_id", where, expected=pinned.log_id, found=f"0x{row.log_id.hex()}")
