from __future__ import annotations

from tweeling_edge.bench.window import Window


def test_a_message_is_settled_when_one_range_holds_all_its_seqs() -> None:
    window = Window(100)
    assert window.send(3, now=10.0) == range(3)
    window.settle([(1, 99), (101, 250)], now=10.5)
    assert (len(window), window.low) == (2, 0)
    assert list(window.latencies_ms) == [500.0]
    window.settle([(1, 300)], now=11.0)
    assert (len(window), window.low, window.settled_at) == (0, 3, 11.0)
    window.settle([(1, 10**9)], now=12.0)
    assert len(window.latencies_ms) == 3


def test_the_oldest_message_under_way_is_known_while_later_ones_are_settled() -> None:
    window = Window(1)
    window.send(5, now=0.0)
    window.settle([(2, 3), (5, 5)], now=1.0)
    assert (window.low, len(window)) == (0, 2)
    window.settle([(1, 1)], now=1.0)
    assert window.low == 3


def test_what_is_not_named_is_repeated_once_in_each_wait() -> None:
    window = Window(1)
    window.send(2, now=0.0)
    window.send(1, now=3.0)
    assert window.overdue(4.9, 5.0) == []
    assert window.overdue(5.0, 5.0) == [0, 1]
    assert window.overdue(7.9, 5.0) == []
    window.settle([(1, 1)], now=8.0)
    assert window.overdue(10.0, 5.0) == [1, 2]
    assert window.repeats == 4
