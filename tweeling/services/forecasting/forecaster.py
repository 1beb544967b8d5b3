"""Keeps a forecast of every fill level as new as the twin's time asks."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock

import numpy as np
from numpy.typing import NDArray

from tweeling.domain.forecast import Forecast, Score
from tweeling.domain.now import PartNow, ThingNow
from tweeling.domain.telemetry import FILLING_LEVEL, Series
from tweeling.errors import UnavailableError
from tweeling.ports.clock import Clock
from tweeling.ports.timeseries import Aggregate, TimeSeriesStore
from tweeling.services.forecasting.history import DAY_MS, HOUR_MS, History, on_grid, present_ms
from tweeling.services.forecasting.model import forecast

HORIZON = 336
_WEEKS = 160  # of history; more than three years, so that two earlier summers are always in it
_SHARE = 4  # wait this many times as long as the work took: a refresh never keeps a core to itself

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Track:
    """What is kept of one series. grid: the last value of each hour up to `cutoff_ms`, NaN where there was none."""

    cutoff_ms: int
    grid: NDArray[np.float32]
    day: int
    scores: Sequence[Score]
    forecast: Forecast | None


class Forecaster:
    """Refreshes forecasts when their time has come: hourly the paths, daily the whole history and its backtest.

    `things` tells what there is to forecast; `on_made` is told of each round that made something new.
    """

    def __init__(
        self,
        store: TimeSeriesStore,
        clock: Clock,
        things: Callable[[], Sequence[ThingNow]],
        *,
        horizon: int = HORIZON,
        every_ms: int = HOUR_MS,
        seed: int = 0,
        on_made: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._things = things
        self._horizon = horizon
        self._every_ms = every_ms
        self._seed = seed
        self._on_made = on_made
        self._lock = Lock()
        self._tracks: dict[str, _Track] = {}
        self._made = 0
        self._lost: str | None = None

    @property
    def made(self) -> int:
        """How many forecasts were made."""
        return self._made

    def health(self) -> PartNow:
        """How forecasting is."""
        with self._lock:
            count = sum(track.forecast is not None for track in self._tracks.values())
        return PartNow("forecast", self._lost is None, self._lost or f"{count} series, {self._made} made")

    def newest(self, key: str) -> Forecast | None:
        """The newest forecast of a series, made now if it has none yet; None where its history is too short."""
        track = self._tracks.get(key)
        if track is None:
            thing = next((row for row in self._things() if _key(row) == key), None)
            if thing is None or thing.time_ms is None:
                return None
            track = self._renew(key, None, self._cutoff(thing.time_ms))
        return track.forecast

    def refresh(self, stop: Event | None = None) -> int:
        """Renew every forecast that is due; return how many. UnavailableError: the store does not answer."""
        count = 0
        for thing in self._things():
            if stop is not None and stop.is_set():
                break
            if thing.time_ms is None:
                continue
            key, cutoff_ms = _key(thing), self._cutoff(thing.time_ms)
            track = self._tracks.get(key)
            if track is None or abs(cutoff_ms - track.cutoff_ms) >= self._every_ms:
                self._renew(key, track, cutoff_ms)
                count += 1
        if count:
            self._on_made()
        return count

    def run(self, stop: Event, *, poll_s: float = 0.5) -> None:
        """Keep forecasts new until `stop`; a store that is down is asked again."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                self.refresh(stop)
            except UnavailableError as exc:
                if self._lost is None:
                    log.warning("forecast.lost", extra={"reason": str(exc)})
                self._lost = str(exc)
            else:
                if self._lost is not None:
                    log.info("forecast.back")
                self._lost = None
            stop.wait(max(poll_s, _SHARE * (time.monotonic() - began)))

    def _cutoff(self, latest_ms: int) -> int:
        return present_ms(self._clock.now_ms(), latest_ms)

    def _renew(self, key: str, track: _Track | None, cutoff_ms: int) -> _Track:
        """Read what is new, backtest once a day (not all series at midnight), and forecast.

        Nothing is locked meanwhile: who asks first for a series does not wait for a round over all others, and doing
        the same twice gives the same.
        """
        day = (cutoff_ms + zlib.crc32(key.encode()) % 24 * HOUR_MS) // DAY_MS
        if track is None or track.day != day or cutoff_ms < track.cutoff_ms:
            grid, scores = self._read(key, cutoff_ms - _WEEKS * 7 * DAY_MS, cutoff_ms), None
        else:
            grid, scores = self._grown(key, track, cutoff_ms), track.scores
        history = History.of(key, grid.astype(np.float64), end_ms=cutoff_ms)
        made = forecast(history, horizon=self._horizon, seed=self._seed, scores=scores)
        renewed = _Track(cutoff_ms, grid, day, made.scores if made else (), made)
        with self._lock:
            self._tracks[key] = renewed
            self._made += made is not None
        return renewed

    def _grown(self, key: str, track: _Track, cutoff_ms: int) -> NDArray[np.float32]:
        """The grid before, with all that came since a day before its end."""
        new = self._read(key, track.cutoff_ms - DAY_MS, cutoff_ms)
        size = len(track.grid) + (cutoff_ms - track.cutoff_ms) // HOUR_MS
        grid = np.full(max(size, len(new)), np.nan, dtype=np.float32)
        grid[len(grid) - size :][: len(track.grid)] = track.grid
        tail = grid[len(grid) - len(new) :]
        tail[:] = np.where(np.isnan(new), tail, new)
        return grid[-_WEEKS * 168 :]

    def _read(self, key: str, start_ms: int, end_ms: int) -> NDArray[np.float32]:
        windows = self._store.window(key, start_ms=start_ms, end_ms=end_ms, step_ms=HOUR_MS, aggregate=Aggregate.LAST)
        return on_grid(windows, end_ms=end_ms).astype(np.float32)


def _key(thing: ThingNow) -> str:
    return Series(thing.hub, thing.thing, FILLING_LEVEL).key
