"""What a broker's subscriber hands over, and what it is told to answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from tweeling.domain.now import NodeNow
from tweeling.ports.journal import Batch
from tweeling.wire.ack import Ack
from tweeling.wire.parcel import Parcel, Suspect


class Message(NamedTuple):
    """What a broker delivers."""

    topic: str
    payload: bytes


class Answer(NamedTuple):
    """An acknowledgement and where it belongs."""

    topic: str
    ack: Ack


class Outcome(NamedTuple):
    """What became of some messages. suspects: those without meaning, now in quarantine."""

    batch: Batch | None
    answers: tuple[Answer, ...]
    presence: tuple[NodeNow, ...]
    suspects: tuple[Suspect, ...]


class Inbox(Protocol):
    """Where a broker's messages go; one thread calls it."""

    def handle(self, messages: Sequence[Message], *, load: float = 0.0) -> Outcome:
        """Commit messages as one and say what to answer; UnavailableError means that nothing of it happened.

        load: how full the queue behind this call is, 0..1.
        """
        ...

    def commit(self, parcel: Parcel, *, load: float = 0.0) -> Outcome:
        """Do the same with messages that were decoded elsewhere."""
        ...

    def gaps(self) -> tuple[Answer, ...]:
        """Ask again for what is missing since long enough; to be called about once a second."""
        ...
