"""Corrections of weighings: nothing is taken back, what was wrong is compensated by an entry of its own.

A correction is one seq of an outbox that nobody but the hub has. It holds the reversal (index 0: the same load, the
other way) and, where the load was real, what it should have been (index 1). The outbox is named after the weighing, so
a weighing can be corrected once and no more, however often somebody asks.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from tweeling.domain.ids import Grams
from tweeling.domain.telemetry import Direction, Identity, Movement

OFFICE = "office"
"""The node under which a hub keeps its own entries; no gateway may have this name."""
KEY = "correction/"
"""How the names of facts begin that say who corrected a weighing and why; the outbox follows."""
SEQ, REVERSAL, INSTEAD = 1, 0, 1
"""Where a correction's entries stand in its outbox."""


class Instead(NamedTuple):
    """What a weighing should have been; None is as it was."""

    net_g: Grams | None = None
    zone: str | None = None
    material: str | None = None


class Correction(NamedTuple):
    """Who corrected a weighing, why, and when (milliseconds of the machine's clock). token: whose right it was."""

    by: str
    token: str
    reason: str
    time_ms: int


def outbox(of: Identity) -> str:
    """The epoch of the outbox that holds the correction of a weighing."""
    name = f"{of.hub}/{of.node}/{of.epoch}/{of.seq}/{of.index}"
    return hashlib.sha256(f"tweeling correction {name}".encode()).hexdigest()[:16]


def is_reversal(who: Identity) -> bool:
    """Whether an entry only takes another one back."""
    return who.node == OFFICE and who.index == REVERSAL


def entries(wrong: Movement, instead: Instead) -> tuple[Movement, ...]:
    """The entries that correct a weighing, at its own time; none of them names its lot, for the log keeps its claim."""
    other = Direction.OUT if wrong.direction is Direction.IN else Direction.IN
    unscaled = {"gross_g": None, "tare_g": None, "lot": None}
    made = [wrong.model_copy(update={**unscaled, "identity": _at(wrong, REVERSAL), "direction": other})]
    if any(value is not None for value in instead):
        changed = {name: value for name, value in instead._asdict().items() if value is not None}
        made.append(wrong.model_copy(update={**unscaled, "identity": _at(wrong, INSTEAD), **changed}))
    return tuple(made)


def _at(wrong: Movement, index: int) -> Identity:
    return Identity(wrong.identity.hub, OFFICE, outbox(wrong.identity), SEQ, index)
