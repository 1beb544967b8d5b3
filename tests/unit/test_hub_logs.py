import json
import logging

import pytest

from tweeling.cli.broker import Voice
from tweeling.cli.logs import Events, JsonEvents


def record(**fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": "broker.lost", "levelname": "WARNING", "created": 0.25, **fields})


def test_an_event_is_a_line_for_people() -> None:
    line = Events().format(record(host="127.0.0.1", queued=3))
    assert line.split(" ", 2)[2] == "warning broker.lost host='127.0.0.1' queued=3"


def test_an_event_is_an_object_for_machines() -> None:
    assert json.loads(JsonEvents().format(record(host="127.0.0.1", queued=3))) == {
        "time": "1970-01-01T00:00:00.250+00:00",
        "level": "warning",
        "event": "broker.lost",
        "host": "127.0.0.1",
        "queued": 3,
    }


def test_what_a_stranger_sent_makes_no_second_line() -> None:
    forged = record(msg="bad topic x\n2026-01-01 info hub.ready", reason="a\nb")
    for formatter in (Events(), JsonEvents()):
        assert "\n" not in formatter.format(forged)


def test_a_failure_travels_in_one_object() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        raise ZeroDivisionError
    failed = record(exc_info=(caught.type, caught.value, caught.tb))
    assert "ZeroDivisionError" in json.loads(JsonEvents().format(failed))["traceback"]


def test_the_brokers_troubles_are_told_without_client_ids_and_the_rest_to_who_debugs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "tweeling.broker")
    voice = Voice("hub-0123456789abcdef")
    assert not voice.hear("[7] 2026/11/27 15:34:59.624001 [INF] Starting nats-server\n")
    assert not voice.hear("[7] 2026/11/27 15:34:59.624001 [INF] \n")
    assert voice.hear("[7] 2026/11/27 15:34:59.625001 [INF] Server is ready\n")
    voice.hear('[7] 2026/11/27 15:35:00.000001 [ERR] 127.0.0.1:1 - mid:6 - "paho/ABC" - authentication error\n')
    voice.hear("[7] 2026/11/27 15:35:00.000001 [WRN] session hub-0123456789abcdef in use\n")
    voice.hear("[7] 2026/11/27 15:35:00.000001 [WRN] Plaintext passwords detected, use nkeys or bcrypt\n")
    told = [(line.levelname, line.text) for line in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        ("DEBUG", "Starting nats-server"),
        ("DEBUG", "Server is ready"),
        ("WARNING", '127.0.0.1:1 - mid:6 - "…" - authentication error'),
        ("WARNING", "session … in use"),
        ("DEBUG", "Plaintext passwords detected, use nkeys or bcrypt"),
    ]
    assert voice.last_words == '127.0.0.1:1 - mid:6 - "…" - authentication error; session … in use'


def test_a_stranger_who_knocks_for_ever_fills_no_log(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    voice = Voice("hub-0", most=3)
    for _ in range(50):
        voice.hear("[7] 2026/11/27 15:35:00.000001 [ERR] authentication error\n")
    assert len(caplog.records) == 3
    now[0] += 61
    voice.hear("[7] 2026/11/27 15:36:01.000001 [ERR] authentication error\n")
    assert [line.message for line in caplog.records[3:]] == ["broker.troubles", "broker.says"]
    assert caplog.records[3].untold == 47  # type: ignore[attr-defined]
