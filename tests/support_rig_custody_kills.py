"""Kills along the way of an event to the chain, at seeded and named points; and what must be true after each life."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import sqlalchemy as sa
from support_broker import until
from support_rfc9162 import tree_of
from support_rig_custody import CustodyRig

from tweeling.adapters.sql import tables
from tweeling.domain import note, receipt
from tweeling.verify import TrustedLog, verify

PATIENCE_S = 120.0

POINTS = (
    "answers",  # some answers later, with more events under way: before the append, in it, or before the answer
    "append",  # the file has grown: an event is in it, or about to be, and nobody knows
    "checkpoint",  # one is kept, and nobody has heard of it
    "step",  # anchoring has begun, and asks for the head
    "sent",  # the anchor is signed, and does not reach the chain
    "taken",  # the chain has taken the anchor, and nobody was told
    "mined",  # the anchor's receipt is on its way
    "anchored",  # the anchor is in the records, and the next step begins
    "start",  # after that share of a start-up's calls
)


class Kill(NamedTuple):
    """One point. amount: for the how-manieth time; share: of a start-up."""

    victims: tuple[str, ...]
    point: str
    amount: int
    share: float


def plan(seed: int, count: int, *, server: bool = False) -> list[Kill]:
    """Deal points evenly, in random order, until the hub dies so often; at some another dies too, or instead."""
    rng = Random(seed)
    deck: list[str] = []
    others = ["chain", *(["server"] if server else [])]
    kills: list[Kill] = []
    while deaths(kills, "hub") < count:
        deck = deck or rng.sample(POINTS, len(POINTS))
        number, point = len(kills), deck.pop(0)
        victims: tuple[str, ...] = ("hub",)
        if point in {"answers", "append", "checkpoint"} and number % 2:
            other = rng.choice(others)
            victims = rng.choice([(other,), ("hub", other)])
        most = 40 if point in {"answers", "append"} else 2
        kills.append(Kill(victims, point, rng.randint(1, most), rng.random()))
    return kills


def deaths(kills: Sequence[Kill], victim: str) -> int:
    """How often a plan kills somebody."""
    return sum(victim in kill.victims for kill in kills)


class History:
    """Everything that was ever told of a log; nothing of it may change."""

    def __init__(self, rig: CustodyRig) -> None:
        self._rig = rig
        self.entries: list[tuple[str, bytes]] = []
        self.roots: dict[int, bytes] = {}

    def look(self) -> None:
        """Compare what is kept, and what the chain holds, with all that was told before, and remember it."""
        rig = self._rig
        rows = rig.select(sa.select(tables.ENTRY.c.idx, tables.ENTRY.c.event_id, tables.ENTRY.c.body).order_by("idx"))
        assert [row.idx for row in rows] == list(range(len(rows))), "a gap"
        entries = [(row.event_id, bytes(row.body)) for row in rows]
        assert entries[: len(self.entries)] == self.entries, "an entry is lost, or another"
        for number, told in rig.clients.answered.items():
            assert entries[told.index][0] == told.event_id, f"event {number} was answered with index {told.index}"
        leaves = [hashlib.sha256(b"\x00" + body).digest() for _, body in entries]
        self._same("leaves", [bytes(row.hash) for row in rig.select(_LEAVES)], leaves)
        self._same("events", [row.idx for row in rig.select(_EVENTS)], list(range(len(entries))))
        tree = tree_of(leaves)
        told_of = [(row.size, bytes(row.root)) for row in rig.select(_CHECKPOINTS)]
        assert self.entries == [] or {size for size, _ in told_of} >= self.signed(), "a checkpoint is lost"
        for size, root in (*told_of, *rig.anchored(), *map(_head_of, rig.clients.receipts.values())):
            if size not in self.roots:
                assert size <= len(leaves), f"a head of size {size}, and {len(leaves)} entries"
                assert root == tree.root(size), f"the head of size {size} is none of this log"
            assert self.roots.setdefault(size, root) == root, f"two roots for size {size}"
        self.entries = entries

    def signed(self) -> set[int]:
        """Every size for which a root was signed."""
        return set(self.roots)

    @staticmethod
    def _same(what: str, found: Sequence[Any], expected: Sequence[Any]) -> None:
        assert found == expected, f"{what}: {len(found)} of {len(expected)} entries"


def _head_of(data: bytes) -> tuple[int, bytes]:
    head = note.tree_head(note.parse(receipt.read(data).checkpoint))
    return head.size, head.root


_LEAVES = sa.select(tables.NODE.c.hash).where(tables.NODE.c.level == 0).order_by(tables.NODE.c.idx)
_EVENTS = sa.select(tables.EVENT.c.idx).order_by(tables.EVENT.c.idx)
_CHECKPOINTS = sa.select(tables.CHECKPOINT.c.size, tables.CHECKPOINT.c.root).order_by(tables.CHECKPOINT.c.size)


class Killer:
    """Carries a plan out on a rig."""

    def __init__(self, rig: CustodyRig) -> None:
        self._rig = rig
        self.history = History(rig)

    def carry_out(self, kills: Sequence[Kill]) -> None:
        """Live and die, point by point; after each death look at what is left."""
        rig = self._rig
        for number, kill in enumerate(kills, 1):
            rig.guard.tell(f"{number}. {' and '.join(kill.victims)}: {kill.point}, {kill.amount}, {kill.share:.3f}")
            if kill.point == "start":
                self._die_starting(kill.share)
            else:
                rig.start()
                with rig.clients.bring():
                    self._await(kill)
                    self._kill(kill.victims)
            self._revive()
            self.history.look()

    def finish(self) -> None:
        """Everybody is answered, all is anchored, the hub stops as its user would, and the auditor agrees."""
        rig = self._rig
        rig.start()
        with rig.clients.bring():
            goal = len(rig.clients.answered) + 20
            until(lambda: len(rig.clients.answered) >= goal, "the log takes events", seconds=PATIENCE_S)
        size = rig.select(sa.select(sa.func.count()).select_from(tables.ENTRY))[0][0]
        until(
            lambda: f"anchored to size {size} in" in rig.part("ledger"), f"size {size} is anchored", seconds=PATIENCE_S
        )
        rig.clients.ask()
        assert rig.hub.terminate() == 0
        self.history.look()
        assert rig.clients.wrong == []
        assert rig.hub.said("api.failed") == rig.hub.said("Traceback") == 0
        answered = {told.event_id for told in rig.clients.answered.values()}
        assert {event_id for event_id, _ in self.history.entries} >= answered
        assert max(rig.anchored())[0] == size
        trusted = TrustedLog.parse(rig.installation.trust.read_bytes())
        assert rig.clients.receipts
        for number, data in rig.clients.receipts.items():
            assert verify(data, [trusted]).index == rig.clients.answered[number].index
        checks = rig.fsck()
        assert checks["custody chain"]["compared"], checks["custody chain"]
        assert f"{size:,} entries" in checks["custody entries"]["detail"]

    def _await(self, kill: Kill) -> None:
        rig = self._rig
        match kill.point:
            case "answers":
                goal = len(rig.clients.answered) + kill.amount
                until(lambda: len(rig.clients.answered) >= goal, f"{kill.amount} more answers", seconds=PATIENCE_S)
            case "append":
                self._await_growth(kill.amount)
            case "checkpoint":
                for _ in range(kill.amount):
                    size = rig.newest_checkpoint()
                    until(lambda size=size: rig.newest_checkpoint() > size, "a new checkpoint", seconds=PATIENCE_S)  # type: ignore[misc]  # bound now
            case _:
                self._await_on_wire(kill)

    def _await_growth(self, amount: int) -> None:
        rig = self._rig
        if rig.server is not None:
            goal = rig.clients.sent + amount
            until(lambda: rig.clients.sent >= goal, f"{amount} more events are sent", seconds=PATIENCE_S)
            return
        wal = rig.file.with_name("records.db-wal")
        for _ in range(amount):
            before = _changed(wal)
            until(lambda before=before: _changed(wal) != before, "the file grows", seconds=PATIENCE_S)  # type: ignore[misc]  # bound now

    def _await_on_wire(self, kill: Kill) -> None:
        """The hub is killed from within the wire, so that what it waits for never comes."""
        rig, reached, left = self._rig, threading.Event(), kill.amount
        moment, method = _MOMENTS[kill.point]
        mined = False

        def watch(now: str, asked: str, result: Any) -> bool:
            nonlocal left, mined
            if kill.point == "anchored" and (now, asked) == ("answered", "eth_getTransactionReceipt") and result:
                mined = True  # the next question comes when it is in the records
                return False
            here = mined if kill.point == "anchored" else asked == method and (result or now == "asked")
            if reached.is_set() or now != moment or not here:
                return reached.is_set()
            mined, left = False, left - 1
            if left:
                return False
            os.kill(rig.hub.pid, signal.SIGKILL)
            reached.set()
            return True

        rig.wire.watch = watch
        try:
            assert reached.wait(PATIENCE_S), f"{kill.point} is not reached"
        finally:
            rig.wire.watch = lambda *_: False

    def _die_starting(self, share: float) -> None:
        hub = self._rig.hub
        if not hub.startup_calls:
            self._rig.start()
            hub.kill()
        goal = share * hub.startup_calls
        if hub.running:
            hub.kill()
        hub.start(wait=False)
        until(lambda: hub.calls() >= goal, "the start is that far")
        hub.kill()

    def _kill(self, victims: Sequence[str]) -> None:
        rig = self._rig
        for name in victims:
            if name == "server":
                assert rig.server is not None
                rig.server.kill()
            else:
                program = rig.hub if name == "hub" else rig.chain
                if program.running or name == "hub":
                    program.kill()

    def _revive(self) -> None:
        """Whoever is asked about the log has to be there."""
        rig = self._rig
        if not rig.chain.running:
            rig.start_chain()
        if rig.server is not None and not rig.server.running:
            rig.server.start()


_MOMENTS = {
    "step": ("asked", "eth_call"),
    "sent": ("asked", "eth_sendRawTransaction"),
    "taken": ("answered", "eth_sendRawTransaction"),
    "mined": ("answered", "eth_getTransactionReceipt"),
    "anchored": ("asked", ""),
}


def _changed(path: Path) -> tuple[int, int]:
    with suppress(FileNotFoundError):
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    return 0, 0
