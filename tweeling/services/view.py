"""The whole twin behind one port: what screens and interfaces may read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from tweeling.domain.forecast import Forecast
from tweeling.domain.now import EventNow, NodeNow, PartNow, ThingNow
from tweeling.domain.region import Region
from tweeling.domain.telemetry import FILLING_LEVEL, Series
from tweeling.domain.vitals import Vitals
from tweeling.ports.clock import Clock
from tweeling.ports.timeseries import Aggregate, TimeSeriesStore
from tweeling.services.forecasting import Forecaster
from tweeling.services.forecasting.history import HOUR_MS, present_ms
from tweeling.services.twin import Twin


class HubView:
    """TwinView of one hub server: joins its services, keeps nothing itself."""

    def __init__(
        self,
        *,
        twin: Twin,
        store: TimeSeriesStore,
        forecaster: Forecaster,
        clock: Clock,
        events: Callable[[int], Sequence[EventNow]],
        health: Callable[[], Sequence[PartNow]],
        counts: Callable[[], dict[str, int]],
        vitals: Callable[[], Vitals],
    ) -> None:
        self._twin = twin
        self._store = store
        self._forecaster = forecaster
        self._clock = clock
        self._events = events
        self._health = health
        self._counts = counts
        self._vitals = vitals

    def now_ms(self) -> int:
        """The twin's time."""
        return self._clock.now_ms()

    def region(self) -> Region:
        """What stands still."""
        return self._twin.region()

    def things(self) -> Sequence[ThingNow]:
        """Every zone of the region, then every other container that reports."""
        return self._twin.things()

    def history(self, hub: str, thing: str, *, hours: int) -> Sequence[tuple[int, float]]:
        """Hourly mean fillingLevel of the last hours, the one that runs included; of a recording, its own last."""
        series = Series(hub, thing, FILLING_LEVEL)
        now_ms = self._clock.now_ms()
        latest_ms = next((row.time_ms for row in self._twin.things() if (row.hub, row.thing) == (hub, thing)), None)
        end_ms = present_ms(now_ms, now_ms if latest_ms is None else latest_ms)
        if end_ms <= now_ms < end_ms + HOUR_MS:
            end_ms += HOUR_MS
        windows = self._store.window(
            series.key, start_ms=end_ms - hours * HOUR_MS, end_ms=end_ms, step_ms=HOUR_MS, aggregate=Aggregate.MEAN
        )
        return list(zip(windows.times.tolist(), windows.values.tolist(), strict=True))

    def forecast(self, hub: str, thing: str) -> Forecast | None:
        """The newest forecast of a thing's fillingLevel; None where history is too short."""
        return self._forecaster.newest(Series(hub, thing, FILLING_LEVEL).key)

    def events(self, limit: int = 20) -> Sequence[EventNow]:
        """The latest custody events, newest first."""
        return self._events(limit)

    def nodes(self) -> Sequence[NodeNow]:
        """Presence of every edge node that ever spoke."""
        return self._twin.nodes()

    def health(self) -> Sequence[PartNow]:
        """Every part and how it is."""
        return self._health()

    def counts(self) -> dict[str, int]:
        """Totals."""
        return self._counts()

    def vitals(self) -> Vitals:
        """What goes through, what waits, what is missing and what is left."""
        return self._vitals()

    def changes(self) -> AsyncIterator[int]:
        """Yield a growing revision each time something a screen shows has changed."""
        return self._twin.changes()
