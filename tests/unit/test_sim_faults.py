"""Faults of the field: each visible as it is defined, each told as the truth, and none of them anywhere else."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tweeling.simulation import Fault, Faults, Faulty, Fill, Load, Simulator, Told
from tweeling.simulation.faults import PRESETS, Schedule

HOUR = 3_600_000
DAY = 24 * HOUR
WEEK = 7 * DAY
EVERY = HOUR // 6
SEED, START = 2026, 1_677_477_600_000
A, B = START + 10 * WEEK, START + 14 * WEEK

Moments = dict[tuple[str, int], float]


@cache
def faulty(hub: str = "H4", **faults: Any) -> Faulty:
    return Faulty(SEED, hub, START, Faults.model_validate({kind: dict(told) for kind, told in faults.items()}))


def told(world: Faulty, a: int = A, b: int = B) -> list[Told]:
    return list(world.tell(a, b, every_ms=EVERY))


@cache
def clean(hub: str = "H4", a: int = A, b: int = B) -> Moments:
    events = Simulator(SEED, hub, START).observe(a, b, every_ms=EVERY)
    return {(event.zone, event.time_ms): event.level for event in events if isinstance(event, Fill)}


def levels(told_: list[Told]) -> Moments:
    fills = [each.item for each in told_ if isinstance(each.item, Fill)]
    assert len({(fill.zone, fill.time_ms) for fill in fills}) == len(fills)
    return {(fill.zone, fill.time_ms): fill.level for fill in fills}


def inside(faults: list[Fault], zone: str, time_ms: int) -> Fault | None:
    return next((row for row in faults if row.zone == zone and row.from_ms <= time_ms < row.to_ms), None)


OFTEN = (("per_week", 2), ("hours", 12))


# ---------------------------------------------------------------- without faults


@pytest.mark.parametrize(
    ("seed", "hub", "start_ms", "digest"),
    [
        (2026, "H1", 1_677_477_600_000, "561db28cddf0a9a0438d2138e38c3bc8"),
        (7, "H5", 1_700_000_000_000, "77225bcbd3148ed5595c81d920b3eb31"),
    ],
)
def test_the_story_of_known_seeds_stays_the_same_to_the_byte(seed: int, hub: str, start_ms: int, digest: str) -> None:
    simulator, told_ = Simulator(seed, hub, start_ms), hashlib.sha256()
    a, b = start_ms + 30 * DAY, start_ms + 60 * DAY
    for event in (*simulator.observe(a, b, every_ms=HOUR), *simulator.processing(a, b)):
        told_.update(repr(tuple(event)).encode())
    told_.update(repr(simulator.truth(b)).encode())
    assert told_.hexdigest()[:32] == digest


def test_without_faults_everything_arrives_as_it_is_when_it_is() -> None:
    world = Faulty(SEED, "H4", START, Faults())
    assert [each.item for each in told(world)] == list(Simulator(SEED, "H4", START).observe(A, B, every_ms=EVERY))
    assert all(each.at_ms == each.item.time_ms for each in told(world))
    assert world.faults(A, B) == []


# ---------------------------------------------------------------- each alone


def test_a_stuck_sensor_repeats_one_reading() -> None:
    world = faulty(stuck=OFTEN)
    truth, heard, sound = world.faults(A, B), levels(told(world)), clean()
    held: dict[Fault, set[float]] = defaultdict(set)
    for (zone, time_ms), level in heard.items():
        fault = inside(truth, zone, time_ms)
        if fault is None:
            assert level == sound[zone, time_ms]
        else:
            held[fault].add(level)
    assert len(held) >= 2 * 2 * 3, "twice a week in each of two zones"
    assert all(len(values) == 1 for values in held.values())
    stuck = {(zone, at) for zone, at in heard if inside(truth, zone, at)}
    assert sum(heard[place] != sound[place] for place in stuck) > len(stuck) / 2


def test_what_drops_out_comes_late_once_and_with_its_own_time() -> None:
    world = faulty(dropout=OFTEN)
    arrived, truth = told(world), world.faults(A, B)
    late = [each for each in arrived if each.at_ms != each.item.time_ms]
    for each in arrived:
        fault = inside(truth, each.item.zone, each.item.time_ms) if isinstance(each.item, Fill) else None
        assert each.at_ms == (fault.to_ms if fault else each.item.time_ms)
    assert {(each.item.zone, each.at_ms) for each in late} == {
        (row.zone, row.to_ms) for row in truth if A <= row.to_ms < B
    }
    heard, sound = levels(arrived), clean(a=A - DAY, b=B)
    assert all(level == sound[place] for place, level in heard.items())
    missing = {place for place in clean() if place not in heard}
    assert all((fault := inside(truth, *place)) and fault.to_ms >= B for place in missing)
    assert [each.at_ms for each in arrived] == sorted(each.at_ms for each in arrived)


def test_a_duplicate_is_the_same_reading_twice() -> None:
    world = faulty(duplicate=OFTEN)
    truth = world.faults(A, B)
    counts = Counter(each.item for each in told(world))
    assert set(counts.values()) == {1, 2}
    for item, count in counts.items():
        doubled = isinstance(item, Fill) and inside(truth, item.zone, item.time_ms) is not None
        assert count == (2 if doubled else 1), item


def test_a_clock_that_is_wrong_shifts_all_and_jumps_back() -> None:
    world = faulty(clock=(*OFTEN, ("minutes", 45)))
    arrived, truth = told(world), world.faults(A, B)
    assert {row.size for row in truth} == {-45 * 60_000, 45 * 60_000}
    for at_ms, item in arrived:
        fault = inside(truth, "", at_ms)
        assert item.time_ms - at_ms == (fault.size if fault else 0)
    ahead = next(row for row in truth if row.size > 0 and row.from_ms > A)
    stamps = [item.time_ms for at_ms, item in arrived if ahead.from_ms <= at_ms < ahead.to_ms + 2 * EVERY]
    assert min(later - earlier for earlier, later in pairwise(stamps)) < 0, "time goes back"
    assert any(isinstance(item, Load) and item.time_ms != at_ms for at_ms, item in arrived), "weighings too"


def test_a_spike_is_far_off_by_its_size() -> None:
    world = faulty(spike=(("per_week", 10), ("hours", 0.5), ("size", 0.4)))
    truth, sound = world.faults(A, B), clean()
    off = 0
    for (zone, time_ms), level in levels(told(world)).items():
        expected = 0.4 if inside(truth, zone, time_ms) else 0.0
        assert abs(level - sound[zone, time_ms]) == pytest.approx(expected, abs=1e-9)
        off += expected > 0
    assert off > 2 * 10 * 3


def test_a_drift_grows_until_it_ends() -> None:
    world = faulty(drift=(("per_week", 1), ("hours", 96), ("per_day", 0.05)))
    truth, sound = world.faults(A, B), clean()
    assert {abs(row.size) for row in truth} == {0.05}
    for (zone, time_ms), level in levels(told(world)).items():
        fault = inside(truth, zone, time_ms)
        away = fault.size * (time_ms - fault.from_ms) / DAY if fault else 0.0
        assert level == pytest.approx(min(1.0, max(0.0, sound[zone, time_ms] + away)), abs=0.00051)


@pytest.mark.parametrize(("says", "value"), [("full", 1.0), ("blind", 0.0)])
def test_more_than_full_reads_full_or_nothing(says: str, value: float) -> None:
    world = faulty("H3", overfull=(("says", says),))
    a, b = START + 20 * WEEK, START + 30 * WEEK
    truth, sound = world.faults(a, b), clean("H3", a, b)
    heard = levels(told(world, a, b))
    above = {place for place in heard if world.simulator.level(*place) > 1}
    assert above
    assert {place for place in heard if inside(truth, *place)} == above
    assert {heard[place] for place in above} == {value}
    assert all(heard[place] == sound[place] for place in heard if place not in above)
    for row in truth:
        highest = max(world.simulator.level(row.zone, at) for at in range(row.from_ms, row.to_ms, EVERY))
        assert 1 < highest <= row.size
        assert world.simulator.level(row.zone, row.from_ms - 1) <= 1 >= world.simulator.level(row.zone, row.to_ms)


def test_a_zone_emptied_without_a_weighing_is_emptier_and_nothing_was_weighed() -> None:
    world = faulty("H5", emptied=(("per_week", 1), ("share", 0.5)))
    simulator, truth = world.simulator, world.faults(A, B)
    loads = [each.item for each in told(world) if isinstance(each.item, Load)]
    assert len(truth) >= 4
    for row in truth:
        before, after = (simulator.truth(at)[row.zone] for at in (row.from_ms - 1, row.from_ms))
        assert sum(before.values()) - sum(after.values()) >= row.size
        assert simulator.level(row.zone, row.from_ms) < simulator.level(row.zone, row.from_ms - 1)
        assert row.from_ms not in {load.time_ms for load in loads}


def test_mass_is_conserved_to_the_gram_with_what_is_gone_and_no_lot_leaves_that_is_gone() -> None:
    simulator = faulty("H5", emptied=(("per_week", 1), ("share", 0.5))).simulator
    stock = {(row.zone, row.material): row.grams for row in simulator.opening()}
    shipped: Counter[str] = Counter()
    for event in simulator.observe(START, B, every_ms=WEEK):
        if isinstance(event, Load):
            stock[event.zone, event.material] += event.net_g if event.direction == "in" else -event.net_g
            shipped[event.lot] += event.direction == "out"
    for loss in simulator.processing(START, B):
        stock[loss.zone, loss.outputs[0][1]] -= loss.loss_g
    for row in simulator.removed(START, B):
        stock[row.zone, row.material] -= row.grams
    truth = simulator.truth(B - 1)
    assert {(zone, material): grams for zone, row in truth.items() for material, grams in row.items()} == stock
    assert all(grams >= 0 for grams in stock.values())
    assert set(shipped.values()) <= {0, 1}


# ---------------------------------------------------------------- all together


@pytest.mark.parametrize("preset", ["mild", "rough"])
def test_the_truth_leaves_nothing_out(preset: str) -> None:
    world = Faulty(SEED, "H4", START, PRESETS[preset])
    truth = world.faults(A, B)
    sound = {
        (event.zone, event.time_ms): event.level
        for event in world.simulator.observe(A - 2 * DAY, B, every_ms=EVERY)
        if isinstance(event, Fill)
    }
    seen: set[tuple[str, int]] = set()
    for at_ms, item in told(world):
        skew = inside(truth, "", at_ms)
        if not isinstance(item, Fill) or item.time_ms != at_ms + (skew.size if skew else 0):
            continue  # a load, or what came late
        place = item.zone, at_ms
        if item.level != sound[place] or place in seen:
            assert inside(truth, *place), item
        seen.add(place)
    missing = {(zone, at) for zone, at in sound if at >= A} - seen
    assert missing
    assert all(inside(truth, *place) for place in missing)
    assert {row.kind for row in world.faults(START, B)} >= set(Faults.model_fields) - {"overfull", "emptied"}


@settings(max_examples=10)
@given(st.lists(st.integers(A, A + WEEK), min_size=1, max_size=6), st.sampled_from(["mild", "rough"]))
def test_however_it_is_cut_it_is_the_same(cuts: list[int], preset: str) -> None:
    ends = sorted({*cuts, A, A + WEEK})
    whole, parts = _rough(preset), Faulty(SEED, "H4", START, PRESETS[preset])
    pieces = [told(parts, a, b) for a, b in reversed(list(pairwise(ends)))]
    assert [each for piece in reversed(pieces) for each in piece] == told(whole, A, A + WEEK)
    faults = {fault for a, b in pairwise(ends) for fault in parts.faults(a, b)}
    assert sorted(faults) == whole.faults(A, A + WEEK)


@cache
def _rough(preset: str) -> Faulty:
    return Faulty(SEED, "H4", START, PRESETS[preset])


@given(st.floats(0.01, 20), st.floats(0.1, 100), st.integers(0, 10**13))
def test_an_episode_is_found_at_each_of_its_moments_and_at_no_other(
    per_week: float, hours: float, time_ms: int
) -> None:
    if per_week * hours * 1.5 > 168:
        return
    schedule = Schedule("x", per_week=per_week, hours=hours)
    found = list(schedule.touching(time_ms, time_ms + round(2 * WEEK / per_week)))
    assert 1 <= len(found) <= 4
    for earlier, later in pairwise(found):
        assert earlier.to_ms <= later.from_ms
    for episode in found:
        assert schedule.at(episode.from_ms) == schedule.at(episode.to_ms - 1) == episode
        assert schedule.at(episode.to_ms) != episode
        assert schedule.at(episode.from_ms - 1) != episode
        assert 0.49 * hours * HOUR <= episode.to_ms - episode.from_ms <= 1.51 * hours * HOUR


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"stuck": {"per_week": 20, "hours": 10}}, "do not fit into a week"),
        ({"stuck": {"per_week": 1}}, "Field required"),
        ({"spike": {"per_week": 1, "hours": 1, "size": 0.7}}, "less than or equal to 0.5"),
        ({"rust": {"per_week": 1}}, "Extra inputs"),
    ],
)
def test_faults_that_cannot_be_are_refused(faults: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Faults.model_validate(faults)
