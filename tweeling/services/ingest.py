"""Ingest: what arrives becomes committed, quarantined or refused, and every node is told which.

`handle` is the whole use case: decode, commit once, then answer. Nothing is answered that is not committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from tweeling.domain.now import NodeNow
from tweeling.domain.vitals import Gaps, Ingested
from tweeling.errors import InvariantError
from tweeling.ports.clock import Clock
from tweeling.ports.inbox import Answer, Message, Outcome
from tweeling.ports.journal import Batch, Journal, NodeEpoch, Settled
from tweeling.services.overload import Governor, Limits
from tweeling.services.rates import Spread
from tweeling.wire.ack import Ack, State
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Arrival, Head, Parcel, Suspect
from tweeling.wire.ranges import Range, SeqSet
from tweeling.wire.topics import Channel, Topic

log = logging.getLogger(__name__)

_MAX_RANGES = 1000  # in one ack; what does not fit is only asked or told again later
_MAX_WAIT_S = 60.0
_MAX_WATCHED = 10_000  # epochs with a gap; a node that goes on sending is watched anew
_COMMIT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_COMMIT_MESSAGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_REFUSED_BEFORE = "refused before; the hub's quarantine says why"


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """skew_ms: how far a reading may lie in the future. gap_s: how long a gap may be mere reordering."""

    skew_ms: int = 300_000
    gap_s: float = 2.0
    limits: Limits = field(default_factory=Limits)


@dataclass(slots=True)
class _Watch:
    """The gaps of one outbox: those seen at `since`, to be asked for when they are there `wait` seconds later still."""

    since: float
    wait: float
    began: float  # when the oldest of them was seen first
    low: int = 1
    gaps: SeqSet = field(default_factory=SeqSet)


class Ingest:
    """An `Inbox`: messages in, commits and answers out; one thread calls `handle` and `gaps`, any thread `nodes`."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        settings: IngestSettings | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._settings = settings or IngestSettings()
        self._monotonic = monotonic
        self._decoder = Decoder(skew_ms=self._settings.skew_ms)
        self._governor = Governor(self._settings.limits)
        self._watched: dict[NodeEpoch, _Watch] = {}
        self._heard: set[NodeEpoch] = set()  # since start
        self._present: dict[tuple[str, str], NodeNow] = {}
        self._presence_lock = threading.Lock()
        self._commit_s = Spread(_COMMIT_S)
        self._commit_messages = Spread(_COMMIT_MESSAGES)

    def handle(self, messages: Sequence[Message], *, load: float = 0.0) -> Outcome:
        """See `Inbox`."""
        return self.commit(self._decoder.read(messages, now_ms=self._clock.now_ms()), load=load)

    def commit(self, parcel: Parcel, *, load: float = 0.0) -> Outcome:
        """Commit what was read here or elsewhere, and say what to answer; the rest of `handle`."""
        batch = None
        if parcel.arrivals or parcel.suspects:
            now_ms = self._clock.now_ms()
            try:
                began = self._monotonic()
                batch = self._journal.commit(parcel, recorded_ms=now_ms)
                self._commit_s.add(self._monotonic() - began)
                self._commit_messages.add(len(parcel.arrivals) + len(parcel.suspects))
            except InvariantError:  # for the content of one; which one shows when each comes alone
                batch, parcel = self._one_by_one(parcel, now_ms)
        return Outcome(batch, self._answers(parcel.arrivals, load), self._note(parcel.states), parcel.suspects)

    def gaps(self) -> tuple[Answer, ...]:
        """See `Inbox`."""
        answers = []
        for node in list(self._watched):
            if want := self._wanted(node, self._journal.settled(node)):
                grant = self._governor.grant(f"{node.hub}/{node.node}", now=self._monotonic())
                answers.append(Answer(_ack_topic(node), Ack(epoch=node.epoch, want=want, **grant._asdict())))
        return tuple(answers)

    def ingested(self) -> Ingested:
        """What is missing for longer than reordering explains, and how commits went; for any thread."""
        now = self._monotonic()
        watched = [watch for watch in list(self._watched.values()) if watch.gaps]
        old = [watch for watch in watched if now - watch.began >= self._settings.gap_s]
        oldest = max((now - watch.began for watch in old), default=0.0)
        gaps = Gaps(sum(len(watch.gaps) for watch in old), len(old), oldest)
        return Ingested(gaps, self._commit_s.seen(), self._commit_messages.seen())

    def nodes(self) -> tuple[NodeNow, ...]:
        """The presence of every node that told it since start, by hub and name."""
        with self._presence_lock:
            return tuple(self._present[key] for key in sorted(self._present))

    def _one_by_one(self, parcel: Parcel, now_ms: int) -> tuple[Batch | None, Parcel]:
        """Commit each message alone, one that cannot be kept as a suspect; return the last batch and what became."""
        last: Batch | None = None
        kept: list[Arrival] = []
        odd = list(parcel.suspects)
        for single in parcel.singles():
            (arrival,) = single.arrivals
            try:
                last = self._journal.commit(single, recorded_ms=now_ms) or last
                kept.append(arrival)
            except InvariantError as exc:
                odd.append(Suspect(arrival.topic, arrival.payload, str(exc)))
        for suspect in odd:
            self._journal.commit(Parcel(suspects=(suspect,)), recorded_ms=now_ms)
        return last, parcel._replace(arrivals=tuple(kept), suspects=tuple(odd))

    def _note(self, states: Iterable[tuple[Topic, State]]) -> tuple[NodeNow, ...]:
        changed: dict[tuple[str, str], NodeNow] = {}
        for topic, state in states:
            key = (topic.hub, topic.node)
            before = changed.get(key) or self._present.get(key)
            changed[key] = NodeNow(*key, state.online, state.since_ms, state.queued, state.alarm)
            if state.alarm and (before is None or state.alarm != before.alarm):  # once, however often it is told
                log.warning("node.alarm", extra={"hub": topic.hub, "node": topic.node, "reason": state.alarm})
        with self._presence_lock:
            self._present.update(changed)
        return tuple(changed.values())

    def _answers(self, arrivals: Sequence[Arrival], load: float) -> tuple[Answer, ...]:
        came: dict[NodeEpoch, list[Head]] = {}
        for arrival in arrivals:
            head = arrival.head
            came.setdefault(NodeEpoch(head.hub, head.node, head.epoch), []).append(head)
        now = self._monotonic()
        sent = Counter(f"{arrival.head.hub}/{arrival.head.node}" for arrival in arrivals)
        self._governor.note(sent, load=load, now=now)
        answers = []
        for node, envelopes in came.items():
            settled = self._journal.settled(node)
            watch = self._watched.setdefault(node, _Watch(now, self._settings.gap_s, now))
            if len(self._watched) > _MAX_WATCHED:
                del self._watched[next(iter(self._watched))]  # the oldest, never the one that just came
            watch.low = max(watch.low, *(each.low for each in envelopes))
            self._tell_lacking(node, settled, watch.low)
            asked = any(each.ask for each in envelopes)
            about = settled.committed | settled.refused
            if not asked:
                about = SeqSet.of(span for each in envelopes for span in each.accepted.ranges)
                about |= SeqSet.of((first, last) for each in envelopes for first, last, _ in each.refused)
            ack = Ack(
                epoch=node.epoch,
                committed=_newest((about & settled.committed).ranges),
                refused=_refused(about & settled.refused, envelopes),
                want=self._wanted(node, settled),
                known=asked,
                **self._governor.grant(f"{node.hub}/{node.node}", now=now)._asdict(),
            )
            answers.append(Answer(_ack_topic(node), ack))
        return tuple(answers)

    def _tell_lacking(self, node: NodeEpoch, settled: Settled, low: int) -> None:
        """Say once of an outbox that it holds no more what this journal lacks, which is an older copy or a new one."""
        if node in self._heard:
            return  # what it has let go since was settled by us
        if len(self._heard) >= _MAX_WATCHED:
            self._heard.clear()
        self._heard.add(node)
        lacking = SeqSet(((1, low - 1),)) - settled.committed - settled.refused - settled.dropped if low > 1 else None
        if lacking:
            span = {"first": lacking.ranges[0][0], "last": lacking.highest, "readings": len(lacking)}
            log.warning("node.lacking", extra={"hub": node.hub, "node": node.node, **span})

    def _wanted(self, node: NodeEpoch, settled: Settled) -> tuple[Range, ...]:
        """The gaps that were there a while ago and still are; an outbox without any is not watched."""
        watch = self._watched[node]
        gaps = (settled.committed | settled.refused | settled.dropped).holes(watch.low)
        now = self._monotonic()
        if not gaps:
            del self._watched[node]
            return ()
        if now - watch.since < watch.wait:
            watch.gaps = watch.gaps or gaps
            return ()
        want = gaps & watch.gaps
        if not want:
            watch.began = now
        watch.gaps, watch.since = gaps, now
        if want:  # a node that does not answer is asked less and less
            watch.wait = min(2 * watch.wait, _MAX_WAIT_S)
        return want.ranges[:_MAX_RANGES]


def _ack_topic(node: NodeEpoch) -> str:
    return str(Topic(node.hub, node.node, Channel.ACK))


def _newest(ranges: tuple[Range, ...]) -> tuple[Range, ...]:
    return ranges[-_MAX_RANGES:]


def _refused(seqs: SeqSet, envelopes: Iterable[Head]) -> tuple[tuple[int, int, str], ...]:
    """Refused ranges with their reasons, as far as these envelopes tell them."""
    told = [row for each in envelopes for row in each.refused if row[0] in seqs]
    rest = seqs - SeqSet.of((first, last) for first, last, _ in told)
    rows = {*told, *((first, last, _REFUSED_BEFORE) for first, last in rest.ranges)}
    return tuple(sorted(rows))[-_MAX_RANGES:]
