from __future__ import annotations

import pytest

from tweeling.services.overload import Governor, Grant, Limits

FREE = Grant(0.0, 0.0)


def flood(governor: Governor, *, rate: int, seconds: int, node: str = "mad") -> list[Grant]:
    grants = []
    for second in range(seconds):
        governor.note({node: rate}, load=0.0, now=float(second))
        grants.append(governor.grant(node, now=float(second)))
    return grants


def test_the_backlog_of_an_hour_is_taken_at_any_speed() -> None:
    governor = Governor(Limits())
    governor.note({"n": 72_000}, load=0.0, now=0.0)
    assert governor.grant("n", now=0.0) == FREE


@pytest.mark.parametrize(("rate", "seconds"), [(623, 300), (6230, 30)])
def test_a_node_that_floods_is_told_to_wait_and_the_others_are_not(rate: int, seconds: int) -> None:
    governor = Governor(Limits())
    grants = flood(governor, rate=rate, seconds=seconds)
    assert grants[0] == FREE
    assert grants[-1].retry_after > 1
    assert grants[-1].rate == 250
    assert governor.grant("other", now=float(seconds)) == FREE


def test_the_pause_is_bounded_and_ends() -> None:
    governor = Governor(Limits(sustained=10, burst=100))
    governor.note({"n": 10_000_000}, load=0.0, now=0.0)
    assert governor.grant("n", now=0.0).retry_after == 60
    assert governor.grant("n", now=60.0) == FREE


def test_a_busy_hub_shares_what_it_can_and_only_the_greedy_pause() -> None:
    governor = Governor(Limits(busy_s=3))
    came = {"a": 100, "b": 100, "greedy": 700}
    for second in range(3):
        governor.note(came, load=0.9, now=float(second))
    assert governor.grant("a", now=2.0) == Grant(300, 0)
    assert governor.grant("greedy", now=2.0) == Grant(300, 3)


def test_equal_nodes_of_a_busy_hub_need_not_pause() -> None:
    governor = Governor(Limits())
    for second in range(3):
        governor.note(dict.fromkeys("abcd", 1000), load=1.0, now=float(second))
    assert {governor.grant(node, now=2.0) for node in "abcd"} == {Grant(1000, 0)}


def test_a_rate_set_by_the_operator_is_never_exceeded() -> None:
    governor = Governor(Limits(rate=50))
    assert governor.grant("a", now=0.0) == Grant(50, 0)
    for second in range(3):
        governor.note({"a": 1000}, load=1.0, now=float(second))
    assert governor.grant("a", now=2.0).rate == 50


def test_of_very_many_nodes_the_oldest_budget_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tweeling.services.overload._MAX_NODES", 2)
    governor = Governor(Limits(sustained=1, burst=10))
    for node in ("a", "b", "c"):
        governor.note({node: 20}, load=0.0, now=0.0)
    assert governor.grant("c", now=0.0).retry_after == 10
    assert governor.grant("a", now=0.0) == FREE
