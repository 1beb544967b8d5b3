from __future__ import annotations

import logging
from threading import Event, Thread

import pytest
from support_ingest import HandClock

from tweeling.errors import UnavailableError
from tweeling.services.keeping import Keeper


class _Store:
    def __init__(self) -> None:
        self.asked: list[int] = []
        self.trouble = ""
        self.twice = Event()

    def maintain(self, now_ms: int) -> None:
        self.asked.append(now_ms)
        if len(self.asked) == 2:
            self.twice.set()
        if self.trouble:
            raise UnavailableError(self.trouble)


def test_trouble_is_told_once_and_once_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = _Store()
    keeper = Keeper(store, HandClock())
    store.trouble = "raw-2026-01 is missing"
    keeper.keep()
    keeper.keep()
    assert keeper.trouble == "raw-2026-01 is missing"
    store.trouble = ""
    keeper.keep()
    assert keeper.trouble is None
    assert [record.message for record in caplog.records] == ["keeping.lost", "keeping.back"]


def test_a_store_is_asked_by_the_twins_time_until_told_to_stop() -> None:
    store, clock, stop = _Store(), HandClock(), Event()
    thread = Thread(target=Keeper(store, clock, every_s=0.001).run, args=(stop,))
    thread.start()
    assert store.twice.wait(30)
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    assert set(store.asked) == {clock.now_ms()}
