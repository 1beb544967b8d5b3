"""Sensors that are asked every so often. A driver of this sort only says how to look at them."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from pydantic import Field

from tweeling.errors import UnavailableError
from tweeling.wire.senml import Resolved
from tweeling_edge.drivers import Batch, Look, Site
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
        self._stop = threading.Event()  # of batches, for a look that takes long
        self._down = False
        self._lost: set[str] = set()
        self._told: dict[str, Resolved] = {}

    @abstractmethod
    def look(self) -> Iterable[Look]:
        """Look at each sensor once, or as far as it comes before `_stop` is set.

        Raises OSError or UnavailableError when none can be reached.
        """

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:  # noqa: ARG002 -- nothing to go on from
        """Yield what each look brought, until stop is set."""
        cadence = Cadence(self._every_ms, self._clock.passed_ms())
        self._stop = stop
        while not stop.is_set():
            if news := [record for record in self._seen() if self._told.get(record.name) != record]:
                yield Batch(tuple((record,) for record in news))
                self._told.update({record.name: record for record in news})  # durable now
            self._clock.wait(cadence.wait(self._clock.passed_ms()), stop)

    def _seen(self) -> Iterator[Resolved]:
        """What each sensor says that says something."""
        try:
            for look in self.look():
                record = self._record(look)
                self._note(look, look.wrong or ("says no value" if record is None else ""))
                if record is not None:
                    yield record
        except (OSError, UnavailableError) as exc:
            if not self._down:
                log.warning("driver.lost", extra={"driver": self.name, "reason": str(exc)})
            self._down = True
            return
        if self._stop.is_set():
            return  # a look cut short tells nothing of what it did not reach
        if self._down:
            log.info("driver.back", extra={"driver": self.name})
        self._down = False

    def _record(self, look: Look) -> Resolved | None:
        if look.wrong or look.value is None:
            return None
        time_ms = self._clock.now_ms() if look.time_ms is None else look.time_ms  # a device without a clock says it now
        return Resolved(look.sensor, time_ms, look.value, look.unit, None)

    def _note(self, look: Look, wrong: str) -> None:
        if wrong and look.sensor not in self._lost:
            self._lost.add(look.sensor)
            said = {"said": look.raw} if look.raw else {}
            log.warning("sensor.lost", extra={"driver": self.name, "sensor": look.sensor, "reason": wrong, **said})
        elif not wrong and look.sensor in self._lost:
            self._lost.discard(look.sensor)
            log.info("sensor.back", extra={"driver": self.name, "sensor": look.sensor})
