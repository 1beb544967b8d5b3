"""The ingest journal against itself: batches, ranges, weighings, totals, quarantine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import reduce
from itertools import chain
from operator import or_

from tweeling.errors import WireError
from tweeling.ports.audit import BatchRow, JournalAudit, MovementRow
from tweeling.ports.journal import NodeEpoch
from tweeling.services.fsck.merge import merge
from tweeling.services.fsck.rederive import Rederived, UnreadableError, rederive
from tweeling.services.fsck.report import Check
from tweeling.wire import envelope, topics
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Channel

_KINDS = ("committed", "refused", "dropped")
_FULL = 2**53 - 1  # where a total stays
_AT_ONCE = 4096  # ranges that are gathered before they are merged
_NONE = SeqSet()

Listener = Callable[[BatchRow, Rederived], None]


class JournalChecks:
    """One look at a journal. `on_batch` is told what each batch says, the newest first."""

    def __init__(self, journal: JournalAudit, on_batch: Listener) -> None:
        self._journal = journal
        self._on_batch = on_batch
        self._file = Check("journal file")
        self._batches = Check("journal batches")
        self._ranges = Check("journal ranges")
        self._weighings = Check("journal weighings")
        self._totals_check = Check("journal totals")
        self._quarantine = Check("quarantine")
        self.totals: Mapping[str, int] = {}
        self.names: frozenset[NodeEpoch] = frozenset()
        self._known: dict[NodeEpoch, dict[str, SeqSet]] = {}
        self._brought: dict[NodeEpoch, _Brought] = {}
        self._kept = dict.fromkeys(("batches", "readings", "movements"), 0)
        self._weighed = dict.fromkeys(("all", "trimmed"), 0)

    @property
    def trimmed(self) -> int:
        """Batches up to this one are forgotten."""
        return self.totals.get("trimmed", 0)

    @property
    def last(self) -> int:
        """The newest batch."""
        return self.totals.get("batches", 0)

    def run(self) -> list[Check]:
        """Carry out every check."""
        for check, step in (
            (self._file, self._check_file),
            (self._ranges, self._check_shape),
            (self._batches, self._check_batches),
            (self._ranges, self._check_ranges),
            (self._quarantine, self._check_quarantine),
            (self._totals_check, self._check_totals),
        ):
            with check.reading():
                step()
        return [
            *(self._file, self._batches, self._ranges),
            *(self._weighings, self._totals_check, self._quarantine),
        ]

    def _check_file(self) -> None:
        self.totals = self._journal.totals()
        self._file.detail = f"journal {self._journal.id}"
        for line in self._journal.damage():
            self._file.add("file", "journal", expected="ok", found=line)

    def _check_shape(self) -> None:
        """Ranges of one outbox are sorted, disjoint over all kinds, and never touch one of their own kind."""
        outboxes = self._journal.outboxes()
        self.names = frozenset(outboxes.values())
        rows: dict[int, dict[str, list[tuple[int, int]]]] = {}
        reached = (0, 0)  # outbox, highest seq
        count = 0
        for row in self._journal.ranges():
            count += 1
            where = f"{_who(outboxes.get(row.outbox))} seqs {row.first}..{row.last}"
            if row.outbox != reached[0]:
                reached = (row.outbox, 0)
            if row.first <= reached[1]:
                self._ranges.add("range", where, expected=f"begins above {reached[1]}", found=f"{row.kind} again")
            own = rows.setdefault(row.outbox, {kind: [] for kind in _KINDS}).setdefault(row.kind, [])
            if own and own[-1][1] + 1 == row.first:
                self._ranges.add("range", where, expected="one range", found=f"two that touch at {row.first}")
            own.append((row.first, row.last))
            reached = (row.outbox, max(reached[1], row.last))
        for outbox, kinds in rows.items():
            if (name := outboxes.get(outbox)) is not None:
                self._known[name] = {kind: SeqSet.of(spans) for kind, spans in kinds.items()}
        self._ranges.say(f"{count:,} ranges of {len(outboxes):,} outboxes")

    def _check_batches(self) -> None:
        """Every batch is there, and says today what it said when it was committed."""
        weighed = self._journal.movements_of_batches()
        ahead: tuple[int, MovementRow] | None = None
        awaited = self.last
        for row in self._journal.batches():
            where = f"batch {row.number}"
            if row.number != awaited:
                self._batches.add("batch", f"below {awaited + 1}", expected=awaited, found=row.number)
            awaited = row.number - 1
            self._kept["batches"] += 1
            self._kept["readings"] += row.readings
            self._kept["movements"] += row.movements
            self._batches.compare("size", where, expected=len(row.heads) + len(row.body), found=row.size)
            rows, ahead = self._weighed_in(row.number, weighed, ahead)
            try:
                said = rederive(row)
            except UnreadableError as exc:
                self._batches.add("envelopes", where, expected="to be decoded again", found=exc)
                continue
            self._batches.compare("readings", where, expected=len(said.times), found=row.readings)
            self._batches.compare("weighings", where, expected=len(said.movements), found=row.movements)
            for name, seqs in said.seqs:
                self._brought.setdefault(name, _Brought()).add(seqs)
            self._compare_weighings(where, said.movements, rows)
            self._on_batch(row, said)
        self._batches.compare("oldest batch", "journal", expected=self.trimmed + 1, found=awaited + 1)
        rest = chain([] if ahead is None else [ahead], weighed)
        for number, weighing in rest:
            self._count_weighing(number)
            if number > self.trimmed:
                self._weighings.add("batch", _weighing(weighing), expected=number, found="no such batch")
            elif (name := _name(weighing)) in self._brought and weighing.seq in self._brought[name].seqs():
                self._weighings.add("seq", _weighing(weighing), expected=f"batch {number}", found="in a later one too")
            self._check_committed(weighing)
        self._batches.say(f"{self._kept['batches']:,} batches decoded again")
        if self.trimmed:
            self._batches.say(f"of batches up to {self.trimmed:,} the bytes are trimmed, so these are not")
        self._weighings.say(f"{self._weighed['all']:,} weighings")

    def _weighed_in(
        self, number: int, weighed: Iterator[tuple[int, MovementRow]], ahead: tuple[int, MovementRow] | None
    ) -> tuple[list[MovementRow], tuple[int, MovementRow] | None]:
        """The weighings of one batch, and the first row behind them."""
        rows: list[MovementRow] = []
        with self._weighings.reading():
            for each in chain([] if ahead is None else [ahead], weighed):
                if each[0] < number:
                    return rows, each
                self._count_weighing(each[0])
                self._check_committed(each[1])
                if each[0] > number:
                    self._weighings.add("batch", _weighing(each[1]), expected=each[0], found="no such batch")
                else:
                    rows.append(each[1])
        return rows, None

    def _count_weighing(self, number: int) -> None:
        self._weighed["all"] += 1
        self._weighed["trimmed"] += number <= self.trimmed

    def _check_committed(self, row: MovementRow) -> None:
        if row.seq not in self._known.get(_name(row), {}).get("committed", _NONE):
            self._weighings.add("seq", _weighing(row), expected="in a committed range", found="in none")

    def _compare_weighings(self, where: str, expected: list[MovementRow], found: list[MovementRow]) -> None:
        said = sorted((row[:5], row) for row in expected)
        for _, here, there in merge(said, ((row[:5], row) for row in found)):
            compare_weighing(self._weighings, where, here, there)

    def _check_ranges(self) -> None:
        """What batches brought is committed, once; what is committed was brought by some batch."""
        forgotten = lacking = 0
        for name in sorted({*self._brought, *self._known}):
            brought = self._brought.get(name, _Brought())
            for first, last in brought.twice():
                self._ranges.add("seqs", f"{_who(name)} {first}..{last}", expected="in one batch", found="in several")
            committed = self._known.get(name, {}).get("committed", _NONE)
            for first, last in (brought.seqs() - committed).ranges:
                self._ranges.add("seqs", f"{_who(name)} {first}..{last}", expected="committed", found="not committed")
            other = committed - brought.seqs()
            forgotten += len(other)
            for first, last in () if self.trimmed else other.ranges:
                self._ranges.add("seqs", f"{_who(name)} {first}..{last}", expected="in a batch", found="in none")
            settled = reduce(or_, self._known.get(name, {}).values(), _NONE)
            lacking += len(settled.holes(1))
        if lacking:
            self._ranges.say(
                f"{lacking:,} seqs below the newest of their outbox are in none: their nodes hold them still, or a "
                "journal settled them that was not this one"
            )
        if self.trimmed:
            self._ranges.say(f"{forgotten:,} seqs of trimmed batches are taken as they stand")

    def _check_quarantine(self) -> None:
        """Every digest is that of its message, and every refused seq has its envelope here."""
        evidence: dict[NodeEpoch, _Brought] = {}
        count = seen = 0
        for row in self._journal.suspects():
            count += 1
            digest = hashlib.sha256(row.topic.encode() + b"\x00" + row.payload).digest()
            self._quarantine.compare("digest", f"message {row.id}", expected=digest, found=row.digest)
            seen += row.seen
            if named := _named(row.topic, row.payload):
                evidence.setdefault(named[0], _Brought()).add(named[1])
        if self.totals.get("quarantine_dropped", 0):
            self._quarantine.say("refused seqs are not looked for, because the oldest messages had to go")
        else:
            for name, kinds in self._known.items():
                for first, last in (kinds["refused"] - evidence.get(name, _Brought()).seqs()).ranges:
                    where = f"{_who(name)} seqs {first}..{last}"
                    self._quarantine.add("refused", where, expected="an envelope in quarantine", found="none")
        self._quarantine.say(f"{count:,} messages, seen {seen:,} times")
        gone = self.totals.get("quarantine_dropped", 0) + self.totals.get("replayed", 0)
        self._compare_total(self._quarantine, "quarantined", seen + gone)

    def _check_totals(self) -> None:
        for name in ("batches", "readings", "movements", "refused", "dropped", "quarantined", "trimmed"):
            if name not in self.totals:
                self._totals_check.add("total", name, expected="a number", found="nothing")
        forgotten = {name: self.totals.get(f"trimmed_{name}", 0) for name in ("readings", "movements")}
        self._compare_total(self._totals_check, "batches", self.trimmed + self._kept["batches"])
        self._compare_total(self._totals_check, "readings", forgotten["readings"] + self._kept["readings"])
        self._compare_total(self._totals_check, "movements", forgotten["movements"] + self._kept["movements"])
        self._compare_total(self._totals_check, "movements", self._weighed["all"])
        self._compare_total(self._totals_check, "trimmed_movements", self._weighed["trimmed"])
        for kind in ("refused", "dropped"):
            self._compare_total(self._totals_check, kind, sum(len(known[kind]) for known in self._known.values()))
        told = ", ".join(f"{self.totals.get(name, 0):,} {name}" for name in ("readings", "movements", "batches"))
        self._totals_check.say(f"{told}; repeats leave no trace, so their total is taken as it stands")

    def _compare_total(self, check: Check, name: str, expected: int) -> None:
        if (found := self.totals.get(name, 0)) == _FULL:
            check.say(f"total {name} is full and counts no more")
        else:
            check.compare("total", name, expected=f"{expected:,}", found=f"{found:,}")


class _Brought:
    """The seqs that batches brought of one outbox, and those that came twice."""

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []
        self._merged = 0
        self._twice: list[tuple[int, int]] = []

    def add(self, seqs: SeqSet) -> None:
        self._spans += seqs.ranges
        if len(self._spans) > 2 * self._merged + _AT_ONCE:
            self._merge()

    def seqs(self) -> SeqSet:
        if len(self._spans) != self._merged:
            self._merge()
        return SeqSet(tuple(self._spans))

    def twice(self) -> tuple[tuple[int, int], ...]:
        self.seqs()
        return SeqSet.of(self._twice).ranges

    def _merge(self) -> None:
        reached = 0
        for first, last in sorted(self._spans):
            if first <= reached:
                self._twice.append((first, min(last, reached)))
            reached = max(reached, last)
        self._spans = list(SeqSet.of(self._spans).ranges)
        self._merged = len(self._spans)


def compare_weighing(check: Check, where: str, expected: MovementRow | None, found: MovementRow | None) -> None:
    """Name what two rows of one identity do not agree in, or which of them is missing."""
    if expected is None:
        if found is not None:
            check.add("weighing", f"{where}, {_weighing(found)}", expected="none", found=f"{found.net_g:,} g")
    elif found is None:
        check.add("weighing", f"{where}, {_weighing(expected)}", expected=f"{expected.net_g:,} g", found="none")
    elif expected != found:
        for name, one, other in zip(MovementRow._fields, expected, found, strict=True):
            check.compare(name, f"{where}, {_weighing(found)}", expected=one, found=other)


def _named(topic: str, payload: bytes) -> tuple[NodeEpoch, SeqSet] | None:
    """Whose seqs a message in quarantine carries; None for one that is no envelope."""
    try:
        place = topics.parse(topic)
        if place.channel is not Channel.UP:
            return None
        sent = envelope.parse(place, payload)
    except WireError:
        return None
    return NodeEpoch(place.hub, place.node, sent.epoch), sent.seqs()


def _name(row: MovementRow) -> NodeEpoch:
    return NodeEpoch(row.hub, row.node, row.epoch)


def _who(name: NodeEpoch | None) -> str:
    return "an outbox that is not there," if name is None else "/".join(name)


def _weighing(row: MovementRow) -> str:
    return f"{_who(_name(row))} seq {row.seq} index {row.place}"
