"""How fast a total grows, and how values are spread."""

from __future__ import annotations

import pytest

from tweeling.services.rates import Growth, Spread


def _seen(span_s: float, *rows: tuple[float, float]) -> Growth:
    growth = Growth(span_s)
    for at, total in rows:
        growth.note(at, total)
    return growth


def test_growth_of_what_was_seen_once_is_not_known() -> None:
    assert _seen(60).per_second(10) is None
    assert _seen(60, (5, 100)).per_second(10) is None
    assert _seen(60, (5, 100), (5, 200)).per_second(10) is None


def test_growth_is_that_of_the_last_seconds_only() -> None:
    growth = _seen(60, *((at, 100 * at) for at in range(50)), *((at, 4900 + at - 49) for at in range(50, 60)))
    assert growth.per_second(5) == pytest.approx(1)
    assert growth.per_second(60) == pytest.approx(4910 / 59)


def test_growth_is_told_only_once_enough_was_seen() -> None:
    growth = _seen(100, (0, 0), (30, 300))
    assert growth.per_second(100, at_least_s=31) is None
    assert growth.per_second(100, at_least_s=30) == pytest.approx(10)


def test_what_shrinks_has_negative_growth() -> None:
    assert _seen(100, (0, 500), (10, 400)).per_second(100) == pytest.approx(-10)


def test_looks_that_came_late_still_count_over_the_time_they_took() -> None:
    assert _seen(60, (0, 0), (300, 600)).per_second(10) == pytest.approx(2)


def test_no_more_is_kept_than_the_span_needs() -> None:
    growth = _seen(60, *((at, at) for at in range(10_000)))
    assert len(growth._times) == 61
    assert growth.per_second(1e9) == pytest.approx(1)


def test_a_value_is_counted_at_the_first_bound_that_it_does_not_exceed() -> None:
    spread = Spread((1, 10))
    for value in (0.5, 1, 1.5, 10, 11, 99):
        spread.add(value)
    seen = spread.seen()
    assert (seen.bounds, seen.counts, seen.total) == ((1, 10), (2, 2, 2), pytest.approx(123))
