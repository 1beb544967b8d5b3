"""When a weight on a scale is a weighing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tweeling_edge.scale.reading import NoWeight, Reading
from tweeling_edge.scale.weighing import Memory, Rules, Tickets, Watch, Weighing

RULES = Rules(above_g=500_000, below_g=100_000, hold_ms=2000)
EMPTY = Reading(0, stable=True)
READY = Memory(ready=True)


def kg(weight: float, *, stable: bool = True) -> Reading:
    return Reading(round(weight * 1000), stable)


def watched(watch: Watch, told: Sequence[Reading | NoWeight], *, every_ms: int = 500, from_ms: int = 0) -> list[int]:
    weighings = (watch.see(reading, from_ms + every_ms * at) for at, reading in enumerate(told))
    return [weighing.net_g // 1000 for weighing in weighings if weighing is not None]


def test_a_truck_is_weighed_once_however_long_it_stands() -> None:
    truck = [kg(4000, stable=False), kg(9000, stable=False), *[kg(14_540)] * 200, kg(6000, stable=False)]
    assert watched(Watch(RULES, READY), [EMPTY, *truck, EMPTY, EMPTY, *truck, EMPTY]) == [14_540, 14_540]


def test_a_load_that_does_not_rest_long_enough_is_not_weighed() -> None:
    assert watched(Watch(RULES, READY), [*[kg(14_540)] * 4, kg(14_560), *[kg(14_540)] * 4]) == []
    assert watched(Watch(RULES, READY), [kg(14_540)] * 5) == [14_540]


def test_a_front_axle_that_stops_for_a_moment_is_not_the_truck() -> None:
    assert watched(Watch(RULES, READY), [*[kg(5000)] * 3, kg(9000, stable=False), *[kg(14_540)] * 5]) == [14_540]


def test_what_weighs_too_little_is_no_load_and_clears_nothing() -> None:
    watch = Watch(RULES, READY)
    person = [kg(300)] * 20
    assert watched(watch, [*person, *[kg(14_540)] * 5, *person, *[kg(14_540)] * 5]) == [14_540]
    assert not watch.memory.ready


def test_a_scale_is_weighed_on_only_after_it_was_seen_empty() -> None:
    assert watched(Watch(RULES, Memory()), [kg(14_540)] * 20) == []
    assert watched(Watch(RULES, Memory()), [EMPTY, EMPTY, *[kg(14_540)] * 20]) == [14_540]


def test_a_single_reading_cut_short_neither_clears_the_scale_nor_counts() -> None:
    cut = kg(45)
    assert watched(Watch(RULES, READY), [*[kg(14_540)] * 5, cut, *[kg(14_540)] * 9]) == [14_540]
    assert watched(Watch(RULES, READY), [kg(14_540)], every_ms=60_000) == []


def test_overload_and_motion_interrupt_the_rest() -> None:
    for between in (NoWeight("OL"), kg(14_540, stable=False)):
        assert watched(Watch(RULES, READY), [*[kg(14_540)] * 4, between, *[kg(14_540)] * 4]) == []


def test_an_indicator_without_a_flag_is_at_rest_when_it_repeats_itself() -> None:
    told = [Reading(grams) for grams in (4_000_000, 9_000_000, *[14_540_000] * 5)]
    assert watched(Watch(RULES, READY), told) == [14_540]


def test_a_restart_weighs_the_same_truck_no_second_time() -> None:
    before = Watch(RULES, READY)
    assert watched(before, [kg(14_540)] * 5) == [14_540]
    after = Watch(RULES, before.memory)
    assert watched(after, [kg(14_560)] * 50) == []


def test_a_restart_between_ready_and_rest_loses_nothing() -> None:
    before = Watch(RULES, Memory())
    assert watched(before, [EMPTY, EMPTY, *[kg(14_540)] * 4]) == []
    assert watched(Watch(RULES, before.memory), [kg(14_540)] * 5) == [14_540]


def test_another_truck_that_came_while_nobody_looked_is_weighed() -> None:
    watch = Watch(RULES, READY)
    assert watched(watch, [kg(14_540)] * 5) == [14_540]
    watch = Watch(RULES, watch.memory)
    assert watched(watch, [kg(39_980)] * 50, from_ms=10**6) == [39_980]
    assert watched(watch, [kg(38_000)] * 50, from_ms=2 * 10**6) == [], "but not while it was watched"


def test_only_net_weights_count_where_that_is_wanted() -> None:
    rules = Rules(above_g=20_000, below_g=2000, hold_ms=1000, counts="net")
    container = Reading(60_000, True, "gross", 60_000)
    tared = [Reading(net, True, "net", net + 60_000, 60_000) for net in (0, 0, 300_000, 300_000, 300_000, 300_000)]
    watch = Watch(rules, READY)
    weighings = [watch.see(said, 500 * at) for at, said in enumerate([*[container] * 9, *tared])]
    assert [each for each in weighings if each] == [Weighing(300_000, 360_000, 60_000)]


def test_a_load_that_is_tared_away_is_still_on_the_scale() -> None:
    watch = Watch(RULES, READY)
    truck = Reading(14_540_000, True, "gross", 14_540_000)
    tared = Reading(0, True, "net", 14_540_000, 14_540_000)
    assert watched(watch, [*[truck] * 5, *[tared] * 20, *[truck] * 20]) == [14_540]


def test_a_known_tare_is_taken_off_exactly() -> None:
    watch = Watch(RULES._replace(tare_g=14_000_000), READY)
    (weighing,) = [each for at in range(5) if (each := watch.see(kg(25_060), 500 * at))]
    assert weighing == Weighing(11_060_000, 25_060_000, 14_000_000)


@pytest.mark.parametrize("moving", [Reading(25_000, stable=False), NoWeight("OL"), Reading(1480, mode="tare"), kg(1)])
def test_a_printed_line_is_a_weighing_unless_it_states_none(moving: Reading | NoWeight) -> None:
    tickets = Tickets(Rules(above_g=20_000, below_g=0, hold_ms=0), Memory())
    assert tickets.see(moving, 0) is None
    assert tickets.see(Reading(25_000, mode="gross", gross_g=25_000), 0) == Weighing(25_000, 25_000, 0)


def test_a_copy_of_the_last_ticket_is_no_second_weighing_even_after_a_restart() -> None:
    rules = Rules(above_g=20_000, below_g=0, hold_ms=0)
    printed = Reading(23_520, None, "net", 25_000, 1480, "0042")
    tickets = Tickets(rules, Memory())
    assert tickets.see(printed, 0) == Weighing(23_520, 25_000, 1480, "0042")
    assert tickets.see(printed, 0) is None
    assert Tickets(rules, tickets.memory).see(printed._replace(weight_g=23_500), 0), "numbers began again"
    again = Tickets(rules, tickets.memory)
    assert again.see(printed, 0) is None
    assert again.see(printed._replace(ticket="0043"), 0) is not None
