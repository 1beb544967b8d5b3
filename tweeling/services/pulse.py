"""The pulse of a hub: what has to be watched over time is seen once a second, the rest when somebody asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tweeling.domain.now import PartNow
from tweeling.domain.vitals import Disk, Ingested, Vitals
from tweeling.errors import UnavailableError
from tweeling.ports.clock import Clock
from tweeling.ports.journal import Journal
from tweeling.services.anchoring import Anchoring
from tweeling.services.custody import Custody
from tweeling.services.projection import Projector
from tweeling.services.rates import Growth

_EVERY_S = 1.0
_DISK_EVERY = 60  # looks
_NOW_S, _MINUTE_S = 10.0, 60.0
_DAY_S = 86_400.0
_SURE_S = 600.0  # of a disk's growth before it is told
_FEW_DAYS = 7.0
_LITTLE = 1 << 30  # bytes


class Pulse:
    """One thread runs it, any may ask. disk: looks at the data folder. speed: of `clock`, beside the machine's own."""

    def __init__(
        self,
        *,
        journal: Journal,
        projector: Projector,
        ingested: Callable[[], Ingested],
        custody: Custody,
        anchoring: Anchoring | None,
        disk: Callable[[], Disk],
        clock: Clock,
        real: Clock,
        speed: float = 1.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._projector = projector
        self._ingested = ingested
        self._custody = custody
        self._anchoring = anchoring
        self._look_at_disk = disk
        self._clock = clock
        self._real = real
        self._speed = speed
        self._monotonic = monotonic
        self._readings = Growth(_MINUTE_S)
        self._used = Growth(_DAY_S)
        self._looks = 0
        self._lock = threading.Lock()
        # What the custody log said last: events pending, and when the newest anchored checkpoint was signed.
        self._log: tuple[int, int | None] = (0, None)

    def run(self, stop: threading.Event) -> None:
        """Look once a second until stopped."""
        while not stop.wait(_EVERY_S):
            self.look()

    def look(self) -> None:
        """See what is measured over time; what does not answer now is seen at the next look."""
        try:
            readings = self._journal.counts()["readings"]
            used = self._look_at_disk().used if self._looks % _DISK_EVERY == 0 else None
        except UnavailableError:
            return
        with self._lock:
            at = self._monotonic()
            self._looks += 1
            self._readings.note(at, readings)
            if used is not None:
                self._used.note(at, used)

    def vitals(self) -> Vitals:
        """Every sign, now; raises UnavailableError while journal or disk do not answer."""
        projected = self._projector.status()
        extent = self._journal.extent(projected.through)
        counts = self._journal.counts()
        newest = self._journal.quarantine(1)
        waiting_ms = 0 if extent.waiting_ms is None else max(self._clock.now_ms() - extent.waiting_ms, 0)
        with self._lock:
            now, minute = (self._readings.per_second(span) for span in (_NOW_S, _MINUTE_S))
        disk, growth, days = self._room()
        pending, anchored_ms = self._anchored()
        told = self._ingested()
        return Vitals(
            readings_per_s=now,
            readings_per_s_minute=minute,
            lag_batches=max(projected.lag, 0),
            lag_s=waiting_ms / 1000 / self._speed,
            gaps=told.gaps,
            quarantined=counts["quarantined"] - counts["quarantine_dropped"] - counts["replayed"],
            quarantine_reason=newest[0].suspect.reason if newest else "",
            journal_batches=extent.batches,
            journal_bytes=extent.bytes,
            pending=pending,
            anchor_age_s=None if anchored_ms is None else max(self._real.now_ms() - anchored_ms, 0) / 1000,
            anchors_left=None if self._anchoring is None else self._anchoring.left,
            ledger=None if self._anchoring is None else self._anchoring.signs(),
            disk=disk,
            disk_growth=growth,
            disk_days=days,
            commit_s=told.commit_s,
            commit_messages=told.commit_messages,
        )

    def disk(self) -> PartNow:
        """Whether there is room for the days to come; raises UnavailableError while the disk does not answer."""
        disk, growth, days = self._room()
        pace = "" if growth is None or days is None else f", {days:,.0f} days at {growth / 1e6:,.0f} MB a day"
        ok = disk.free >= _LITTLE and (days is None or days >= _FEW_DAYS)
        return PartNow("disk", ok, f"{disk.free / 1e9:,.1f} GB free{pace}")

    def _room(self) -> tuple[Disk, float | None, float | None]:
        """The disk, its growth a day, and the days until it is full; the latter two where they are known."""
        disk = self._look_at_disk()
        with self._lock:
            grows = self._used.per_second(_DAY_S, at_least_s=_SURE_S)
        growth = None if grows is None else grows * _DAY_S
        return disk, growth, disk.free / growth if growth is not None and growth > 0 else None

    def _anchored(self) -> tuple[int, int | None]:
        try:
            counts = self._custody.counts()
            self._log = (max(counts["events"] - counts["anchored"], 0), self._custody.anchored_ms())
        except UnavailableError:
            pass  # what was last known stands, and `health` says who does not answer
        return self._log
