from __future__ import annotations

from random import Random

import pytest

from tweeling_edge.backoff import Backoff


class Longest(Random):
    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 -- the signature is Random's
        return b


def test_each_wait_is_twice_the_one_before_up_to_a_minute() -> None:
    backoff = Backoff(Longest())
    assert [backoff.seconds(code=0, lived_s=0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_connection_that_lived_starts_the_waiting_anew() -> None:
    backoff = Backoff(Longest())
    assert [backoff.seconds(code=0, lived_s=lived) for lived in (0, 0, 9.9, 10, 0)] == [1, 2, 4, 1, 2]


@pytest.mark.parametrize("code", [0x84, 0x86, 0x87, 0x8A, 0x8C])
def test_who_is_denied_waits_longest_at_once(code: int) -> None:
    assert Backoff(Longest()).seconds(code=code, lived_s=99) == 60


@pytest.mark.parametrize("code", [0x89, 0x97, 0x9F])
def test_a_busy_broker_is_left_alone_for_ten_seconds_and_then_longer(code: int) -> None:
    backoff = Backoff(Longest())
    assert [backoff.seconds(code=code, lived_s=0) for _ in range(4)] == [10, 20, 40, 60]


def test_waits_are_spread_over_half_their_length() -> None:
    waits = [Backoff(Random(seed)).seconds(code=0x87, lived_s=0) for seed in range(1000)]
    assert 30 <= min(waits) < 31
    assert 59 < max(waits) <= 60
