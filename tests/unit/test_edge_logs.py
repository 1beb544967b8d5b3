from __future__ import annotations

import logging
import threading
import time

import pytest

from tweeling_edge.clock import Clock
from tweeling_edge.logs import EventFormatter, Seldom


def test_a_log_line_is_an_event_with_its_facts() -> None:
    record = logging.makeLogRecord(
        {"msg": "broker.lost", "levelname": "WARNING", "host": "127.0.0.1", "pending": 3, "reason": 'no "route"\nhere'}
    )
    line = EventFormatter().format(record)
    assert line.split(" ", 1)[1] == 'warning broker.lost host=127.0.0.1 pending=3 reason="no \\"route\\"\\nhere"'
    assert "\n" not in line


def test_what_happens_often_is_told_at_once_and_then_once_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    seldom = Seldom(logging.getLogger("tweeling_edge.test"), "things.happened", "things")
    for at, count in ((0, 1), (1, 2), (59, 3), (60, 4), (61, 5), (200, 0)):
        now[0] = 1000.0 + at
        seldom.note(count, reason=f"at {at}")
    assert [(record.message, record.things, record.reason) for record in caplog.records] == [  # type: ignore[attr-defined]
        ("things.happened", 1, "at 0"),
        ("things.happened", 9, "at 60"),
        ("things.happened", 5, "at 200"),
    ]


def test_the_clock_runs_from_a_shared_moment() -> None:
    clock = Clock(origin_sim_ms=1_000_000, origin_real_ms=5_000, speed=600, real_ms=lambda: 5_010)
    assert clock.now_ms() == 1_006_000
    assert abs(Clock().now_ms() - time.time() * 1000) < 5_000


def test_waiting_ends_at_once_when_stopped_and_asks_no_clock_that_can_be_set() -> None:
    def broken() -> int:
        raise AssertionError("the wall clock was asked")

    stop = threading.Event()
    clock = Clock(speed=600, real_ms=broken)
    assert clock.wait(-5, stop)
    assert clock.wait(6, stop)
    threading.Timer(0.01, stop.set).start()
    assert not clock.wait(10**15, stop)
    assert Clock(speed=600, monotonic_s=lambda: 2.0).passed_ms() == 1_200_000
