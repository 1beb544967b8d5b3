from datetime import UTC, datetime
from pathlib import Path

import pytest

from tweeling.cli.installation import Clockwork, Installation, monday_morning, toml, working_hour
from tweeling.cli.main import seconds
from tweeling.errors import ConfigError


@pytest.mark.parametrize(
    ("now", "monday"),
    [
        (datetime(2026, 11, 24, 2, 0, tzinfo=UTC), datetime(2026, 11, 23, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 5, 59, tzinfo=UTC), datetime(2026, 11, 16, 6, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 6, 0, tzinfo=UTC), datetime(2026, 11, 23, 6, 0, tzinfo=UTC)),
        (datetime(2026, 7, 1, 12, 0, tzinfo=UTC), datetime(2026, 6, 29, 5, 0, tzinfo=UTC)),  # summer time
        (datetime(2026, 3, 29, 12, 0, tzinfo=UTC), datetime(2026, 3, 23, 6, 0, tzinfo=UTC)),  # the day it begins
    ],
)
def test_live_begins_on_a_monday_at_seven_on_the_wall_in_amsterdam(now: datetime, monday: datetime) -> None:
    assert monday_morning(now) == monday


def test_a_demo_that_was_killed_starts_again_later_than_anything_it_told(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    first = Clockwork(installation, installation.story(seed=1, speed=600))
    told = first.now_ms()
    again = installation.story(seed=99, speed=600)
    assert again.sim_ms > told
    assert (again.seed, again.start_ms) == (1, first.story.start_ms)


def test_a_clock_that_is_set_back_takes_nothing_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installation = Installation(tmp_path)
    clockwork = Clockwork(installation, installation.story(seed=1, speed=600))
    promised = installation.story(seed=1, speed=600).sim_ms
    monkeypatch.setattr("time.time_ns", lambda: (clockwork.origin_real_ms - 10_000) * 1_000_000)
    clockwork.reserve()
    assert installation.story(seed=1, speed=600).sim_ms >= promised


@pytest.mark.parametrize(
    ("stopped", "starts"),
    [
        ("2026-11-24T10:30:00+01:00", "2026-11-24T10:30:00+01:00"),
        ("2026-11-24T19:00:00+01:00", "2026-11-25T07:00:00+01:00"),
        ("2026-11-24T03:00:00+01:00", "2026-11-24T07:00:00+01:00"),
        ("2026-11-27T16:00:00+01:00", "2026-11-30T07:00:00+01:00"),  # a Friday afternoon
        ("2026-03-28T12:00:00+01:00", "2026-03-30T07:00:00+02:00"),  # over the change of clocks
    ],
)
def test_a_demo_opens_when_the_hubs_do(stopped: str, starts: str) -> None:
    as_ms = [round(datetime.fromisoformat(text).timestamp() * 1000) for text in (stopped, starts)]
    assert working_hour(as_ms[0]) == as_ms[1]


def test_a_demo_that_was_stopped_goes_on_just_there(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    first = Clockwork(installation, installation.story(seed=1, speed=600))
    first.stop()
    assert abs(installation.story(seed=1, speed=600).sim_ms - first.now_ms()) < 60_000


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no demo"):
        Installation(tmp_path).story(seed=1, speed=600)


def test_settings_are_written_as_toml() -> None:
    assert toml({"": {"a": "x"}, "b": {"c": 1.5, "d": True}}, "note") == '# note\n\na = "x"\n\n[b]\nc = 1.5\nd = true\n'


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("5m", 300), ("2h", 7200), ("1.5", 1.5)])
def test_times_are_read_with_their_unit(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "-3s", "0", "nan", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is no time"):
        seconds(text)
