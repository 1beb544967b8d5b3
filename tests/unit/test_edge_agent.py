from __future__ import annotations

import time
from typing import Any

from tweeling.wire.ack import Ack
from tweeling.wire.ranges import SeqSet
from tweeling_edge.agent import Agent
from tweeling_edge.events import (
    Acked,
    Command,
    Connected,
    Delete,
    Disconnected,
    Drop,
    Dropped,
    Forget,
    Handed,
    Hangup,
    NewEpoch,
    Publish,
    Queued,
    Renewed,
    Returned,
    Tick,
    Trust,
)
from tweeling_edge.limits import Limits

EPOCH = "a" * 16


def seqs(first: int, last: int) -> SeqSet:
    return SeqSet(((first, last),))


def agent(*, last: int = 0, held: SeqSet | None = None, fresh: int | None = None, **limits: Any) -> Agent:
    return Agent(epoch=EPOCH, last=last, held=(held or SeqSet()).ranges, fresh_from=fresh, limits=Limits(**limits))


def known(**more: Any) -> Acked:
    return Acked(Ack(epoch=EPOCH, known=True, **more))


def flowing(node: Agent, now: float = 0.0, **answer: Any) -> list[Command]:
    """Connect, and let the hub answer."""
    (ask,) = node.on(Connected(), now)
    assert isinstance(ask, Publish)
    assert ask.ask
    return node.on(known(**answer), now)


def sent(commands: list[Command]) -> list[SeqSet]:
    return [command.seqs for command in commands if isinstance(command, Publish) and not command.ask]


def test_nothing_travels_before_the_hub_has_answered() -> None:
    node = agent(last=5, held=seqs(1, 5))
    (ask,) = node.on(Connected(), 0)
    assert ask == Publish(1, SeqSet(), low=1, ask=True)
    assert node.on(Queued(EPOCH, 6, 6), 1) == []
    assert sent(node.on(known(), 2)) == [seqs(6, 6), seqs(1, 5)]


def test_the_question_is_put_again_ever_more_rarely() -> None:
    node = agent(ask_s=3)
    node.on(Connected(), 0)
    asked = []
    now = 0.0
    for _ in range(5):
        now = node.due() or 0
        assert len(node.on(Tick(), now)) == 1
        asked.append(now)
    assert asked == [3, 9, 21, 45, 75]


def test_a_live_reading_goes_out_at_once() -> None:
    node = agent()
    flowing(node)
    assert sent(node.on(Queued(EPOCH, 1, 1), 1)) == [seqs(1, 1)]
    assert sent(node.on(Queued(EPOCH, 2, 2), 1)) == [seqs(2, 2)]


def test_live_readings_overtake_a_backlog_and_always_find_room() -> None:
    node = agent(last=1000, held=seqs(1, 1000), pack=10, messages=5, reserve=2)
    assert sent(flowing(node)) == [seqs(1, 10), seqs(11, 20), seqs(21, 30)]
    assert sent(node.on(Queued(EPOCH, 1001, 1003), 1)) == [seqs(1001, 1003)]
    assert sent(node.on(Queued(EPOCH, 1004, 1004), 1)) == [seqs(1004, 1004)]
    assert sent(node.on(Queued(EPOCH, 1005, 1005), 1)) == []
    assert sent(node.on(Acked(Ack(epoch=EPOCH, committed=((1, 10),))), 2)) == [seqs(1005, 1005)]


def test_live_readings_that_wait_too_long_join_the_backlog() -> None:
    node = agent(live=3, pack=10)
    node.on(Queued(EPOCH, 1, 5), 0)
    assert sent(flowing(node)) == [seqs(3, 5), seqs(1, 2)]


def test_a_backlog_drains_at_the_granted_rate_and_live_readings_do_not_wait() -> None:
    node = agent(last=100, held=seqs(1, 100), pack=1, messages=100, burst_s=0)
    assert len(sent(flowing(node, now=10, rate=2))) == 1
    assert node.due() == 10.5
    assert sent(node.on(Queued(EPOCH, 101, 101), 10.1)) == [seqs(101, 101)]
    assert sent(node.on(Tick(), 10.4)) == []
    assert sent(node.on(Tick(), 10.5)) == [seqs(2, 2)]
    assert len(sent(node.on(Acked(Ack(epoch=EPOCH, committed=((1, 1),), rate=0)), 10.6))) == 94


def test_retry_after_silences_the_node_but_never_for_ever() -> None:
    node = agent(pause_max_s=100)
    flowing(node)
    assert sent(node.on(Queued(EPOCH, 1, 1), 1)) == [seqs(1, 1)]
    node.on(Acked(Ack(epoch=EPOCH, retry_after=10)), 1)
    assert node.on(Queued(EPOCH, 2, 2), 2) == []
    assert node.due() == 11
    assert sent(node.on(Tick(), 11)) == [seqs(2, 2)]
    node.on(Acked(Ack(epoch=EPOCH, retry_after=1e9)), 20)
    node.on(Queued(EPOCH, 3, 3), 20)
    assert node.due() == 120


def test_live_readings_that_had_to_wait_travel_together_in_full_messages() -> None:
    node = agent(pack=10, messages=5)
    flowing(node)
    node.on(Acked(Ack(epoch=EPOCH, retry_after=10)), 1)
    for seq in range(1, 26):
        assert node.on(Queued(EPOCH, seq, seq), 1 + seq / 10) == []
    assert node.on(Tick(), 10.9) == []
    assert sent(node.on(Tick(), 11)) == [seqs(1, 10), seqs(11, 20), seqs(21, 25)]


def test_a_longer_pause_is_not_cut_short_by_a_shorter_one() -> None:
    node = agent()
    flowing(node)
    node.on(Queued(EPOCH, 1, 1), 0)
    node.on(Acked(Ack(epoch=EPOCH, retry_after=10)), 1)
    node.on(Acked(Ack(epoch=EPOCH, retry_after=2)), 2)
    node.on(Queued(EPOCH, 2, 2), 3)
    assert node.due() == 11


def test_the_granted_rate_holds_to_the_message_however_often_the_agent_looks() -> None:
    node = agent(last=10_000, held=seqs(1, 10_000), pack=1, messages=100, burst_s=0.05)
    flowing(node, now=0, rate=50)
    total, now = 1, 0.0  # one went out with the answer
    for look in range(1, 3000):
        now = look * 0.0037
        for publish in node.on(Tick(), now):
            assert isinstance(publish, Publish)
            node.on(Acked(Ack(epoch=EPOCH, committed=publish.seqs.ranges, rate=50)), now)
            total += 1
    assert now * 50 <= total <= now * 50 + 0.05 * 50 + 1


def test_a_backlog_full_of_holes_costs_no_more_than_a_whole_one() -> None:
    def seconds(held: list[tuple[int, int]], last: int) -> float:
        node = Agent(epoch=EPOCH, last=last, held=held, fresh_from=None, limits=Limits(pack=1, messages=100))
        commands = flowing(node)
        began = time.perf_counter()
        for _ in range(20):
            publishes = [command for command in commands if isinstance(command, Publish)]
            for publish in publishes:
                node.on(Handed(publish.message), 1)
            commands = [
                command
                for publish in publishes
                for command in node.on(Acked(Ack(epoch=EPOCH, committed=publish.seqs.ranges)), 1)
            ]
        return time.perf_counter() - began

    whole = min(seconds([(1, 300_000)], 300_000) for _ in range(3))
    holes = min(seconds([(2 * each, 2 * each) for each in range(1, 300_001)], 600_000) for _ in range(3))
    assert holes < 10 * whole  # it was a thousand times as much


def test_what_the_hub_settled_is_deleted_and_nothing_else() -> None:
    node = agent(last=9, held=seqs(1, 9))
    flowing(node)
    (delete,) = node.on(Acked(Ack(epoch=EPOCH, committed=((1, 3),), refused=((5, 5, "in the future"),))), 1)
    assert delete == Delete(EPOCH, seqs(1, 3), ((5, 5, "in the future"),))
    assert node.held == SeqSet(((4, 4), (6, 9)))
    assert node.on(Acked(Ack(epoch=EPOCH, committed=((1, 3),))), 2) == []


def test_an_ack_of_another_epoch_means_nothing() -> None:
    node = agent(last=9, held=seqs(1, 9))
    flowing(node)
    assert node.on(Acked(Ack(epoch="b" * 16, committed=((1, 99),))), 1) == []
    assert node.held == seqs(1, 9)


def test_the_wait_for_the_hub_starts_when_the_broker_has_the_message() -> None:
    node = agent(wait_s=5)
    flowing(node)
    (publish,) = node.on(Queued(EPOCH, 1, 1), 1)
    assert isinstance(publish, Publish)
    assert node.on(Tick(), 30) == []
    node.on(Handed(publish.message), 30)
    assert node.due() == 35
    assert sent(node.on(Tick(), 35)) == [seqs(1, 1)]


def test_a_silent_hub_is_asked_again_ever_more_rarely_until_it_speaks() -> None:
    node = agent(wait_s=5, wait_max_s=15)
    flowing(node)
    now = 0.0
    commands = node.on(Queued(EPOCH, 1, 1), now)
    waits = []
    for _ in range(4):
        (publish,) = commands
        assert isinstance(publish, Publish)
        node.on(Handed(publish.message), now)
        due = node.due() or 0
        waits.append(due - now)
        now = due
        commands = node.on(Tick(), now)
    assert waits == [5, 10, 15, 15]
    node.on(Acked(Ack(epoch=EPOCH, committed=((1, 1),))), now)
    (publish,) = node.on(Queued(EPOCH, 2, 2), now)
    assert isinstance(publish, Publish)
    node.on(Handed(publish.message), now)
    assert node.due() == now + 5


def test_a_broker_that_confirms_nothing_is_left() -> None:
    node = agent(stuck_s=60)
    flowing(node)
    assert sent(node.on(Queued(EPOCH, 1, 1), 100)) == [seqs(1, 1)]
    assert node.due() == 160
    assert node.on(Tick(), 160) == [Hangup()]
    node.on(Disconnected(), 161)
    assert sent(flowing(node, 162)) == [seqs(1, 1)]


def test_what_the_broker_would_not_take_waits_longer_each_time_and_is_then_sent_again() -> None:
    node = agent(last=20, held=seqs(1, 20), pack=10, declined_s=1, wait_max_s=3)
    now = 0.0
    commands = flowing(node, now)
    waits = []
    for _ in range(4):
        assert sent(commands) == [seqs(1, 10), seqs(11, 20)]
        for publish in commands:
            assert isinstance(publish, Publish)
            assert node.on(Returned(publish.message), now) == []
        due = node.due() or 0
        waits.append(due - now)
        now = due
        commands = node.on(Tick(), now)
    assert waits == [1, 2, 3, 3]
    (first, second) = commands
    assert isinstance(first, Publish)
    assert isinstance(second, Publish)
    node.on(Handed(first.message), now)
    node.on(Returned(second.message), now)
    assert node.due() == now + 1


def test_wanted_readings_are_sent_again_unless_they_crossed_or_wait_anyway() -> None:
    node = agent(last=100, held=seqs(1, 100), pack=10, messages=5, reserve=2, doubt_s=1)
    first, *_ = [command for command in flowing(node) if isinstance(command, Publish)]
    node.on(Handed(first.message), 10)
    want = Acked(Ack(epoch=EPOCH, want=((1, 100),)))
    assert sent(node.on(want, 10.5)) == []
    assert sent(node.on(want, 11)) == [seqs(1, 10)]


def test_wanted_readings_that_are_gone_are_announced_until_the_hub_must_have_heard() -> None:
    node = agent(last=9, held=seqs(5, 9), pack=10)
    flowing(node)
    node.on(Acked(Ack(epoch=EPOCH, committed=((5, 9),), want=((2, 3),))), 1)
    assert node.low == 2
    (publish,) = node.on(Queued(EPOCH, 10, 10), 2)
    assert isinstance(publish, Publish)
    assert publish.dropped == ((2, 3, "no longer held by the node"),)
    assert publish.low == 2
    commands = node.on(Acked(Ack(epoch=EPOCH, committed=((10, 10),))), 3)
    assert [type(command) for command in commands] == [Delete, Forget]
    assert node.low == 11


def test_low_waits_for_the_hub_to_hear_of_a_drop() -> None:
    node = agent(last=9, held=seqs(1, 9))
    flowing(node)
    node.on(Dropped(EPOCH, (Drop(7, 1, 2, "thinned"),)), 1)
    node.on(Acked(Ack(epoch=EPOCH, committed=((3, 9),))), 1)
    assert (node.held, node.low) == (SeqSet(), 1)
    # Readings 1..9 travelled before the drop: their commit proves nothing about it. Naming it does.
    assert node.on(Acked(Ack(epoch=EPOCH, refused=((1, 2, "dropped"),))), 2) == [Forget((7,))]
    assert node.low == 10


def test_drops_from_before_a_restart_are_announced_with_the_first_question() -> None:
    node = Agent(epoch=EPOCH, last=9, held=(), fresh_from=10, drops=[Drop(1, 4, 6, "thinned")])
    (ask,) = node.on(Connected(), 0)
    assert isinstance(ask, Publish)
    assert (ask.dropped, ask.low) == (((4, 6, "thinned"),), 4)


def test_a_hub_that_knows_more_than_was_sent_means_a_restored_disk() -> None:
    node = agent(last=120, held=seqs(90, 120), fresh=101)
    node.on(Connected(), 0)
    assert node.on(known(committed=((1, 95), (100, 110))), 1) == [NewEpoch(SeqSet(((90, 95), (100, 100))))]
    assert node.on(Tick(), 2) == []
    assert node.due() is None
    commands = node.on(Renewed("b" * 16, 24), 3)
    assert sent(commands) == [seqs(1, 24)]


def test_a_hub_that_agrees_is_trusted_before_anything_is_sent() -> None:
    node = agent(last=120, held=seqs(90, 120), fresh=101)
    node.on(Connected(), 0)
    commands = node.on(known(committed=((1, 95),)), 1)
    assert [type(command) for command in commands] == [Delete, Trust, Publish]


def test_readings_queued_while_a_new_epoch_starts_are_counted_once() -> None:
    node = agent(last=5, held=seqs(1, 5), fresh=6)
    node.on(Connected(), 0)
    node.on(known(committed=((1, 50),)), 1)
    assert node.on(Queued(EPOCH, 6, 6), 1) == []
    assert sent(node.on(Renewed("b" * 16, 1), 2)) == [seqs(1, 1)]
    assert node.on(Queued(EPOCH, 7, 7), 3) == []
    assert sent(node.on(Queued("b" * 16, 2, 2), 3)) == [seqs(2, 2)]


def test_after_a_cut_only_what_the_hub_does_not_know_is_sent_again() -> None:
    node = agent(last=20, held=seqs(1, 20), pack=10)
    assert sent(flowing(node)) == [seqs(1, 10), seqs(11, 20)]
    assert node.on(Disconnected(), 5) == []
    assert node.due() is None
    assert sent(flowing(node, 6, committed=((1, 15),))) == [seqs(16, 20)]


def test_a_reading_that_once_travelled_without_a_drop_proves_nothing_about_it() -> None:
    node = agent()
    flowing(node)
    assert sent(node.on(Queued(EPOCH, 1, 2), 1)) == [seqs(1, 2)]
    node.on(Disconnected(), 2)
    node.on(Dropped(EPOCH, (Drop(7, 1, 1, "thinned"),)), 2)
    assert sent(flowing(node, 3)) == [seqs(2, 2)]
    assert [type(command) for command in node.on(Acked(Ack(epoch=EPOCH, committed=((2, 2),))), 4)] == [Delete]
    assert node.low == 1
