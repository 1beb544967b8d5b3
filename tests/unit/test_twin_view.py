import numpy as np
from support_forecast import HOUR, MONDAY, points, sawtooth
from support_screens import SmallTwin

from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.domain.now import EventNow, PartNow, ProofState
from tweeling.domain.points import Point, Points
from tweeling.ports.view import TwinView
from tweeling.services.forecasting import Forecaster
from tweeling.services.twin import Twin
from tweeling.services.view import HubView

VITALS = SmallTwin().vitals()
EVENT = EventNow(0, "urn:uuid:1", "ObjectEvent", "shipping", 1, (), 5, "P01", ProofState.PENDING, None)


class HandClock:
    def __init__(self, now_ms: int) -> None:
        self.time_ms = now_ms

    def now_ms(self) -> int:
        return self.time_ms


def view_of(*news: Points, now_ms: int) -> HubView:
    store, clock = MemoryStore(), HandClock(now_ms)
    for number, each in enumerate(news, start=1):
        store.apply(each, source="test", through=number)
    twin = Twin(store, MemoryFacts())
    twin.load()
    return HubView(
        twin=twin,
        store=store,
        forecaster=Forecaster(store, clock, twin.things, on_made=twin.touch),
        clock=clock,
        events=lambda limit: (EVENT,) * limit,
        health=lambda: (PartNow("broker", ok=True, detail="listens"),),
        counts=lambda: {"readings_in": 3},
        vitals=lambda: VITALS,
    )


def test_a_view_joins_what_its_services_know() -> None:
    view: TwinView = view_of(points("H1/P1/fillingLevel", sawtooth(20), end_ms=MONDAY), now_ms=MONDAY)
    assert view.now_ms() == MONDAY
    assert [row.thing for row in view.things()] == ["P1"]
    assert view.region().zones == ()
    assert view.nodes() == []
    assert view.events(2) == (EVENT, EVENT)
    assert view.health()[0].part == "broker"
    assert view.counts() == {"readings_in": 3}
    assert view.vitals() is VITALS
    forecast = view.forecast("H1", "P1")
    assert forecast is not None
    assert forecast.series == "H1/P1/fillingLevel"
    assert view.forecast("H1", "P2") is None


def test_history_is_hourly_means_with_the_running_hour_and_without_empty_ones() -> None:
    news = Points.of(
        [
            Point("H1/P1/fillingLevel", MONDAY - 3 * HOUR, 0.2),
            Point("H1/P1/fillingLevel", MONDAY - 2 * HOUR - 1, 0.4),
            Point("H1/P1/fillingLevel", MONDAY + 1, 0.6),
        ]
    )
    view = view_of(news, now_ms=MONDAY + HOUR // 2)
    assert [(time_ms, round(value, 9)) for time_ms, value in view.history("H1", "P1", hours=24)] == [
        (MONDAY - 3 * HOUR, 0.3),
        (MONDAY, 0.6),
    ]
    assert view.history("H1", "P1", hours=1) == [(MONDAY, 0.6)]
    assert view.history("H1", "unknown", hours=24) == []


def test_the_history_of_a_recording_ends_where_it_ended() -> None:
    news = points("H1/P1/fillingLevel", np.array([0.1, 0.2, 0.3]), end_ms=MONDAY)
    view = view_of(news, now_ms=MONDAY + 400 * 24 * HOUR)
    assert [value for _, value in view.history("H1", "P1", hours=2)] == [0.2, 0.3]
