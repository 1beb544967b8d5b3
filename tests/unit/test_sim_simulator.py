"""The simulated hubs: deterministic, mass-true, and as full as the region is known to be."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from tweeling.errors import ConfigError
from tweeling.simulation import Fill, Load, Simulator, history
from tweeling.simulation.hours import Hours, utc_ms
from tweeling.simulation.parameters import HANDLING
from tweeling.simulation.region import load, seasons

HOUR = 3_600_000
DAY = 24 * HOUR
WEEK = 7 * DAY
END = utc_ms(date(2026, 5, 4), 7 * 60)  # a Monday, 07:00 in Amsterdam
START = END - 156 * WEEK
SEED = 2026

DENSITY = {material.id: material.density_kg_m3 for material in load().materials}
CAPACITY = {zone.id: zone.capacity_m3 for zone in load().zones}


def _level(zone: str, stock: Mapping[str, int]) -> float:
    return sum(grams / 1000 / DENSITY[material] for material, grams in stock.items()) / CAPACITY[zone]


@cache
def _simulator(hub: str) -> Simulator:
    return Simulator(SEED, hub, START)


@cache
def _told(hub: str) -> tuple[Fill | Load, ...]:
    return tuple(_simulator(hub).observe(START, END, every_ms=HOUR))


def _loads(events: Iterable[Fill | Load]) -> list[Load]:
    return [event for event in events if isinstance(event, Load)]


# ---------------------------------------------------------------- the same story, however it is asked for


def test_one_call_or_many_tell_the_same_story() -> None:
    whole = _told("H2")[:20_000]
    until = whole[-1].time_ms + 1
    whole = tuple(event for event in _told("H2") if event.time_ms < until)
    simulator = Simulator(SEED, "H2", START)
    cuts = [START, START + 1, START + HOUR, START + 5 * DAY + 77, START + 6 * WEEK + 12_345, until]
    parts = [event for a, b in pairwise(cuts) for event in simulator.observe(a, b, every_ms=HOUR)]
    assert repr(parts) == repr(list(whole))


def test_a_simulator_started_again_later_goes_on_with_the_same_story() -> None:
    later = START + 100 * WEEK + 3 * DAY + 4321
    again = tuple(Simulator(SEED, "H3", START).observe(later, END, every_ms=HOUR))
    assert again == tuple(event for event in _told("H3") if event.time_ms >= later)


def test_looking_back_does_not_change_the_story() -> None:
    simulator = Simulator(SEED, "H4", START)
    late = list(simulator.observe(END - WEEK, END, every_ms=HOUR))
    early = list(simulator.observe(START, START + WEEK, every_ms=HOUR))
    simulator.truth(START + 50 * WEEK)
    assert list(simulator.observe(END - WEEK, END, every_ms=HOUR)) == late
    assert early == [event for event in _told("H4") if event.time_ms < START + WEEK]


def test_sampling_more_often_changes_no_load_and_no_shared_sample() -> None:
    often = list(Simulator(SEED, "H1", START).observe(START, START + WEEK, every_ms=HOUR // 6))
    hourly = [event for event in _told("H1") if event.time_ms < START + WEEK]
    assert [event for event in often if isinstance(event, Load) or event.time_ms % HOUR == 0] == hourly


@pytest.mark.parametrize("other", [Simulator(SEED + 1, "H1", START), Simulator(SEED, "H1", START - WEEK)])
def test_another_seed_or_start_is_another_story(other: Simulator) -> None:
    assert _loads(other.observe(START, START + WEEK, every_ms=HOUR)) != _loads(_told("H1"))[:100]


def test_nothing_happens_before_the_start_and_everything_is_in_order() -> None:
    simulator = Simulator(SEED, "H1", START)
    events = list(simulator.observe(START - WEEK, START + WEEK, every_ms=HOUR))
    assert events[0].time_ms >= START
    assert all(a.time_ms <= b.time_ms for a, b in pairwise(events))
    assert all(event.time_ms % HOUR == 0 for event in events if isinstance(event, Fill))
    assert sum(isinstance(event, Fill) for event in events) == 3 * 168


def test_an_unknown_hub_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="'H9' is not a hub of the demo region"):
        Simulator(SEED, "H9", START)


def test_a_site_without_zones_is_silent() -> None:
    simulator = Simulator(SEED, "T1", START)
    assert list(simulator.observe(START, END, every_ms=HOUR)) == []
    assert simulator.opening() == []


# ---------------------------------------------------------------- scales


def test_every_weighing_adds_up_on_its_scale() -> None:
    for hub in ("H1", "H4"):
        for row in _loads(_told(hub)):
            division = HANDLING[row.material].division_g
            assert row.gross_g - row.tare_g == row.net_g > 0
            assert row.gross_g % division == row.tare_g % division == 0


def test_tickets_are_unique_and_every_lot_comes_once_and_leaves_once() -> None:
    pattern = re.compile(r"urn:epc:class:lgtin:9521141\.0\d{5}\.[A-Za-z0-9-]{1,20}")
    for hub in ("H1", "H4", "H5"):
        loads = _loads(_told(hub))
        assert len({row.ticket for row in loads}) == len(loads)
        assert all(pattern.fullmatch(row.lot) for row in loads)
        for direction in ("in", "out"):
            lots = [row.lot for row in loads if row.direction == direction]
            assert len(set(lots)) == len(lots)


def test_trucks_come_in_opening_hours() -> None:
    hubs = {hub.id: Hours(hub.opening_hours) for hub in load().hubs}
    zone = ZoneInfo("Europe/Amsterdam")
    for hub in ("H1", "H3"):
        for row in _loads(_told(hub)):
            day = datetime.fromtimestamp(row.time_ms / 1000, zone).date()
            assert any(opens <= row.time_ms < closes for opens, closes in hubs[hub].of(day)), row


def test_supply_follows_its_season_and_its_yearly_amount() -> None:
    flows = {flow.tenant: flow for flow in load().flows if flow.zone.startswith("H1")}
    weeks: dict[int, int] = defaultdict(int)
    for row in _loads(_told("H1")):
        if row.direction == "in" and row.tenant == "P01":
            weeks[(row.time_ms - START) // WEEK] += row.net_g
    mean = sum(weeks.values()) / 156e6
    factors = seasons()["bouw"]
    assert mean == pytest.approx(flows["P01"].inflow_t_week * sum(factors) / len(factors), rel=0.05)
    first = datetime.fromtimestamp(START / 1000, ZoneInfo("UTC")).date()
    holiday = [weeks[n] / 1e6 for n in range(156) if (first + timedelta(weeks=n)).isocalendar().week in {30, 31, 32}]
    assert sum(holiday) / len(holiday) < 0.6 * mean


# ---------------------------------------------------------------- truth


def test_mass_is_conserved_to_the_gram() -> None:
    for hub in ("H1", "H5"):
        simulator = _simulator(hub)
        stock = {(row.zone, row.material): row.grams for row in simulator.opening()}
        for row in _loads(_told(hub)):
            stock[row.zone, row.material] += row.net_g if row.direction == "in" else -row.net_g
        for event in simulator.processing(START, END):
            stock[event.zone, event.outputs[0][1]] -= event.loss_g
        truth = simulator.truth(END - 1)
        assert {(zone, material): grams for zone, row in truth.items() for material, grams in row.items()} == stock


def test_processing_conserves_mass_and_uses_only_lots_that_had_come() -> None:
    simulator = _simulator("H1")
    came = {row.lot: row for row in _loads(_told("H1")) if row.direction == "in"}
    shipped = {row.lot: row for row in _loads(_told("H1")) if row.direction == "out"}
    used: dict[str, int] = defaultdict(int)
    events = list(simulator.processing(START, END))
    assert 156 * 5 < len(events) <= 156 * 6
    for event in events:
        assert sum(grams for _, grams in event.inputs) == sum(row[2] for row in event.outputs) + event.loss_g
        for lot, grams in event.inputs:
            used[lot] += grams
            assert lot not in came or came[lot].time_ms < event.time_ms
        for lot, material, grams in event.outputs:
            assert (shipped[lot].net_g, shipped[lot].material) == (grams, material)
            assert shipped[lot].time_ms >= event.time_ms
    assert all(grams <= came[lot].net_g for lot, grams in used.items() if lot in came)


def test_stock_is_never_negative_and_dwells_as_long_as_it_should() -> None:
    for hub in load().hubs:
        simulator = _simulator(hub.id)
        samples = [simulator.truth(START + n * WEEK + 4 * DAY + 9 * HOUR) for n in range(156)]
        assert all(grams >= 0 for sample in samples for zone in sample.values() for grams in zone.values())
        flows: dict[tuple[str, str], float] = defaultdict(float)
        for flow in load().flows:
            flows[flow.zone, flow.material] += flow.inflow_t_week * 1e6 * flow.dwell_weeks
        for zone, material in ((zone, material) for zone, row in samples[0].items() for material in row):
            mean = sum(sample[zone][material] for sample in samples) / 156
            assert mean == pytest.approx(flows[zone, material], rel=0.2), (zone, material)


def test_the_region_shows_what_it_was_made_to_show() -> None:
    weeks = [START + n * WEEK + 4 * DAY + 9 * HOUR for n in range(156)]
    over: dict[str, int] = {}
    for hub in ("H1", "H3", "H4", "H5"):
        simulator = _simulator(hub)
        truths = [simulator.truth(week) for week in weeks]
        for zone in truths[0]:
            over[zone] = sum(_level(zone, truth[zone]) > 1 for truth in truths)
        if hub == "H1":
            tonnes = [sum(sum(row.values()) for row in truth.values()) / 1e6 for truth in truths]
            broken = [truth for truth, mass in zip(truths, tonnes, strict=True) if mass > 16_000]
            room = sum(CAPACITY[zone] for zone in truths[0])
            fill = [sum(_level(z, row) * CAPACITY[z] for z, row in truth.items()) / room for truth in broken]
            assert 5 < len(broken) < 60, "the permit binds in some weeks"
            assert 0.6 < sum(fill) / len(fill) < 0.85, "while there is room to the eye"
    assert all(5 < over[zone] < 80 for zone in ("H3-A", "H4-A", "H5-B"))
    assert not over["H1-A"]
    assert not over["H5-A"]


# ---------------------------------------------------------------- sensors


def test_a_sensor_says_the_truth_within_its_noise_and_never_more_than_full() -> None:
    simulator = _simulator("H4")
    fills = [event for event in _told("H4") if isinstance(event, Fill)][::97]
    errors = []
    for fill in fills:
        level = _level(fill.zone, simulator.truth(fill.time_ms)[fill.zone])
        assert 0 <= fill.level <= 1
        if level < 0.95:
            errors.append(fill.level - level)
        elif level > 1.05:
            assert fill.level == 1.0, "over-full is censored"
    mean = sum(errors) / len(errors)
    assert abs(mean) < 0.002
    assert 0.004 < (sum((error - mean) ** 2 for error in errors) / len(errors)) ** 0.5 < 0.015


def test_an_empty_zone_reads_nearly_nothing() -> None:
    levels = [event.level for event in _told("H7") if isinstance(event, Fill)]
    assert max(levels) < 0.05


# ---------------------------------------------------------------- history


def test_history_is_what_the_simulators_tell_merged_in_order() -> None:
    end = START + 20 * WEEK + 3 * DAY
    past = list(history(SEED, START, end, every_ms=HOUR))
    fills, loads = [row for chunk in past for row in chunk.fills], [row for chunk in past for row in chunk.loads]
    assert len(fills) == 18 * (20 * 168 + 72)
    assert (past[0].from_ms, past[-1].through_ms) == (START, end)
    assert all(a.through_ms == b.from_ms for a, b in pairwise(past))
    assert all(a.time_ms <= b.time_ms for rows in (fills, loads) for a, b in pairwise(rows))
    for hub in ("H2", "H3"):
        assert [row for row in loads if row.zone.startswith(hub)] == [r for r in _loads(_told(hub)) if r.time_ms < end]
    processing = [event for chunk in past for event in chunk.processing if event.zone == "H1-A"]
    assert processing == list(_simulator("H1").processing(START, end))
