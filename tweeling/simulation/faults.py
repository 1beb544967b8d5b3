"""What goes wrong in the field, and when: drawn from the seed like the story, so that any moment can be asked alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from random import Random
from typing import Literal, NamedTuple

from pydantic import BaseModel, Field, model_validator

from tweeling.simulation.hours import HOUR_MS, WEEK_MS
from tweeling.simulation.seeds import seed_of

Kind = Literal["stuck", "dropout", "duplicate", "clock", "spike", "drift", "overfull", "emptied"]

_SHORTEST, _LONGEST = 0.5, 1.5  # of the mean length


class Often(BaseModel, frozen=True, extra="forbid"):
    """How often something happens to each sensor, and for how long."""

    per_week: float = Field(gt=0, le=168, description="times a week for each sensor, above 0")
    hours: float = Field(gt=0, le=2000, description="hours it lasts, more or less by half")

    @model_validator(mode="after")
    def _has_room(self) -> Often:
        if self.per_week * self.hours * _LONGEST > 168:
            raise ValueError(
                f"{self.per_week:g} times {self.hours:g} hours do not fit into a week, one after the other"
            )
        return self


class Skewed(Often, frozen=True):
    """The node's clock goes wrong, and is set right at the end."""

    minutes: float = Field(gt=0, le=1440, description="minutes the clock is wrong by, either way")


class Spiked(Often, frozen=True):
    """Readings far off, as from a bird under the sensor."""

    size: float = Field(0.4, gt=0, le=0.5, description="by how much of a full zone, at most 0.5")


class Drifting(Often, frozen=True):
    """Readings that go away from the truth, until somebody cleans the sensor."""

    per_day: float = Field(0.05, gt=0, le=1, description="of a full zone a day, either way")


class Censored(BaseModel, frozen=True, extra="forbid"):
    """What a sensor says of a zone that is more than full."""

    says: Literal["full", "blind"] = Field(
        "full", description="full (1, whatever lies on top), or blind (0: too near to have an echo)"
    )


class Emptying(BaseModel, frozen=True, extra="forbid"):
    """Material that leaves without passing a scale."""

    per_week: float = Field(gt=0, le=7, description="times a week for each zone, at most one a day")
    share: float = Field(0.5, gt=0, le=1, description="of what lies there, 0..1; whole lots, the oldest first")


class Faults(BaseModel, frozen=True, extra="forbid"):
    """Which faults there are; none of those left out."""

    stuck: Often | None = Field(None, description="a table {per_week, hours}: a sensor repeats one reading")
    dropout: Often | None = Field(None, description="a table {per_week, hours}: readings come late, all at once")
    duplicate: Often | None = Field(None, description="a table {per_week, hours}: each reading is sent twice")
    clock: Skewed | None = Field(None, description="a table {per_week, hours, minutes}: the node's clock is wrong")
    spike: Spiked | None = Field(None, description="a table {per_week, hours, size}: readings are far off")
    drift: Drifting | None = Field(None, description="a table {per_week, hours, per_day}: readings drift away")
    overfull: Censored | None = Field(None, description='a table {says = "full" or "blind"}: more than full')
    emptied: Emptying | None = Field(None, description="a table {per_week, share}: emptied without a weighing")

    @classmethod
    def preset(cls, name: object) -> object:
        """The faults of this name; what is no name is given back. Raises ValueError where no preset has the name."""
        if not isinstance(name, str):
            return name
        if name not in PRESETS:
            raise ValueError(f"no preset {name[:40]!r}: {', '.join(PRESETS)}, or a table of faults")
        return PRESETS[name]

    def __bool__(self) -> bool:
        """Whether there are any."""
        return self != _NONE


_NONE = Faults()
PRESETS: Mapping[str, Faults] = {
    "none": _NONE,
    "mild": Faults(
        stuck=Often(per_week=0.25, hours=6),
        dropout=Often(per_week=0.5, hours=4),
        duplicate=Often(per_week=0.5, hours=1),
        clock=Skewed(per_week=0.25, hours=6, minutes=3),
        spike=Spiked(per_week=1, hours=0.25, size=0.3),
        drift=Drifting(per_week=0.1, hours=96, per_day=0.02),
        overfull=Censored(says="full"),
        emptied=Emptying(per_week=0.05, share=0.5),
    ),
    "rough": Faults(
        stuck=Often(per_week=2, hours=12),
        dropout=Often(per_week=3, hours=8),
        duplicate=Often(per_week=4, hours=2),
        clock=Skewed(per_week=1, hours=24, minutes=90),
        spike=Spiked(per_week=10, hours=0.25, size=0.5),
        drift=Drifting(per_week=0.5, hours=168, per_day=0.05),
        overfull=Censored(says="blind"),
        emptied=Emptying(per_week=0.5, share=0.8),
    ),
}


class Fault(NamedTuple):
    """A fault that was there in [from_ms, to_ms); a moment where both are the same. zone: empty for the whole node.

    size, by kind: `clock` milliseconds; `spike` of a full zone, up from a low level and down from a high one; `drift`
    of a full zone a day; `overfull` the highest true level; `emptied` grams; else 0.
    """

    from_ms: int
    to_ms: int
    kind: Kind
    zone: str
    size: float


class Episode(NamedTuple):
    """A stretch of [from_ms, to_ms), and which way it goes: -1 or 1."""

    from_ms: int
    to_ms: int
    sign: int


class Schedule:
    """One episode in each slot of time, somewhere in it: never two at once, and each known without the others."""

    def __init__(self, name: str, *, per_week: float, hours: float) -> None:
        """name: what they are drawn from."""
        self._name = name
        self._slot_ms = round(WEEK_MS / per_week)
        self._mean_ms = hours * HOUR_MS
        self._episode = lru_cache(maxsize=64)(self._drawn)

    def at(self, time_ms: int) -> Episode | None:
        """The one that is there at a moment."""
        episode = self._episode(time_ms // self._slot_ms)
        return episode if episode.from_ms <= time_ms < episode.to_ms else None

    def touching(self, from_ms: int, to_ms: int) -> Iterator[Episode]:
        """Those that are there at some moment of [from, to), whole, in order."""
        for slot in range(from_ms // self._slot_ms, -(-to_ms // self._slot_ms)):
            episode = self._episode(slot)
            if episode.from_ms < to_ms and episode.to_ms > from_ms:
                yield episode

    def _drawn(self, slot: int) -> Episode:
        rng = Random(seed_of(f"{self._name}/{slot}"))
        length = round(self._mean_ms * rng.uniform(_SHORTEST, _LONGEST))
        start = slot * self._slot_ms + round(rng.random() * (self._slot_ms - length))
        return Episode(start, start + length, rng.choice((-1, 1)))
