"""Correcting weighings: a compensating entry travels the road of every other, from the journal to the balances."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tweeling.domain.correction import INSTEAD, KEY, OFFICE, SEQ, Correction, Instead, entries, is_reversal, outbox
from tweeling.domain.telemetry import Identity, Movement
from tweeling.errors import InvariantError, RejectedError
from tweeling.ports.clock import Clock
from tweeling.ports.facts import Facts
from tweeling.ports.journal import Journal, NodeEpoch
from tweeling.wire import senml
from tweeling.wire.columnar import Decoder
from tweeling.wire.envelope import Envelope
from tweeling.wire.topics import Channel, Topic


class Weighed(NamedTuple):
    """A weighing by its row number. correction: of it, or what it is part of; None where there is none."""

    number: int
    movement: Movement
    corrected: bool
    correction: Correction | None


class Corrections:
    """Weighings to look at and to correct. Safe from any thread.

    real: the machine's clock, by which it is told when somebody did it. on_batch: told when something was committed.
    """

    def __init__(
        self, journal: Journal, facts: Facts, *, clock: Clock, real: Clock, skew_ms: int, on_batch: Callable[[], object]
    ) -> None:
        self._journal = journal
        self._facts = facts
        self._clock = clock
        self._real = real
        self._skew_ms = skew_ms
        self._on_batch = on_batch
        self._one_by_one = threading.Lock()

    def page(self, limit: int, *, before: int | None = None) -> Sequence[Weighed]:
        """Weighings, the last applied first, those with a row number below `before`."""
        return [self._weighed(*row) for row in self._facts.last_movements(limit=limit, before=before)]

    def correct(self, number: int, *, by: str, token: str, reason: str, instead: Instead | None = None) -> None:
        """Take back the weighing in row `number`; instead: what it should have been, where the load was real.

        Raises InvariantError for a row that is not there or is a reversal, or for an entry that cannot be;
        RejectedError where the weighing is corrected already.
        """
        with self._one_by_one:
            wrong = self._find(number)
            if is_reversal(wrong.identity):
                raise InvariantError("this entry only takes another weighing back", field="number")
            epoch = outbox(wrong.identity)
            if self._is_corrected(wrong.identity):
                raise RejectedError(f"weighing {number} is corrected already: {self._reason(epoch)}")
            made = entries(wrong, instead or Instead())
            topic = Topic(wrong.identity.hub, OFFICE, Channel.UP)
            now_ms = self._clock.now_ms()
            # As a gateway would send it, and read as from a gateway, so that whoever audits needs to know no other way.
            payload = _envelope(made, epoch).to_json()
            parcel = Decoder(skew_ms=self._skew_ms).read([(str(topic), payload)], now_ms=now_ms)
            if parcel.suspects or parcel.arrivals[0].head.refused:
                why = parcel.suspects[0].reason if parcel.suspects else parcel.arrivals[0].head.refused[0][2]
                raise InvariantError(why, field="correction")
            # First why, then what: a crash between the two leaves a reason without an entry, never the other way round.
            said = Correction(by, token, reason, self._real.now_ms())
            self._facts.put(KEY + epoch, said._asdict())
            self._journal.commit(parcel, recorded_ms=now_ms)
        self._on_batch()

    def _find(self, number: int) -> Movement:
        found = self._facts.last_movements(limit=1, before=number + 1)
        if not found or found[0][0] != number:
            raise InvariantError(f"no weighing has the number {number}", field="number")
        return found[0][1]

    def _weighed(self, number: int, movement: Movement) -> Weighed:
        who = movement.identity
        corrected = self._is_corrected(who)
        epoch = outbox(who) if corrected else who.epoch if who.node == OFFICE else None
        return Weighed(number, movement, corrected, self._said(epoch) if epoch else None)

    def _is_corrected(self, who: Identity) -> bool:
        return bool(self._journal.settled(NodeEpoch(who.hub, OFFICE, outbox(who))).committed)

    def _said(self, epoch: str) -> Correction | None:
        kept = self._facts.get(KEY + epoch)
        if kept is None:
            return None
        by, token, reason = (str(kept[name]) for name in ("by", "token", "reason"))
        return Correction(by, token, reason, int(str(kept["time_ms"])))

    def _reason(self, epoch: str) -> str:
        said = self._said(epoch)
        return f"{said.reason} ({said.by})" if said else "nobody said why"


def _envelope(made: Sequence[Movement], epoch: str) -> Envelope:
    pack = senml.encode([_record(movement) for movement in made])
    return Envelope(node=OFFICE, epoch=epoch, runs=((SEQ, SEQ, len(made)),), pack=pack)


def _record(movement: Movement) -> senml.Resolved:
    named = {"mat": movement.material, "par": movement.partner, "tkt": movement.ticket}
    weighing = {"mv_": movement.direction.value, **{name: text for name, text in named.items() if text is not None}}
    what = "correction" if movement.identity.index == INSTEAD else "reversal"
    return senml.Resolved(f"{movement.zone}/{what}", movement.time_ms, movement.net_g, "g", weighing)
