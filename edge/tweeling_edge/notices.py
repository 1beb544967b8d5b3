"""What the outbox tells the agent, in the order of its commits."""

from __future__ import annotations

from dataclasses import dataclass

from tweeling_edge.events import Dropped, Queued, Renewed


@dataclass(frozen=True, slots=True)
class Settled:
    """Samples left the outbox."""


@dataclass(frozen=True, slots=True)
class Alarmed:
    """Something that an operator should know began or ended."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The outbox, or a part of the agent, can go no further."""

    reason: str


Notice = Queued | Dropped | Renewed | Settled | Alarmed | Failed


def merged(notices: list[Notice]) -> list[Notice]:
    """Join neighbouring Queued of one kind, so that they can share an envelope."""
    joined: list[Notice] = []
    for notice in notices:
        before = joined[-1] if joined else None
        if (
            isinstance(notice, Queued)
            and isinstance(before, Queued)
            and (before.epoch, before.live, before.last + 1) == (notice.epoch, notice.live, notice.first)
        ):
            joined[-1] = Queued(before.epoch, before.first, notice.last, before.live)
        else:
            joined.append(notice)
    return joined
