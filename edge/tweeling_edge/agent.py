"""The agent's core: which readings travel now, and which may be forgotten. It touches no clock, disk or socket.

Held readings wait in two lanes. Live ones go first; the backlog follows, oldest first, at the rate the hub grants. What
is sent stays held until the hub names it committed or refused; what it does not name in time is sent again.

Three rules keep it honest:

* `low`, which tells the hub below which seq nothing is missing, never passes a reading that is held, nor one that was
  dropped before the hub has heard why.
* After each connect nothing is sent before the hub has answered `ask`. If the hub then names a seq that this node never
  sent, the outbox was restored from an old copy: a new epoch starts, and what is held travels under new numbers.
* The time to wait for the hub's word starts when the broker has the message: a slow uplink is not flooded with repeats.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import assert_never

from tweeling.wire.ack import Ack
from tweeling.wire.ranges import Range, SeqSet
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be under way, and how long to wait. Seconds; readings are counted by seq."""

    pack: int = 100  # readings in an envelope
    messages: int = 20  # envelopes the hub has not answered; paho searches its own linearly
    reserve: int = 4  # of the messages, kept for live readings
    live: int = 500  # live readings that wait; older ones join the backlog
    drops: int = 200  # announcements in an envelope
    ask_s: float = 3.0
    wait_s: float = 5.0  # at least, for the hub's word
    wait_max_s: float = 60.0
    declined_s: float = 1.0  # after the broker would not take a message; longer each time
    pause_max_s: float = 3600.0  # a hub may not silence a node for longer
    doubt_s: float = 1.0  # a `want` younger than this crossed with the reading it wants
    burst_s: float = 0.05  # the granted rate may lag behind by so much
    stuck_s: float = 60.0  # without any confirmation of the broker


@dataclass(slots=True)
class _Flight:
    seqs: SeqSet
    live: bool
    handed_at: float | None = None


@dataclass(slots=True)
class _Asking:
    """The question to the hub: when to put it again."""

    next_at: float = 0.0
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class _Proof:
    """Whoever has one of these readings has heard of these drops: they never travelled without them."""

    seqs: SeqSet
    ids: tuple[int, ...]


@dataclass(slots=True)
class Counters:
    """Since the agent started."""

    sent: int = 0
    repeated: int = 0
    committed: int = 0
    refused: int = 0
    epochs: int = 0


@dataclass(slots=True)
class _Lanes:
    """Held readings that are not under way."""

    live: SeqSet = field(default_factory=SeqSet)
    backlog: SeqSet = field(default_factory=SeqSet)

    def add(self, seqs: SeqSet, *, live: bool, limit: int) -> None:
        if live:
            self.live |= seqs
            spill = _take(self.live, len(self.live) - limit)
            self.live -= spill
            self.backlog |= spill
        else:
            self.backlog |= seqs

    def remove(self, seqs: SeqSet) -> None:
        self.live -= seqs
        self.backlog -= seqs


class Agent:
    """Give it what happened and when (monotonic seconds), and do what it answers, in order."""

    def __init__(
        self,
        *,
        epoch: str,
        last: int,
        held: SeqSet,
        fresh_from: int | None,
        drops: Iterable[Drop] = (),
        limits: Limits | None = None,
    ) -> None:
        """Start from what the outbox holds; fresh_from is its first seq that was surely never sent, where in doubt."""
        self.epoch = epoch
        self.last = last
        self.held = held
        self.limits = limits or Limits()
        self.counters = Counters()
        self._fresh_from = fresh_from
        self._drops = {drop.id: drop for drop in drops}
        self._lanes = _Lanes(backlog=held)
        self._flights: dict[int, _Flight] = {}
        self._sent_before = SeqSet()
        self._never_sent_from = last + 1
        self._proofs: list[_Proof] = []
        self._message = 0
        self._connected = False
        self._answered = False
        self._renewing = False
        self._asking = _Asking()
        self._rate = 0.0
        self._drain_at = 0.0
        self._paused_until = 0.0
        self._declined = 0.0
        self._wait = 0.0
        self._latency: float | None = None
        self._confirmed_at = 0.0

    def on(self, event: Event, now: float) -> list[Command]:
        """Take in what happened; return what to do, in order."""
        return self._take_in(event, now) + self._pump(now)

    @property
    def low(self) -> int:
        """The oldest seq that is held, or given up without the hub's knowledge; the next one if there is none."""
        oldest = [drop.first for drop in self._drops.values()]
        if self.held:
            oldest.append(self.held.ranges[0][0])
        return min(oldest, default=self.last + 1)

    @property
    def connected(self) -> bool:
        """Whether the hub has answered on this connection."""
        return self._connected and self._answered

    def due(self) -> float | None:
        """When to send a Tick at the latest; None while only an event can change anything."""
        if not self._connected or self._renewing:
            return None
        times = []
        if not self._answered:
            times.append(self._asking.next_at)
        else:
            wait = self._patience()
            times += [
                self._confirmed_at + self.limits.stuck_s if flight.handed_at is None else flight.handed_at + wait
                for flight in self._flights.values()
            ]
            if self._lanes.live and self._room(live=True):
                times.append(self._paused_until)
            if self._lanes.backlog and self._room(live=False):
                times.append(self._drain_at)
        return max(min(times), self._paused_until) if times else None

    # ------------------------------------------------------------ what comes in

    def _take_in(self, event: Event, now: float) -> list[Command]:
        match event:
            case Acked(ack):
                return self._acked(ack, now)
            case Queued():
                self._queued(event)
            case Dropped():
                self._dropped(event)
            case Renewed():
                self._renewed(event)
            case Connected() | Disconnected():
                self._link(up=isinstance(event, Connected))
            case Handed(message):
                self._handed(message, now)
            case Returned(message):
                self._returned(message, now)
            case Tick():
                pass
            case _:
                assert_never(event)
        return []

    def _link(self, *, up: bool) -> None:
        self._connected, self._answered = up, False
        self._asking = _Asking()
        for message in list(self._flights):
            self._recall(message)

    def _returned(self, message: int, now: float) -> None:
        self._confirmed_at = now
        if message in self._flights:
            self._recall(message)
        if now >= self._paused_until:  # those that come back together count as one
            self._declined = min(2 * self._declined or self.limits.declined_s, self.limits.wait_max_s)
            self._paused_until = now + self._declined

    def _handed(self, message: int, now: float) -> None:
        self._confirmed_at = now
        self._declined = 0.0
        if flight := self._flights.get(message):
            flight.handed_at = now

    def _queued(self, event: Queued) -> None:
        if event.epoch != self.epoch:
            return  # the outbox was renewed after it: Renewed counts it
        seqs = SeqSet(((event.first, event.last),))
        self.last = max(self.last, event.last)
        self.held |= seqs
        self._lanes.add(seqs, live=event.live, limit=self.limits.live)

    def _dropped(self, event: Dropped) -> None:
        if event.epoch != self.epoch:
            return
        self._drops.update({drop.id: drop for drop in event.drops})
        self._release(SeqSet.of((drop.first, drop.last) for drop in event.drops))

    def _renewed(self, event: Renewed) -> None:
        self.epoch, self.last = event.epoch, event.last
        self.held = _below(event.last + 1)
        self._lanes = _Lanes(backlog=self.held)
        self._flights.clear()
        self._drops.clear()
        self._sent_before = SeqSet()
        self._never_sent_from = 1
        self._proofs.clear()
        self._fresh_from = None
        self._renewing = False
        self._answered = self._connected  # an epoch nobody knows leaves nothing to ask
        self._asking = _Asking()
        self.counters.epochs += 1

    def _acked(self, ack: Ack, now: float) -> list[Command]:
        if ack.epoch != self.epoch or self._renewing:
            return []
        committed = SeqSet.of(ack.committed)
        refused = SeqSet.of((first, last) for first, last, _ in ack.refused) - committed
        settled = committed | refused
        if ack.rate != self._rate:
            self._rate, self._drain_at = ack.rate, now
        if ack.retry_after:
            self._paused_until = max(self._paused_until, now + min(ack.retry_after, self.limits.pause_max_s))
        if settled.highest >= self._never_sent():
            return self._disown(settled)
        commands = self._settle(committed & self.held, refused & self.held, ack, now)
        if ack.known and self._connected and not self._answered:
            self._answered = True
            if self._fresh_from is not None:
                self._fresh_from = None
                commands.append(Trust())
        if heard := self._heard(settled):
            commands.append(Forget(heard))
        self._wanted(SeqSet.of(ack.want) - settled, now)
        return commands

    def _never_sent(self) -> int:
        return self.last + 1 if self._fresh_from is None else self._fresh_from

    def _disown(self, settled: SeqSet) -> list[Command]:
        # Below fresh_from the copy and the hub tell one story; where that is not certain, twice is better than never.
        same = SeqSet() if self._fresh_from is None else settled & _below(self._fresh_from)
        self._renewing = True
        self.counters.committed += len(same & self.held)
        return [NewEpoch(same & self.held)]

    def _settle(self, committed: SeqSet, refused: SeqSet, ack: Ack, now: float) -> list[Command]:
        settled = committed | refused
        if not settled:
            return []
        self._measure(settled, now)
        self._release(settled)
        self.counters.committed += len(committed)
        self.counters.refused += len(refused)
        reasons = tuple(
            (first, last, reason)
            for a, b, reason in ack.refused
            for first, last in (SeqSet(((a, b),)) & refused).ranges
        )
        return [Delete(self.epoch, committed, reasons)]

    def _heard(self, settled: SeqSet) -> tuple[int, ...]:
        proven = {i for proof in self._proofs if proof.seqs & settled for i in proof.ids}
        named = {i for i, drop in self._drops.items() if not SeqSet(((drop.first, drop.last),)) - settled}
        heard = tuple(i for i in self._drops if i in proven or i in named)
        for i in heard:
            del self._drops[i]
        self._proofs = [proof for proof in self._proofs if any(i in self._drops for i in proof.ids)]
        return heard

    def _measure(self, settled: SeqSet, now: float) -> None:
        for flight in self._flights.values():
            if flight.handed_at is not None and flight.seqs & settled and not flight.seqs & self._sent_before:
                sample = now - flight.handed_at
                self._latency = sample if self._latency is None else 0.875 * self._latency + 0.125 * sample
        self._wait = 0.0

    def _release(self, seqs: SeqSet) -> None:
        self.held -= seqs
        self._sent_before -= seqs
        self._lanes.remove(seqs)
        for message, flight in list(self._flights.items()):
            flight.seqs -= seqs
            if not flight.seqs:
                del self._flights[message]

    def _wanted(self, want: SeqSet, now: float) -> None:
        want &= _below(self.last + 1)
        if not want:
            return
        for message, flight in list(self._flights.items()):
            if flight.handed_at is not None and now - flight.handed_at >= self.limits.doubt_s and flight.seqs & want:
                self._recall(message)
        told = SeqSet.of((drop.first, drop.last) for drop in self._drops.values())
        for first, last in (want - self.held - told).ranges:
            drop = Drop(-self._next_message(), first, last, "no longer held by the node")
            self._drops[drop.id] = drop

    # ------------------------------------------------------------ what goes out

    def _pump(self, now: float) -> list[Command]:
        if not self._connected or self._renewing or now < self._paused_until:
            return []
        commands: list[Command] = []
        if any(flight.handed_at is None for flight in self._flights.values()):
            if now >= self._confirmed_at + self.limits.stuck_s:
                self._confirmed_at = now
                return [Hangup()]
        else:
            self._confirmed_at = now
        if self._answered:
            self._recall_overdue(now)
            while self._lanes.live and self._room(live=True):
                commands.append(self._send(live=True))
            while self._lanes.backlog and self._room(live=False) and now >= self._drain_at:
                commands.append(self._send(live=False))
                if self._rate:
                    self._drain_at = max(self._drain_at, now - self.limits.burst_s) + 1 / self._rate
        elif now >= self._asking.next_at:
            commands.append(self._ask(now))
        return commands

    def _room(self, *, live: bool) -> bool:
        return len(self._flights) < self.limits.messages - (0 if live else self.limits.reserve)

    def _send(self, *, live: bool) -> Publish:
        lane = self._lanes.live if live else self._lanes.backlog
        seqs = _take(lane, self.limits.pack)
        self._lanes.remove(seqs)
        message = self._next_message()
        self._flights[message] = _Flight(seqs, live)
        told = tuple(islice(self._drops, self.limits.drops))
        first_time = seqs - self._sent_before - _below(self._never_sent_from)
        if told and first_time:
            self._proofs.append(_Proof(first_time, told))
        self.counters.sent += len(seqs)
        self.counters.repeated += len(seqs & self._sent_before)
        return Publish(message, seqs, self.low, self._announce())

    def _ask(self, now: float) -> Publish:
        asking = self._asking
        asking.wait = min(asking.wait * 2 or self.limits.ask_s, self.limits.wait_max_s / 2)
        asking.next_at = now + asking.wait
        return Publish(self._next_message(), SeqSet(), self.low, self._announce(), ask=True)

    def _announce(self) -> tuple[tuple[int, int, str], ...]:
        # The oldest first, always: a reading sent again travels with what it first travelled with.
        chosen = islice(self._drops.values(), self.limits.drops)
        return tuple((drop.first, drop.last, drop.reason) for drop in chosen)

    def _recall_overdue(self, now: float) -> None:
        wait = self._patience()
        overdue = [
            message
            for message, flight in self._flights.items()
            if flight.handed_at is not None and now >= flight.handed_at + wait
        ]
        for message in overdue:
            self._recall(message)
        if overdue:  # and longer each time, until the hub says anything at all
            self._wait = min(2 * wait, self.limits.wait_max_s)

    def _patience(self) -> float:
        return min(max(self._wait, self.limits.wait_s, 4 * (self._latency or 0)), self.limits.wait_max_s)

    def _recall(self, message: int) -> None:
        flight = self._flights.pop(message)
        self._sent_before |= flight.seqs
        self._lanes.add(flight.seqs, live=flight.live, limit=self.limits.live)

    def _next_message(self) -> int:
        self._message += 1
        return self._message


def _below(seq: int) -> SeqSet:
    return SeqSet(((1, seq - 1),)) if seq > 1 else SeqSet()


def _take(seqs: SeqSet, count: int) -> SeqSet:
    """The lowest `count` members."""
    taken: list[Range] = []
    for first, last in seqs.ranges:
        if count <= 0:
            break
        taken.append((first, min(last, first + count - 1)))
        count -= last - first + 1
    return SeqSet(tuple(taken))
