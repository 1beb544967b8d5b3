"""The core in a world that loses, repeats, reorders, restarts and restores: nothing is lost, nothing comes twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tweeling.wire.ack import Ack
from tweeling.wire.ranges import SeqSet
from tweeling_edge.agent import Agent
from tweeling_edge.events import (
    Acked,
    Command,
    Connected,
    Delete,
    Disconnected,
    Drop,
    Dropped,
    Event,
    Forget,
    Handed,
    Hangup,
    NewEpoch,
    Publish,
    Queued,
    Renewed,
    Returned,
    Tick,
    Trust,
)
from tweeling_edge.limits import Limits

LIMITS = Limits(pack=4, messages=6, reserve=2, live=5, drops=3)


@dataclass
class Disk:
    """What the outbox keeps, as a model."""

    epoch: str
    last: int = 0
    rows: dict[int, str] = field(default_factory=dict)
    fresh: int | None = None
    drops: dict[int, Drop] = field(default_factory=dict)
    drop_id: int = 0

    def copy(self) -> Disk:
        return Disk(self.epoch, self.last, dict(self.rows), self.fresh, dict(self.drops), self.drop_id)


@dataclass(frozen=True)
class Letter:
    """An envelope on its way, with what each seq says."""

    epoch: str
    body: tuple[tuple[int, str], ...]
    low: int
    dropped: tuple[tuple[int, int, str], ...]
    ask: bool


class Hub:
    """Commits by (epoch, seq), once; refuses what is marked bad; asks for what is missing."""

    def __init__(self) -> None:
        self.committed: dict[str, dict[int, str]] = {}
        self.refused: dict[str, dict[int, str]] = {}
        self.dropped: dict[str, SeqSet] = {}
        self.stored: Counter[str] = Counter()
        self.low: dict[str, int] = {}

    def take(self, letter: Letter, rng: Random) -> Ack:
        committed = self.committed.setdefault(letter.epoch, {})
        refused = self.refused.setdefault(letter.epoch, {})
        for seq, body in letter.body:
            if seq in committed or seq in refused:
                continue
            if body.endswith("bad"):
                refused[seq] = body
            else:
                committed[seq] = body
                self.stored[body] += 1
        told = SeqSet.of((first, last) for first, last, _ in letter.dropped)
        self.dropped[letter.epoch] = self.dropped.get(letter.epoch, SeqSet()) | told
        low = self.low[letter.epoch] = max(self.low.get(letter.epoch, 1), letter.low)
        known = SeqSet.from_seqs(committed)
        bad = SeqSet.from_seqs(refused)
        gaps = (known | bad).holes(low) - self.dropped[letter.epoch]
        mine = SeqSet.from_seqs(seq for seq, _ in letter.body)
        return Ack(
            epoch=letter.epoch,
            committed=known.ranges if letter.ask else (known & mine).ranges,
            refused=tuple((a, b, "bad") for a, b in (bad if letter.ask else bad & mine).ranges),
            want=gaps.ranges if rng.random() < 0.3 else (),
            known=letter.ask,
            rate=rng.choice((0, 0, 50)),
            retry_after=rng.choice((0, 0, 0, 0, 2)),
        )

    def settled(self, epoch: str) -> dict[int, str]:
        return self.committed.get(epoch, {}) | self.refused.get(epoch, {})

    def heard(self, epoch: str) -> SeqSet:
        return SeqSet.from_seqs(self.settled(epoch)) | self.dropped.get(epoch, SeqSet())


class World:
    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.now = 100.0
        self.disk = Disk("0" * 16, fresh=1)
        self.epochs = 0
        self.image: Disk | None = None
        self.lost_with_image: set[str] = set()
        self.hub = Hub()
        self.up: list[tuple[int, Letter]] = []
        self.acks: list[Ack] = []
        self.online = False
        self.made: set[str] = set()
        self.given_up: set[str] = set()
        self.deleted: set[str] = set()
        self.agent = self._boot()

    def _boot(self) -> Agent:
        disk = self.disk
        if disk.fresh is None:
            disk.fresh = disk.last + 1
        return Agent(
            epoch=disk.epoch,
            last=disk.last,
            held=SeqSet.from_seqs(disk.rows).ranges,
            fresh_from=disk.fresh,
            drops=disk.drops.values(),
            limits=LIMITS,
        )

    def do(self, event: Event) -> None:
        pending: list[Event] = [event]
        while pending:
            for command in self.agent.on(pending.pop(0), self.now):
                pending += self.carry_out(command)
        self.check()

    def carry_out(self, command: Command) -> list[Event]:
        disk = self.disk
        match command:
            case Publish():
                self.publish(command)
            case Delete(epoch, committed, refused):
                assert epoch == disk.epoch
                self.delete(committed | SeqSet.of((a, b) for a, b, _ in refused))
            case Forget(ids):
                gone = [disk.drops.pop(i) for i in ids if i in disk.drops]
                missed = SeqSet.of((drop.first, drop.last) for drop in gone) - self.hub.heard(disk.epoch)
                assert not missed, "a drop is forgotten only when the hub knows of it"
            case Trust():
                disk.fresh = None
            case NewEpoch(settled):
                self.delete(settled)
                self.epochs += 1
                disk.epoch = f"{self.epochs:016x}"
                disk.rows = dict(enumerate((disk.rows[seq] for seq in sorted(disk.rows)), 1))
                disk.last, disk.fresh, disk.drops = len(disk.rows), None, {}
                return [Renewed(disk.epoch, disk.last)]
            case Hangup():
                return [self._cut()]
        return []

    def publish(self, command: Publish) -> None:
        assert self.online
        body = tuple((seq, self.disk.rows[seq]) for seq in command.seqs)
        assert len(body) <= LIMITS.pack
        assert not body or self.disk.fresh is None, "readings travel only after the hub and the disk agree"
        letter = Letter(self.disk.epoch, body, command.low, command.dropped, command.ask)
        self.up.append((command.message, letter))

    def delete(self, settled: SeqSet) -> None:
        known = self.hub.settled(self.disk.epoch)
        for seq in settled:
            body = self.disk.rows.pop(seq)
            assert known[seq] == body, "only what the hub has settled is deleted"
            self.deleted.add(body)

    def check(self) -> None:
        if self.disk.epoch == self.agent.epoch:
            assert SeqSet.from_seqs(self.disk.rows) == self.agent.held
            oldest = min([*self.disk.rows, *(drop.first for drop in self.disk.drops.values())], default=None)
            assert oldest is None or self.agent.low <= oldest, "low never passes what is held or unannounced"
            assert self.agent.low <= self.disk.last + 1

    # -------------------------------------------------------- what can happen

    def put(self) -> None:
        disk, rng = self.disk, self.rng
        first = disk.last + 1
        for _ in range(rng.randint(1, 7)):
            disk.last += 1
            body = f"r{len(self.made)}" + ("bad" if rng.random() < 0.1 else "")
            self.made.add(body)
            disk.rows[disk.last] = body
        self.do(Queued(disk.epoch, first, disk.last, live=rng.random() < 0.6))

    def connect(self) -> None:
        if not self.online:
            self.online = True
            self.do(Connected())
            if self.up and self.up[-1][1].ask and self.rng.random() < 0.7:  # most examples shall come to the point
                message, letter = self.up[-1]
                self.do(Handed(message))
                self.do(Acked(self.hub.take(letter, self.rng).model_copy(update={"retry_after": 0})))

    def cut(self) -> None:
        if self.online:
            self.do(self._cut())

    def _cut(self) -> Disconnected:
        self.online = False
        self.up = [item for item in self.up if self.rng.random() < 0.5]  # some had reached the broker
        return Disconnected()

    def confirm(self) -> None:
        if self.up and self.online:
            self.do(Handed(self.rng.choice(self.up)[0]))

    def decline(self) -> None:
        if self.up and self.online:
            self.do(Returned(self.up.pop(self.rng.randrange(len(self.up)))[0]))

    def deliver(self) -> None:
        if self.up:
            at = self.rng.randrange(len(self.up))
            message, letter = self.up[at]
            if self.rng.random() < 0.8:
                del self.up[at]
            self.acks.append(self.hub.take(letter, self.rng))
            if self.online:
                self.do(Handed(message))

    def lose(self) -> None:
        if self.up:
            message, _ = self.up.pop(self.rng.randrange(len(self.up)))
            if self.online:
                self.do(Handed(message))  # a PUBACK is no delivery

    def answer(self) -> None:
        if self.acks:
            at = self.rng.randrange(len(self.acks))
            ack = self.acks[at]
            if self.rng.random() < 0.8:
                del self.acks[at]
            if self.online and self.rng.random() < 0.8:
                self.do(Acked(ack))

    def tick(self) -> None:
        self.now += self.rng.choice((0.1, 1, 6, 70))
        self.do(Tick())

    def thin(self) -> None:
        disk = self.disk
        if not disk.rows:
            return
        gone = self.rng.sample(sorted(disk.rows), self.rng.randint(1, min(3, len(disk.rows))))
        drops = []
        for first, last in SeqSet.from_seqs(gone).ranges:
            disk.drop_id += 1
            drops.append(Drop(disk.drop_id, first, last, "thinned"))
        self.given_up |= {disk.rows.pop(seq) for seq in gone}
        disk.drops.update({drop.id: drop for drop in drops})
        self.do(Dropped(disk.epoch, tuple(drops)))

    def crash(self) -> None:
        self.online = False
        self.agent = self._boot()

    def snapshot(self) -> None:
        self.image = self.disk.copy()

    def restore(self) -> None:
        """An old copy of the disk comes back; what was queued since is lost with it, and no old message is alive."""
        if self.image is not None:
            while self.up:
                self.hub.take(self.up.pop()[1], self.rng)
            self.acks.clear()
            now_held = set(self.disk.rows.values())
            self.disk, self.image = self.image, None
            self.lost_with_image |= now_held - set(self.disk.rows.values())
            self.crash()

    def settle_down(self) -> None:
        """The world behaves from here on."""
        for _ in range(3000):
            self.connect()
            while self.up:
                message, letter = self.up.pop(0)
                if self.online:
                    self.do(Handed(message))
                self.acks.append(self.hub.take(letter, self.rng))
            while self.acks:
                self.do(Acked(self.acks.pop(0)))
            if not self.disk.rows and not self.disk.drops and self.agent.connected:
                return
            if self.disk.rows or not self.agent.connected:
                due = self.agent.due()
                assert due is not None or self.up, "the agent would wait for ever"
                self.now = max(self.now, due or 0)
                self.do(Tick())
            else:
                self.put()  # drops are proven heard by the next reading
        raise AssertionError("not settled")


QUIET = (
    *("put", "put", "connect", "confirm", "decline", "deliver", "deliver", "answer", "answer", "tick", "lose", "cut"),
    "thin",
)
steps = st.lists(st.sampled_from(QUIET), max_size=40)


def _live(rng: Random, steps: list[str]) -> World:
    world = World(rng)
    for step in steps:
        getattr(world, step)()
    world.settle_down()
    return world


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from((*QUIET, "crash")), max_size=150))
def test_whatever_the_channel_does_everything_is_committed_exactly_once(rng: Random, steps: list[str]) -> None:
    world = _live(rng, steps)
    once = {body for body in world.made if not body.endswith("bad")}
    assert set(world.hub.stored) >= once - world.given_up
    assert set(world.hub.stored.values()) <= {1}
    assert world.epochs == 0
    assert world.deleted | world.given_up == world.made


@settings(max_examples=300)
@given(st.randoms(use_true_random=False), steps, steps, steps, st.booleans())
def test_a_restored_disk_loses_nothing_that_is_on_it(
    rng: Random, before: list[str], since: list[str], after: list[str], again: bool
) -> None:
    offline = ["put"] * rng.randint(0, 3) + ["crash", "put"] * again
    world = _live(rng, ["put", "connect", *before, "snapshot", *since, "restore", *offline, *after])
    once = {body for body in world.made if not body.endswith("bad")}
    assert set(world.hub.stored) >= once - world.given_up - world.lost_with_image


@settings(max_examples=200)
@given(st.randoms(use_true_random=False), st.lists(st.sampled_from(QUIET), max_size=100))
def test_the_hub_sees_no_gap_that_was_not_announced(rng: Random, steps: list[str]) -> None:
    world = _live(rng, steps)
    for epoch, low in world.hub.low.items():
        below = SeqSet(((1, low - 1),)) if low > 1 else SeqSet()
        assert not below - world.hub.heard(epoch), "below low every seq is settled or was announced as dropped"
