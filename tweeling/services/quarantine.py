"""The quarantine: what is in it, and reading it again after a fix.

A message is read by today's decoder as if it came when it did, so that times relative to then keep their meaning; what
lay in the future then is judged by the time that it is now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tweeling.errors import InvariantError
from tweeling.ports.clock import Clock
from tweeling.ports.journal import Again, Journal, Quarantined, Replayed
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Parcel, Suspect

PAGE = 200
"""Messages in one transaction."""


class Words(NamedTuple):
    """What reason and topic of a message contain."""

    reason: str = ""
    topic: str = ""


ANY = Words()


class Progress(NamedTuple):
    """What came of messages replayed: readings and weighings committed, messages suspect still.

    before: the id below which messages may be left to replay; None when there were none.
    """

    replayed: int = 0
    readings: int = 0
    movements: int = 0
    suspect: int = 0
    before: int | None = None

    def then(self, more: Progress) -> Progress:
        """Both together."""
        return Progress(
            self.replayed + more.replayed,
            self.readings + more.readings,
            self.movements + more.movements,
            self.suspect + more.suspect,
            more.before,
        )


class Quarantine:
    """The quarantine of a journal. on_batch: told when something was committed. Safe from any thread."""

    def __init__(
        self, journal: Journal, clock: Clock, *, skew_ms: int, on_batch: Callable[[], object] = lambda: None
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._skew_ms = skew_ms
        self._on_batch = on_batch

    def page(self, limit: int, *, before: int | None = None, words: Words = ANY) -> Sequence[Quarantined]:
        """The newest messages first; fewer than `limit` where they are large, none only where there is none."""
        return self._journal.quarantine(limit, before=before, reason=words.reason, topic=words.topic)

    def find(self, id_: int) -> Quarantined | None:
        """One message."""
        found = self._journal.quarantine(1, before=id_ + 1)
        return found[0] if found and found[0].id == id_ else None

    def replay(self, id_: int) -> Progress | None:
        """Replay one message; None where there is none."""
        found = self.find(id_)
        return None if found is None else self._replay([found])._replace(before=None)

    def replay_page(self, *, before: int | None = None, words: Words = ANY) -> Progress:
        """Replay a page of messages in one transaction, the newest first."""
        kept = self.page(PAGE, before=before, words=words)
        return self._replay(kept) if kept else Progress()

    def _replay(self, kept: Sequence[Quarantined]) -> Progress:
        now_ms = self._clock.now_ms()
        messages = [Again(each.id, self._read(each, now_ms)) for each in kept]
        try:
            done = [self._journal.replay(messages, recorded_ms=now_ms)]
        except InvariantError:  # for the content of one; which one shows when each comes alone
            done = [self._alone(each, again, now_ms) for each, again in zip(kept, messages, strict=True)]
        batches = [each.batch for each in done if each.batch is not None]
        if batches:
            self._on_batch()
        return Progress(
            len(kept),
            sum(len(batch.points) for batch in batches),
            sum(len(batch.movements) for batch in batches),
            sum(len(each.suspect) for each in done),
            kept[-1].id,
        )

    def _alone(self, kept: Quarantined, again: Again, now_ms: int) -> Replayed:
        try:
            return self._journal.replay([again], recorded_ms=now_ms)
        except InvariantError as exc:
            suspect = Suspect(kept.suspect.topic, kept.suspect.payload, str(exc))
            return self._journal.replay([Again(kept.id, Parcel(suspects=(suspect,)))], recorded_ms=now_ms)

    def _read(self, kept: Quarantined, now_ms: int) -> Parcel:
        since_ms = max(now_ms - kept.recorded_ms, 0)
        decoder = Decoder(skew_ms=self._skew_ms + since_ms)
        return decoder.read([kept.suspect[:2]], now_ms=kept.recorded_ms)
