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
from dataclasses import dataclass
from typing import assert_never

from tweeling.wire.ack import Ack
from tweeling.wire.ranges import Range, SeqSet
from tweeling_edge.drops import Drops
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
from tweeling_edge.flights import Flight, Flights
from tweeling_edge.limits import Limits
from tweeling_edge.seqs import Seqs


@dataclass(slots=True)
class _Asking:
    """The question to the hub: when to put it again."""

    next_at: float = 0.0
    wait: float = 0.0


@dataclass(slots=True)
class Counters:
    """Since the agent started."""

    sent: int = 0
    repeated: int = 0
    committed: int = 0
    refused: int = 0
    epochs: int = 0


class _Lanes:
    """Held readings that are not under way."""

    def __init__(self, backlog: Iterable[Range]) -> None:
        self.live = Seqs()
        self.backlog = Seqs(backlog)

    def add(self, seqs: SeqSet, *, live: bool, limit: int) -> None:
        """Let these wait; of the live ones only so many, the older join the backlog."""
        if live:
            self.live.update(seqs)
            self.backlog.update(self.live.take(len(self.live) - limit))
        else:
            self.backlog.update(seqs)

    def remove(self, seqs: SeqSet) -> None:
        """They wait no longer."""
        self.live.subtract(seqs)
        self.backlog.subtract(seqs)


class Agent:
    """Give it what happened and when (monotonic seconds), and do what it answers, in order."""

    def __init__(
        self,
        *,
        epoch: str,
        last: int,
        held: Iterable[Range],
        fresh_from: int | None,
        drops: Iterable[Drop] = (),
        limits: Limits | None = None,
    ) -> None:
        """Start from what the outbox holds; fresh_from is its first seq that was surely never sent, where in doubt."""
        self.epoch = epoch
        self.last = last
        self.limits = limits or Limits()
        self.counters = Counters()
        self._fresh_from = fresh_from
        self._held = Seqs(held)
        self._lanes = _Lanes(self._held)
        self._flights = Flights()
        self._drops = Drops(drops, self.limits.drops)
        self._sent_before = Seqs()
        self._never_sent_from = last + 1
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
        return [*self.take_in(event, now), *self.send(now)]

    @property
    def low(self) -> int:
        """The oldest seq that is held, or given up without the hub's knowledge; the next one if there is none."""
        oldest = self.last + 1
        for lowest in (self._held.lowest, self._drops.lowest):
            oldest = oldest if lowest is None else min(oldest, lowest)
        return oldest

    @property
    def held(self) -> SeqSet:
        """Every reading that is not settled, as a value."""
        return self._held.copy()

    @property
    def queued(self) -> int:
        """How many these are."""
        return len(self._held)

    @property
    def under_way(self) -> int:
        """How many messages the hub has not answered."""
        return len(self._flights)

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
            if self._flights.unconfirmed:
                times.append(self._confirmed_at + self.limits.stuck_s)
            if (handed_at := self._flights.handed_at) is not None:
                times.append(handed_at + self._patience())
            if self._lanes.live and self._room(live=True):
                times.append(self._paused_until)
            if self._lanes.backlog and self._room(live=False):
                times.append(self._drain_at)
        return max(min(times), self._paused_until) if times else None

    # ------------------------------------------------------------ what comes in

    def take_in(self, event: Event, now: float) -> list[Command]:
        """Take in what happened; return what must be done before `send` is asked, once for any number of events."""
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
        for message in self._flights:
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
        self._flights.hand(message, now)

    def _queued(self, event: Queued) -> None:
        if event.epoch != self.epoch:
            return  # the outbox was renewed after it: Renewed counts it
        seqs = SeqSet(((event.first, event.last),))
        self.last = max(self.last, event.last)
        self._held.update(seqs)
        self._lanes.add(seqs, live=event.live, limit=self.limits.live)

    def _dropped(self, event: Dropped) -> None:
        if event.epoch != self.epoch:
            return
        self._drops.add(event.drops)
        self._release(SeqSet.of((drop.first, drop.last) for drop in event.drops))

    def _renewed(self, event: Renewed) -> None:
        self.epoch, self.last = event.epoch, event.last
        self._held = Seqs(_below(event.last + 1).ranges)
        self._lanes = _Lanes(self._held)
        self._flights.clear()
        self._drops.clear()
        self._sent_before = Seqs()
        self._never_sent_from = 1
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
        commands = self._settle(self._held.common(committed), self._held.common(refused), ack, now)
        if ack.known and self._connected and not self._answered:
            self._answered = True
            if self._fresh_from is not None:
                self._fresh_from = None
                commands.append(Trust())
        if heard := self._drops.heard(settled):
            commands.append(Forget(heard))
        self._wanted(SeqSet.of(ack.want) - settled, now)
        return commands

    def _never_sent(self) -> int:
        return self.last + 1 if self._fresh_from is None else self._fresh_from

    def _disown(self, settled: SeqSet) -> list[Command]:
        # Below fresh_from the copy and the hub tell one story; where that is not certain, twice is better than never.
        same = SeqSet() if self._fresh_from is None else settled & _below(self._fresh_from)
        self._renewing = True
        same = self._held.common(same)
        self.counters.committed += len(same)
        return [NewEpoch(same)]

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

    def _measure(self, settled: SeqSet, now: float) -> None:
        for _, flight, some in self._flights.carrying(settled):
            if flight.handed_at is not None and not self._sent_before.common(some):
                sample = now - flight.handed_at
                self._latency = sample if self._latency is None else 0.875 * self._latency + 0.125 * sample
        self._wait = 0.0

    def _release(self, seqs: SeqSet) -> None:
        self._held.subtract(seqs)
        self._sent_before.subtract(seqs)
        self._lanes.remove(seqs)
        self._flights.release(seqs)

    def _wanted(self, want: SeqSet, now: float) -> None:
        want &= _below(self.last + 1)
        if not want:
            return
        for message, flight, _ in self._flights.carrying(want):
            if flight.handed_at is not None and now - flight.handed_at >= self.limits.doubt_s:
                self._recall(message)
        for first, last in (want - self._held.common(want) - self._drops.common(want)).ranges:
            self._drops.add((Drop(-self._next_message(), first, last, "no longer held by the node"),))

    # ------------------------------------------------------------ what goes out

    def send(self, now: float) -> list[Command]:
        """What may travel now."""
        if not self._connected or self._renewing or now < self._paused_until:
            return []
        commands: list[Command] = []
        if self._flights.unconfirmed:
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
        seqs = lane.take(self.limits.pack)
        message = self._next_message()
        self._flights.add(message, Flight(seqs, live))
        again = self._sent_before.common(seqs)
        self._drops.travel(seqs - again - _below(self._never_sent_from))
        self.counters.sent += len(seqs)
        self.counters.repeated += len(again)
        return Publish(message, seqs, self.low, self._drops.announcement())

    def _ask(self, now: float) -> Publish:
        asking = self._asking
        asking.wait = min(asking.wait * 2 or self.limits.ask_s, self.limits.wait_max_s / 2)
        asking.next_at = now + asking.wait
        return Publish(self._next_message(), SeqSet(), self.low, self._drops.announcement(), ask=True)

    def _recall_overdue(self, now: float) -> None:
        wait = self._patience()
        overdue = self._flights.overdue(now, wait)
        for message in overdue:
            self._recall(message)
        if overdue:  # and longer each time, until the hub says anything at all
            self._wait = min(2 * wait, self.limits.wait_max_s)

    def _patience(self) -> float:
        return min(max(self._wait, self.limits.wait_s, 4 * (self._latency or 0)), self.limits.wait_max_s)

    def _recall(self, message: int) -> None:
        flight = self._flights.pop(message)
        self._sent_before.update(flight.seqs)
        self._lanes.add(flight.seqs, live=flight.live, limit=self.limits.live)

    def _next_message(self) -> int:
        self._message += 1
        return self._message


def _below(seq: int) -> SeqSet:
    return SeqSet(((1, seq - 1),)) if seq > 1 else SeqSet()
