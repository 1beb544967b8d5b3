"""Sensors that are asked every so often. A driver of this sort only says how to look at them."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import replace

from pydantic import Field

from tweeling.errors import InvariantError, UnavailableError
from tweeling.wire.senml import Resolved
from tweeling_edge.drivers import Batch, Look, Site
from tweeling_edge.sample import Sample
from tweeling_edge.settings import DriverSettings

log = logging.getLogger("tweeling_edge.drivers")


class PollSettings(DriverSettings):
    """How often to ask."""

    every_s: float = Field(60, ge=0.05, le=86_400, description="seconds between two looks, 0.05..86400")


class Cadence:
    """Moments at equal distance on a clock that only goes forward; one that was missed is left out, never made up."""

    def __init__(self, every: float, start: float) -> None:
        """Begin at `start`, in the same unit as `every`."""
        self._every = every
        self._start = start
        self._count = 0

    def wait(self, now: float) -> float:
        """How long from now to the next moment, which has not been before."""
        self._count = max(self._count + 1, int((now - self._start) // self._every) + 1)
        return self._start + self._count * self._every - now


class Polled(ABC):
    """Looks at its sensors in an even beat, and tells once when one is lost and once when it is back.

    A sensor that says nothing, or nothing of use, yields no reading and hinders no other. What a device has said
    before, by its own time and value, is not told again.
    """

    def __init__(self, name: str, settings: PollSettings, site: Site) -> None:
        """name: see Driver.name."""
        self.name = name
        self._every_ms = settings.every_s * 1000
        self._clock = site.clock
        self._down = False
        self._lost: set[str] = set()
        self._told: dict[str, tuple[int | None, float | None]] = {}

    @abstractmethod
    def look(self) -> Iterable[Look]:
        """Look at each sensor once. Raises OSError or UnavailableError when none can be reached."""

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:  # noqa: ARG002 -- nothing to go on from
        """Yield what each look brought, until stop is set."""
        cadence = Cadence(self._every_ms, self._clock.passed_ms())
        while not stop.is_set():
            if news := [look for look in self._seen() if self._is_news(look)]:
                yield Batch(tuple(_sample(look) for look in news))
                self._told.update({look.sensor: (look.time_ms, look.value) for look in news})  # durable now
            self._clock.wait(cadence.wait(self._clock.passed_ms()), stop)

    def _seen(self) -> Iterator[Look]:
        """What each sensor says that says something; a device without a time of its own says it now."""
        try:
            for look in self.look():
                self._note(look)
                if not look.wrong:
                    yield look if look.time_ms is not None else replace(look, time_ms=self._clock.now_ms())
        except (OSError, UnavailableError) as exc:
            if not self._down:
                log.warning("driver.lost", extra={"driver": self.name, "reason": str(exc)})
            self._down = True
            return
        if self._down:
            log.info("driver.back", extra={"driver": self.name})
        self._down = False

    def _is_news(self, look: Look) -> bool:
        return self._told.get(look.sensor) != (look.time_ms, look.value)

    def _note(self, look: Look) -> None:
        if look.wrong and look.sensor not in self._lost:
            self._lost.add(look.sensor)
            said = {"said": look.raw} if look.raw else {}
            log.warning("sensor.lost", extra={"driver": self.name, "sensor": look.sensor, "reason": look.wrong, **said})
        elif not look.wrong and look.sensor in self._lost:
            self._lost.discard(look.sensor)
            log.info("sensor.back", extra={"driver": self.name, "sensor": look.sensor})


def _sample(look: Look) -> Sample:
    if look.value is None or look.time_ms is None:
        raise InvariantError("says neither a value nor what is wrong", field=look.sensor)
    return (Resolved(look.sensor, look.time_ms, look.value, look.unit, None),)
