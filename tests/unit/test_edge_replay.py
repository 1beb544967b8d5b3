from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweeling.errors import ConfigError
from tweeling.simulation import Fill, Load
from tweeling.wire.senml import Resolved
from tweeling_edge.clock import Clock
from tweeling_edge.drivers import Batch, Site
from tweeling_edge.drivers.replay import Place, Replay
from tweeling_edge.drivers.simulate import Simulate, SimulateSettings
from tweeling_edge.drivers.table import Bad, Good, ReplaySettings, Table

T0 = 1_704_067_200_000  # 2024-01-01T00:00:00Z


def settings(path: Path, **more: Any) -> ReplaySettings:
    return ReplaySettings.model_validate({"file": path, **more})


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def played(driver: Replay, cursor: str | None = None) -> list[Batch]:
    return list(driver.batches(cursor, threading.Event()))


def records(batches: list[Batch]) -> list[Resolved]:
    return [sample[0] for batch in batches for sample in batch.samples]


def site(clock: Clock | None = None) -> Site:
    return Site("H1", "gw1", clock or Clock())


def fast() -> Clock:
    """A clock in which an hour is over in some milliseconds."""
    return Clock(0, Clock().now_ms(), 1_000_000.0)


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2024-01-01 00:00:00", "UTC", T0),
        ("2024-01-01T00:00:00.250Z", "UTC", T0 + 250),
        ("2024-01-01T01:00:00+01:00", "UTC", T0),
        ("2024-01-01 01:00", "Europe/Amsterdam", T0),
        ("2024-07-01 02:00", "Europe/Amsterdam", 1_719_792_000_000),
        ("1704067200", "UTC", T0),
        ("1704067200.25", "UTC", T0 + 250),
        ("1704067200000", "UTC", T0),
    ],
)
def test_times_are_read_in_every_usual_form(tmp_path: Path, text: str, zone: str, expected: int) -> None:
    table = Table(settings(write(tmp_path / "a.csv", f"sensor,time,value\ns,{text},1\n"), zone=zone))
    (row,) = table.rows()
    assert isinstance(row, Good)
    assert row.time_ms == expected


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ("s,yesterday,1", "time", "no time"),
        ("s,3600,1", "time", "1978"),
        ("s,2024-01-01,much", "value", "no number"),
        ("s,2024-01-01,nan", "value", "finite"),
        ("s,2024-01-01,inf", "value", "finite"),
        ("s/1,2024-01-01,1", "sensor", "no name"),
        (",2024-01-01,1", "sensor", "no name"),
        ("s,2024-01-01", "value", "too short"),
    ],
)
def test_a_bad_row_is_named_by_line_and_column_and_the_others_stand(
    tmp_path: Path, row: str, column: str, reason: str
) -> None:
    path = write(tmp_path / "a.csv", f"sensor,time,value\ns,2024-01-01,1\n{row}\ns,2024-01-02,2\n")
    first, bad, last = Table(settings(path)).rows()
    assert isinstance(first, Good)
    assert isinstance(last, Good)
    assert isinstance(bad, Bad)
    assert bad.reason.startswith(f"line 3, column '{column}'")
    assert reason in bad.reason


def test_a_missing_column_is_named_with_what_there_is_and_the_remedy(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "container_id,ts_utc,fill_pct\n")
    with pytest.raises(ConfigError) as caught:
        Replay(settings(path), site())
    assert "'sensor'" in str(caught.value)
    assert "'container_id', 'ts_utc', 'fill_pct'" in str(caught.value)
    assert "--columns sensor=NAME" in caught.value.remedy


def test_a_missing_file_and_an_empty_one_are_configuration_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        Replay(settings(tmp_path / "none.csv"), site())
    with pytest.raises(ConfigError, match="it has none"):
        Replay(settings(write(tmp_path / "empty.csv", "")), site())


def test_semicolons_decimal_commas_and_a_byte_order_mark_are_understood(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '\ufeffsensor;time;value;unit\r\ns;2024-01-01;"12,5";%\r\n')
    (row,) = Table(settings(path, columns={"unit": "unit"})).rows()
    assert isinstance(row, Good)
    assert (row.value, row.unit) == (12.5, "%")


def test_a_row_without_unit_takes_the_default(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sensor,time,value,u\ns,2024-01-01,1,\ns,2024-01-01,1,cm\n")
    rows = [row for row in Table(settings(path, unit="%", columns={"unit": "u"})).rows() if isinstance(row, Good)]
    assert [row.unit for row in rows] == ["%", "cm"]


def test_only_chosen_sensors_are_played_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sensor,time,value\na,2024-01-01,1\nb,2024-01-01,2\n\nc,x,3\na,bad,4\n")
    batches = played(Replay(settings(path, sensors=["a"]), site()))
    assert [record.name for record in records(batches)] == ["a/fillingLevel"]
    place = Place.read(batches[-1].cursor)
    assert (place.rows, place.skipped, place.bad) == (5, 3, 1)


@given(rows=st.integers(0, 40), batch=st.integers(1, 7), dies_after=st.integers(0, 12))
def test_a_replay_that_died_goes_on_with_the_next_row(
    tmp_path_factory: pytest.TempPathFactory, rows: int, batch: int, dies_after: int
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    lines = [f"s{i},{1_704_067_200 + i},{'x' if i % 5 == 3 else i}\n" for i in range(rows)]
    path = write(folder / "a.csv", "sensor,time,value\n" + "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tweeling_edge.drivers.replay._BATCH", batch)
        whole = played(Replay(settings(path), site()))
        first: list[Batch] = []
        for each in Replay(settings(path), site()).batches(None, threading.Event()):
            if len(first) == dies_after:
                break
            first.append(each)
        rest = played(Replay(settings(path), site()), first[-1].cursor if first else None)
    assert records(first + rest) == records(whole)
    assert [record.name for record in records(whole)] == [f"s{i}/fillingLevel" for i in range(rows) if i % 5 != 3]
    if whole:
        assert Place.read((first + rest)[-1].cursor) == Place.read(whole[-1].cursor)
        assert played(Replay(settings(path), site()), whole[-1].cursor) == []


def test_a_file_that_has_grown_is_played_on(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sensor,time,value\na,2024-01-01,1\n")
    first = played(Replay(settings(path), site()))
    with path.open("a") as stream:
        stream.write("b,2024-01-02,2\n")
    again = played(Replay(settings(path), site()), first[-1].cursor)
    assert [record.name for record in records(again)] == ["b/fillingLevel"]


def test_paced_play_follows_time_not_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sensor,time,value\nb,2024-01-01 02:00,2\na,2024-01-01 01:00,1\nc,bad,3\n")
    driver = Replay(settings(path, speed=1), site(fast()))
    batches = played(driver)
    assert [(record.name[0], record.time_ms - T0) for record in records(batches)] == [
        ("a", 3_600_000),
        ("b", 7_200_000),
    ]
    assert not any(batch.live for batch in batches)
    assert Place.read(batches[-1].cursor).bad == 1
    assert played(driver, batches[-1].cursor) == []
    assert [record.name[0] for record in records(played(driver, batches[0].cursor))] == ["b"]


def test_live_play_happens_now_in_the_same_rhythm(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sensor,time,value\na,2024-01-01 01:00,1\nb,2024-01-01 03:00,2\n")
    clock = fast()
    before = clock.now_ms()
    batches = played(Replay(settings(path, speed=2, times="live"), site(clock)))
    first, second = records(batches)
    assert before <= first.time_ms <= clock.now_ms()
    assert second.time_ms - first.time_ms == 3_600_000
    assert all(batch.live for batch in batches)


class Hand:
    """A clock that is set by hand. Ten milliseconds pass at each look at it."""

    def __init__(self) -> None:
        self.passed_ms = 0
        self.set_by_ms = 0

    def real_ms(self) -> int:
        self.passed_ms += 10
        return T0 + self.passed_ms + self.set_by_ms

    def clock(self, speed: float) -> Clock:
        return Clock(T0, T0, speed, self.real_ms, lambda: self.passed_ms / 1000)


@pytest.mark.parametrize("jump_ms", [-3_600_000, 3_600_000])
def test_live_play_keeps_its_rhythm_when_the_clock_is_set_and_says_what_the_clock_says(
    tmp_path: Path, jump_ms: int
) -> None:
    lines = [f"a,2024-01-01 00:00:0{second},1\n" for second in range(6)]
    path = write(tmp_path / "a.csv", "sensor,time,value\n" + "".join(lines))
    hand = Hand()
    told: list[Resolved] = []
    for batch in Replay(settings(path, speed=20, times="live"), site(hand.clock(1.0))).batches(None, threading.Event()):
        told += records([batch])
        hand.set_by_ms = jump_ms if len(told) >= 3 else 0
    steps = [later.time_ms - earlier.time_ms for earlier, later in pairwise(told)]
    assert steps == [50, 50, steps[2], 50, 50]
    assert abs(steps[2] - 50 - jump_ms) <= 10, "a look"
    assert hand.passed_ms < 1000, "and waits for no hour"


def test_the_same_play_has_the_same_name_and_another_one_has_not(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sensor,time,value\n")
    names = [
        Replay(settings(path, **more), site()).name
        for more in ({}, {}, {"sensors": ["a"]}, {"unit": "%"}, {"speed": 1}, {"speed": 2})
    ]
    assert names[0] == names[1]
    assert names[4] == names[5]
    assert len(set(names)) == 4


# ---------------------------------------------------------------- simulate


@dataclass
class Yard:
    """A world with a level every minute and a load every five, two at one moment."""

    def observe(self, from_ms: int, to_ms: int, *, every_ms: int) -> Iterator[Fill | Load]:
        for time_ms in range(-(-from_ms // every_ms) * every_ms, to_ms, every_ms):
            yield Fill(time_ms, "H1-A", 0.25)
            if time_ms % (5 * every_ms) == 0:
                for ticket in ("t1", "t2"):
                    yield Load(time_ms, "H1-A", "hout", "P01", "in", 3000, 1000, 2000, f"{ticket}-{time_ms}", "")


def simulated(clock: Clock, cursor: str | None, batches: int) -> list[Batch]:
    yard = SimulateSettings(start_ms=0, from_ms=0, every_s=60, tick_s=0.01)
    stop = threading.Event()
    driver = Simulate(yard, site(clock), world=Yard())
    got: list[Batch] = []
    for batch in driver.batches(cursor, stop):
        got.append(batch)
        if len(got) == batches:
            stop.set()
    return got


def test_the_simulated_hub_is_told_without_gap_or_repeat_over_a_restart() -> None:
    clock = fast()
    first = simulated(clock, None, 3)
    rest = simulated(clock, first[-1].cursor, 3)
    told = records(first + rest)
    assert json.loads(rest[-1].cursor or "") > told[-1].time_ms
    expected = [
        (item.time_ms, getattr(item, "ticket", "")) for item in Yard().observe(0, told[-1].time_ms + 1, every_ms=60_000)
    ]
    assert [(record.time_ms, (record.weighing or {}).get("tkt", "")) for record in told] == expected


def test_a_simulated_hub_lives_on_when_the_clock_is_set_and_weighs_nothing_twice() -> None:
    hand, stop, hour = Hand(), threading.Event(), 3_600_000
    clock = hand.clock(6000)  # a minute passes at each look
    driver = Simulate(SimulateSettings(start_ms=0, every_s=60, tick_s=0.01), site(clock), world=Yard())
    told: list[list[Resolved]] = []
    for batch in driver.batches(None, stop):
        told.append(records([batch]))
        hand.set_by_ms = {3: -600, 20: 600, 30: 0}.get(len(told), hand.set_by_ms)  # an hour is 600 real ones
        if len(told) == 120:
            stop.set()
    weighings = [record.weighing["tkt"] for batch in told for record in batch if record.weighing is not None]
    moments = [int(ticket.split("-")[1]) for ticket in weighings]
    assert len(set(weighings)) == len(weighings), "no weighing twice"
    assert sorted(set(moments)) == list(range(moments[0], moments[-1] + 1, 5 * 60_000)), "and none is left out"
    ends = [batch[-1].time_ms for batch in told]
    steps = [later - earlier for earlier, later in pairwise(ends)]
    assert {step for step in steps if abs(step) < hour / 2} == {60_000}, "a reading at each look, all the time"
    jumps = [(at, round(step / hour)) for at, step in enumerate(steps) if abs(step) > hour / 2]
    assert jumps == [(2, -1), (19, 2), (29, -1)], "at the times that the clock says"


def test_a_weighing_is_exact_and_complete() -> None:
    (batch,) = simulated(fast(), None, 1)
    level, load = batch.samples[0][0], batch.samples[1][0]
    assert level == Resolved("H1-A/fillingLevel", 0, 0.25, "/", None)
    assert (load.name, load.value, load.unit) == ("H1-A/scale", 2000, "g")
    assert load.weighing == {"mv_": "in", "mat": "hout", "grs": 3000, "tar": 1000, "par": "P01", "tkt": "t1-0"}


def test_the_demo_region_lives_behind_the_driver() -> None:
    start = T0
    clock = Clock(start + 86_400_000, Clock().now_ms(), 1000.0)
    driver = Simulate(SimulateSettings(start_ms=start, from_ms=start + 36_000_000), site(clock))
    stop = threading.Event()
    names = {record.name for batch in [next(driver.batches(None, stop))] for (record,) in batch.samples}
    assert "H1-A/fillingLevel" in names
