"""InfluxDB 2 beyond what every store promises: buckets and tasks, retention, old hours, and what refusals say."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from support_servers import lasting_port
from support_store import DAY, HOUR, MINUTE, influx_opener, influxdb, points

from tweeling.adapters.influx import InfluxStore
from tweeling.adapters.influx_server import Access, InfluxServer
from tweeling.adapters.influx_setup import Kept, flux, migrate
from tweeling.adapters.memory import MemoryStore
from tweeling.errors import ConfigError, RefusedError, UnavailableError
from tweeling.ports.timeseries import Aggregate

A, B = "H1/H1-A/fillingLevel", "H1/H1-B/fillingLevel"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_migrating_again_does_nothing_and_a_changed_setting_is_followed() -> None:
    with influxdb(Kept(raw_days=90)) as access:
        assert migrate(access, Kept(raw_days=90)) == []
        assert migrate(access, Kept(raw_days=30, hourly_days=3650)) == [
            f"bucket {access.hourly} is kept for 3650 days now",
            f"changed task 'tweeling hourly {access.bucket}, late'",
            f"bucket {access.bucket} is kept for 30 days now",
        ]
        assert migrate(access, Kept(raw_days=30, hourly_days=3650)) == []
        assert migrate(access, Kept(raw_days=0)) == [
            f"bucket {access.hourly} is kept for ever now",
            f"removed task 'tweeling hourly {access.bucket}'",
            f"removed task 'tweeling hourly {access.bucket}, late'",
            f"bucket {access.bucket} is kept for ever now",
        ]


def test_hours_of_what_is_no_longer_kept_raw_are_answered_as_if_it_were() -> None:
    now = _now_ms()
    start = (now - 8 * DAY) // HOUR * HOUR
    rows = [(name, start + n * 7 * MINUTE, (n * 37 % 100) / 64, n % 3) for name in (A, B) for n in range(8 * 24 * 8)]
    model = MemoryStore()
    kept = Kept(raw_days=5)
    with influxdb(kept) as access:
        migrate(access, Kept(raw_days=0))  # so that the server takes what is to leave
        with influx_opener(access)() as store:
            for each in (model, store):
                each.apply(points(*rows), source="j", through=1)
        _run(access, flux(access, kept)[f"tweeling hourly {access.bucket}, late"], start, now - 5 * DAY + 2 * HOUR)
        _forget_raw(access, now - 5 * DAY)
        with influx_opener(access, raw_days=5)() as store:
            assert store.raw(A, start_ms=start, end_ms=now - 5 * DAY - HOUR).rows() == []
            assert store.kept().from_ms % HOUR == 0
            assert 0 < store.kept().removed == len(rows) - store.count()
            for step in (HOUR, 6 * HOUR, DAY):
                asked = {"start_ms": start // DAY * DAY, "end_ms": now // HOUR * HOUR, "step_ms": step}
                for aggregate in Aggregate:
                    found = store.windows((A, B), **asked, aggregate=aggregate)
                    expected = model.windows((A, B), **asked, aggregate=aggregate)
                    for name in (A, B):
                        np.testing.assert_array_equal(found[name].times, expected[name].times)
                        np.testing.assert_allclose(found[name].values, expected[name].values, rtol=1e-12)


@pytest.mark.parametrize("hourly_days", [0, 3650])
def test_a_shorter_retention_takes_no_point_before_its_hour_is_computed(hourly_days: float) -> None:
    now = _now_ms()
    start = (now - 60 * DAY) // HOUR * HOUR
    rows = [(A, start + n * 20 * MINUTE, n % 7 / 8) for n in range(55 * 24 * 3)]
    with influxdb() as access:
        with influx_opener(access)() as store:
            store.apply(points(*rows), source="j", through=1)
            asked = {"start_ms": start, "end_ms": (now - 30 * DAY) // HOUR * HOUR, "step_ms": HOUR}
            before = {each: store.window(A, **asked, aggregate=each) for each in Aggregate}
        done = migrate(access, Kept(raw_days=30, hourly_days=hourly_days))
        assert "computed hourly values of points older than 30 days" in done
        assert done[-1] == f"bucket {access.bucket} is kept for 30 days now"
        _forget_raw(access, now - 30 * DAY)
        with influx_opener(access, raw_days=30)() as store:
            for each, expected in before.items():
                found = store.window(A, **asked, aggregate=each)
                np.testing.assert_array_equal(found.times, expected.times)
                np.testing.assert_allclose(found.values, expected.values, rtol=1e-12)


def test_a_series_that_was_silent_for_longer_than_points_are_kept_is_still_known_after_a_restart() -> None:
    now = _now_ms()
    hour = (now - 40 * DAY) // HOUR * HOUR
    with influxdb() as access:
        with influx_opener(access)() as store:
            rows = (A, hour + MINUTE, 0.25), (A, hour + HOUR + MINUTE, 0.5), (A, hour + HOUR + 2 * MINUTE, 0.75)
            store.apply(points(*rows, (B, now - MINUTE, 0.125, 1)), source="j", through=1)
        migrate(access, Kept(raw_days=30))
        _forget_raw(access, now - 30 * DAY)
        with influx_opener(access, raw_days=30)() as store:
            assert [tuple(each) for each in store.latest()] == [(A, hour + HOUR, 0.75, 0), (B, now - MINUTE, 0.125, 1)]
            assert [each.series for each in store.latest("H1/H1-B")] == [B]


def test_a_retention_stays_as_it_is_where_the_hours_cannot_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object) -> None:
        raise UnavailableError("it does not answer")

    with influxdb() as access:
        with monkeypatch.context() as patch:
            patch.setattr(InfluxServer, "ask", silent)
            with pytest.raises(ConfigError, match="so all points are kept as long as before") as caught:
                migrate(access, Kept(raw_days=30))
        assert caught.value.field == "store.raw_days"
        assert f"bucket {access.bucket} is kept for 30 days now" in migrate(access, Kept(raw_days=30))


def test_points_older_than_what_is_kept_are_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    now = _now_ms()
    with influxdb(Kept(raw_days=5)) as access:
        for believed in (5, 0):  # the second client relies on the server, which says no itself
            with influx_opener(access, raw_days=believed)() as store:
                through = store.applied("j") + 1
                store.apply(points((A, now - 6 * DAY, 0.1), (A, now - DAY + through, 0.2)), source="j", through=through)
                assert store.applied("j") == through
                assert store.count() == through
        assert [record.message for record in caplog.records] == ["store.too_old"] * 2


def test_refusals_name_what_to_change_and_no_token() -> None:
    with influxdb() as access:
        missing = replace(access, bucket="nowhere")
        wrong = replace(access, token="wr0ng-t0ken", token_from="secrets/influxdb-token")
        for refused, field, remedy in (
            (missing, "store.influxdb", "tweeling migrate"),
            (wrong, "store.influxdb.token_file", "secrets/influxdb-token"),
        ):
            with closing(InfluxStore(refused, raw_days=0, now_ms=_now_ms)) as store:
                for ask in (store.count, lambda: store.apply(points((A, 1000, 0.5)), source="j", through=1)):
                    with pytest.raises(RefusedError, match=remedy) as caught:
                        ask()
                    assert caught.value.field == field
                    assert "wr0ng" not in str(caught.value) + repr(refused)


def _run(access: Access, task: str, start_ms: int, end_ms: int) -> None:
    """What the task computes, over a range that does not depend on the hour; beyond it nothing is right yet."""
    body = task[task.index("hours = ") :]
    begin, end = body.index("range("), body.index("\n", body.index("range("))
    server = InfluxServer(access)
    with closing(server), server.translated():
        asked = f"range(start: time(v: {start_ms}000000), stop: time(v: {end_ms // HOUR * HOUR}000000))"
        server.client.query_api().query_raw(
            f'import "date"\nunused = date.year\n{body[:begin]}{asked}{body[end:]}'
        ).read()


def _forget_raw(access: Access, before_ms: int) -> None:
    """What retention does, some time later."""
    server = InfluxServer(access)
    until = np.datetime64(before_ms, "ms").astype(str) + "Z"
    with closing(server), server.translated():
        server.client.delete_api().delete("1970-01-01T00:00:00Z", until, "", bucket=access.bucket)


def test_a_server_that_is_gone_is_unavailable() -> None:
    access = Access(f"http://127.0.0.1:{lasting_port()}", "o", "b", "t")
    with closing(InfluxStore(access, raw_days=0, now_ms=_now_ms)) as store:
        for ask in (store.count, store.latest, lambda: store.apply(points((A, 1, 1.0)), source="j", through=2)):
            with pytest.raises(UnavailableError, match="does not answer"):
                ask()
