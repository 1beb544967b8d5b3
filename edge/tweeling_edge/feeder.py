"""Takes what a driver has to say into the outbox, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

from tweeling.errors import TweelingError, UnavailableError
from tweeling_edge.drivers import Batch, Driver
from tweeling_edge.notices import Failed
from tweeling_edge.outbox import Outbox

log = logging.getLogger("tweeling_edge.agent")

_RETRY_S = (1.0, 15.0)


class DriverEnded:
    """A driver has no more, or can go no further."""


class _BrokenError(Exception):
    """A driver raised what it should not, which is the cause; that is its own affair, and no other's."""


class Feeder:
    """Where the driver fails or the outbox takes nothing, it tries again, ever more rarely, and says so once."""

    def __init__(
        self,
        driver: Driver,
        outbox: Outbox,
        *,
        backlog: int,
        stop: threading.Event,
        tell: Callable[[Failed | DriverEnded], None],
    ) -> None:
        """backlog: how many samples may wait before a recorded one is put."""
        self._driver = driver
        self._outbox = outbox
        self._backlog = backlog
        self._stop = stop
        self._tell = tell
        self._lost = False
        self._thread = threading.Thread(target=self._run, name=driver.name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self) -> None:
        """Wait for its end; `stop` must be set and the outbox woken."""
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._feed()
        except Exception as exc:
            log.exception("agent.broken", extra={"driver": self._driver.name})
            self._tell(Failed(str(exc)))
        finally:
            self._tell(DriverEnded())

    def _feed(self) -> None:
        wait, longest = _RETRY_S
        while not self._stop.is_set():
            try:
                for _ in self._batches():
                    wait = _RETRY_S[0]
            except (OSError, UnavailableError, _BrokenError) as exc:
                if not self._lost:
                    self._tell_lost(exc)
                self._lost = True
                self._stop.wait(wait)
                wait = min(wait * 2, longest)
            else:
                if not self._stop.is_set():
                    log.info("driver.finished", extra={"driver": self._driver.name})
                return

    def _tell_lost(self, exc: Exception) -> None:
        name = self._driver.name
        if isinstance(exc, _BrokenError):
            log.error("driver.broken", exc_info=exc.__cause__, extra={"driver": name, "reason": repr(exc.__cause__)})
        else:
            log.warning("driver.lost", extra={"driver": name, "reason": str(exc)})

    def _said(self, cursor: str | None) -> Iterator[Batch]:
        """What the driver says, and apart from a fault of the outbox, what is wrong with it."""
        try:
            yield from self._driver.batches(cursor, self._stop)
        except (OSError, UnavailableError):
            raise
        except TweelingError as exc:
            raise UnavailableError(str(exc)) from exc  # it cannot go on now; what is wrong may be mended meanwhile
        except Exception as exc:
            raise _BrokenError from exc

    def _batches(self) -> Iterator[None]:
        """Put one batch after the other, from the last durable one on."""
        name = self._driver.name
        for batch in self._said(self._outbox.source(name).cursor):
            if not batch.live:
                self._outbox.wait_for_room(self._backlog, self._stop)
            if self._stop.is_set():
                return
            self._outbox.put_many(batch.samples, source=name, cursor=batch.cursor, live=batch.live, unread=batch.unread)
            if self._lost:
                log.info("driver.back", extra={"driver": name})
            self._lost = False
            yield
