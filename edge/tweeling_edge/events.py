"""What can happen to the agent, and what it can ask its shell to do."""

from __future__ import annotations

from dataclasses import dataclass

from tweeling.wire.ack import Ack
from tweeling.wire.ranges import SeqSet

# ---------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Queued:
    """Readings first..last are durable in the outbox. live: wanted at once, ahead of any backlog."""

    epoch: str
    first: int
    last: int
    live: bool = True


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker took us in, and acks will arrive."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The broker is gone, and with it every message it had not confirmed."""


@dataclass(frozen=True, slots=True)
class Handed:
    """The broker confirmed (PUBACK) that it has a message; that is no delivery yet."""

    message: int


@dataclass(frozen=True, slots=True)
class Returned:
    """The broker would not take a message now; nothing is wrong with the message."""

    message: int


@dataclass(frozen=True, slots=True)
class Acked:
    """The hub's word."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Drop:
    """Readings first..last that the outbox gave up, and why; `id` names the announcement."""

    id: int
    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """The outbox gave readings up."""

    epoch: str
    drops: tuple[Drop, ...]


@dataclass(frozen=True, slots=True)
class Renewed:
    """The outbox has a new epoch; what it holds is now 1..last."""

    epoch: str
    last: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


Event = Queued | Connected | Disconnected | Handed | Returned | Acked | Dropped | Renewed | Tick

# ---------------------------------------------------------------- commands


@dataclass(frozen=True, slots=True)
class Publish:
    """Send these readings in one envelope; without any, it only asks and announces."""

    message: int
    seqs: SeqSet
    low: int
    dropped: tuple[tuple[int, int, str], ...] = ()
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """The hub has settled these: committed, or refused with a reason."""

    epoch: str
    committed: SeqSet
    refused: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Forget:
    """The hub has heard of these drops."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """The hub and the outbox agree on the past; must be durable before anything is sent."""


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """Forget `settled`, give all else that is held new numbers under a new epoch, and report Renewed."""

    settled: SeqSet


@dataclass(frozen=True, slots=True)
class Hangup:
    """The broker confirms nothing any more: connect anew."""


Command = Publish | Delete | Forget | Trust | NewEpoch | Hangup
