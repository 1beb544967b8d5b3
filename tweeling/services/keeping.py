"""Keeps a time-series store small: what is old is sealed, made hourly, removed."""

from __future__ import annotations

import logging
from threading import Event
from typing import Protocol, runtime_checkable

from tweeling.errors import UnavailableError
from tweeling.ports.clock import Clock

log = logging.getLogger(__name__)


@runtime_checkable
class Maintained(Protocol):
    """A store whose old points are its own business, but not its own time."""

    def maintain(self, now_ms: int) -> None:
        """Do what is due at this time; UnavailableError names what could not be done, the next time tries again."""
        ...


class Keeper:
    """Has a store do every now and then what is due. every_s: in real time, so that a fast twin does not hurry it."""

    def __init__(self, store: Maintained, clock: Clock, *, every_s: float = 30.0) -> None:
        self._store = store
        self._clock = clock
        self._every_s = every_s
        self._lost: str | None = None

    @property
    def trouble(self) -> str | None:
        """What could not be done at the last time, None if all could."""
        return self._lost

    def run(self, stop: Event) -> None:
        """Keep on until `stop`."""
        while not stop.wait(self._every_s):
            self.keep()

    def keep(self) -> None:
        """Do what is due now; trouble is told once, and once that it is over."""
        try:
            self._store.maintain(self._clock.now_ms())
        except UnavailableError as exc:
            if self._lost is None:
                log.warning("keeping.lost", extra={"reason": str(exc)})
            self._lost = str(exc)
        else:
            if self._lost is not None:
                log.info("keeping.back")
            self._lost = None
