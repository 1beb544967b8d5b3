"""A hub of the demo region that lives by itself: fill levels and weighings, at the agent's clock."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Protocol

from pydantic import BeforeValidator, Field

from tweeling.domain.telemetry import FILLING_LEVEL
from tweeling.simulation import Faults, Faulty, Fill, Load, Simulator, Told
from tweeling.wire.senml import Resolved
from tweeling_edge.drivers import Batch, Look, Site
from tweeling_edge.sample import Sample
from tweeling_edge.settings import DriverSettings

_BATCH = 500


class SimulateSettings(DriverSettings):
    """Lives a hub of the demo region."""

    kind: Literal["simulate"] = "simulate"
    seed: int = Field(2026, description="any whole number; the same one tells the same story")
    start_ms: int = Field(ge=0, description="when the story starts, in milliseconds since 1970")
    from_ms: int | None = Field(None, ge=0, description="where to begin the first time; without it, now")
    every_s: float = Field(600, gt=0, description="simulated seconds between two readings of a sensor")
    tick_s: float = Field(1, gt=0, le=3600, description="real seconds between two looks at the world, 0..3600")
    faults: Annotated[Faults, BeforeValidator(Faults.preset)] = Field(
        Faults(), description='"none", "mild" or "rough", or a table [drivers.faults] with what goes wrong how often'
    )


class World(Protocol):
    """What happens in [from, to), in order of time, however it is cut."""

    def observe(self, from_ms: int, to_ms: int, *, every_ms: int) -> Iterator[Fill | Load]:
        """Yield fills every so often, and loads when they are weighed."""
        ...


class Tell(Protocol):
    """A world as the gateway hears of it."""

    def __call__(self, from_ms: int, to_ms: int, *, every_ms: int) -> Iterator[Told]:
        """Yield what arrives in [from, to), in order of arrival, however it is cut."""
        ...


class Simulate:
    """Looks at the world at each tick, from where it looked last.

    A clock that is set forward has the driver catch up. One that is set back leaves it where it is: the world goes on
    from there, so that nothing happens twice, and is told at the times that the clock says.
    """

    Settings = SimulateSettings

    def __init__(self, settings: SimulateSettings, site: Site, *, world: World | None = None) -> None:
        self._tell = _telling(settings, site.hub, world)
        self._clock = site.clock
        self._from_ms = settings.from_ms
        self._every_ms = round(settings.every_s * 1000)
        self._tick_ms = settings.tick_s * 1000 * site.clock.speed
        self.name = f"simulate:{site.hub}:{settings.seed}:{settings.start_ms}"

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:
        """Yield what happened up to now, then at every tick; the cursor is the time up to which all is told."""
        first = self._clock.now_ms() if self._from_ms is None else self._from_ms
        seen = first if cursor is None else int(cursor)
        passed = self._clock.passed_ms()
        while not stop.is_set():
            now, before, passed = self._clock.now_ms(), passed, self._clock.passed_ms()
            until = now
            if now < seen - self._tick_ms:
                until = seen + round(passed - before)
            if until > seen:
                for batch in self._between(seen, until, now - until):
                    yield batch
                    if stop.is_set():
                        return
                seen = until
            self._clock.wait(self._tick_ms, stop)

    def look(self) -> Iterator[Look]:
        """Show the last reading of each sensor, and the last weighing of each scale, if there was one just now."""
        now = self._clock.now_ms()
        told = (item for _, item in self._tell(now - self._every_ms, now, every_ms=self._every_ms))
        last = {record.name: record for item in told for record in _sample(item, item.time_ms)}
        for name, record in last.items():
            yield Look(name, f"{record.value:g}", record.value, record.unit, record.time_ms)

    def _between(self, from_ms: int, to_ms: int, shift_ms: int) -> Iterator[Batch]:
        news = to_ms - 2 * self._tick_ms
        samples: list[Sample] = []
        last_ms = from_ms
        for at_ms, item in self._tell(from_ms, to_ms, every_ms=self._every_ms):
            # A cut lies between two moments, so that the cursor is one.
            if len(samples) >= _BATCH and at_ms > last_ms:
                yield Batch(tuple(samples), str(at_ms), live=at_ms >= news)
                samples = []
            samples.append(_sample(item, item.time_ms + shift_ms))
            last_ms = at_ms
        if samples:
            yield Batch(tuple(samples), str(to_ms))


def _telling(settings: SimulateSettings, hub: str, world: World | None) -> Tell:
    if world is None and settings.faults:
        return Faulty(settings.seed, hub, settings.start_ms, settings.faults).tell
    observe = (world or Simulator(settings.seed, hub, settings.start_ms)).observe

    def tell(from_ms: int, to_ms: int, *, every_ms: int) -> Iterator[Told]:
        return (Told(item.time_ms, item) for item in observe(from_ms, to_ms, every_ms=every_ms))

    return tell


def _sample(item: Fill | Load, time_ms: int) -> Sample:
    if isinstance(item, Fill):
        return (Resolved(f"{item.zone}/{FILLING_LEVEL}", time_ms, item.level, "/", None),)
    weighing: dict[str, Any] = {"mv_": item.direction, "mat": item.material, "grs": item.gross_g, "tar": item.tare_g}
    weighing |= {key: text for key, text in (("par", item.tenant), ("tkt", item.ticket), ("lot", item.lot)) if text}
    return (Resolved(f"{item.zone}/scale", time_ms, item.net_g, "g", weighing),)
