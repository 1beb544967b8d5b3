"""Several callers at once: one transaction, and each answered for itself alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support_custody import LOT, Bench, HandClock, encode, shipping, signer

from tweeling.adapters.memory_log import MemoryLogStore
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.domain import entry, epcis
from tweeling.errors import AlreadyCapturedError, InvariantError, UnavailableError
from tweeling.ports.custody_api import Captured
from tweeling.ports.logstore import LogStore, NewEntry
from tweeling.services.custody import Custody, Submission
from tweeling.verify import verify

HELD = 8


class SlowStore(MemoryLogStore):
    """Holds its first transaction until told; `refuses` may raise for an entry, as a database would."""

    def __init__(self, refuses: Callable[[NewEntry], None] = lambda _: None) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.held, self.go_on = threading.Event(), threading.Event()
        self._refuses = refuses

    def append(
        self, entries: Sequence[NewEntry], *, expected_size: int, nodes: Mapping[tuple[int, int], bytes]
    ) -> None:
        self.groups.append(len(entries))
        if not self.held.is_set():
            self.held.set()
            assert self.go_on.wait(20)
        for new in entries:
            self._refuses(new)
        super().append(entries, expected_size=expected_size, nodes=nodes)


def log_of(store: LogStore) -> Custody:
    return Custody(store, signer(), clock=HandClock(), random=os.urandom)


def brought_at_once(store: SlowStore, *batches: Sequence[dict[str, Any]]) -> list[Future[list[Captured]]]:
    """What becomes of batches that all come, in this order, while the store is busy with an event before them."""
    custody = log_of(store)

    def bring(events: Sequence[dict[str, Any]]) -> list[Captured]:
        parsed = [epcis.parse(encode(event))[0] for event in events]
        return custody.sequence([Submission(event) for event in parsed], token_id="t")

    with ThreadPoolExecutor(len(batches) + 1) as pool:
        first = pool.submit(bring, [shipping(999)])
        assert store.held.wait(20)
        answers = []
        for count, batch in enumerate(batches, start=2):
            answers.append(pool.submit(bring, batch))
            queued(custody, count)
        assert not any(answer.done() for answer in (first, *answers)), "nothing is durable yet"
        store.go_on.set()
    assert [item.index for item in first.result()] == [0]
    return answers


def queued(custody: Custody, count: int) -> None:
    deadline = time.monotonic() + 20
    while len(custody._sequencer._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_those_who_wait_share_the_next_transaction_in_the_order_in_which_they_came() -> None:
    store = SlowStore()
    answers = brought_at_once(store, *([shipping(number)] for number in range(HELD)))
    assert store.groups == [1, HELD]
    assert [answer.result() for answer in answers] == [
        [Captured(shipping(number)["eventID"], 1 + number)] for number in range(HELD)
    ]
    assert store.size() == 1 + HELD


def test_a_transaction_is_shared_by_no_more_than_it_can_hold_soon() -> None:
    store = SlowStore()
    many = [[shipping(1000 * batch + number) for number in range(400)] for batch in range(3)]
    answers = brought_at_once(store, *many)
    assert store.groups == [1, 800, 400]
    assert [answer.result()[0].index for answer in answers] == [1, 401, 801]


def test_one_that_is_refused_harms_nobody_who_came_with_it() -> None:
    store = SlowStore()
    batches = [[shipping(1)], [shipping(3), shipping(3)], [shipping(4), shipping(999)], [shipping(1)]]
    good, doubled, repeat, again, last = brought_at_once(store, *batches, [shipping(5)])
    assert store.groups == [1, 2]
    assert (good.result()[0].index, last.result()[0].index) == (1, 2)
    with pytest.raises(InvariantError, match="stands twice"):
        doubled.result()
    for refused, index in ((repeat, 0), (again, 1)):
        with pytest.raises(AlreadyCapturedError) as known:
            refused.result()
        assert known.value.index == index
    assert store.find(shipping(4)["eventID"]) is None, "all or none"


def test_one_that_no_entry_can_hold_is_refused_before_it_takes_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    lots = [{"epcClass": f"urn:lot:{number}"} for number in range(1020)]
    bare = shipping(1, quantityList=lots[:0])
    # Its members, what the log adds of a signed event, and two of each lot.
    most = (entry.MAX_COMMITMENTS - len(bare) - 4) // 2
    bench.capture(shipping(1, quantityList=lots[:most]))
    monkeypatch.setattr(bench.custody._sequencer, "_commit", lambda _: pytest.fail("it had its turn"))
    for count in (most + 1, len(lots)):
        with pytest.raises(InvariantError, match=r"event urn:uuid:.*needs 20\d\d commitments, .*; split the event"):
            bench.capture(shipping(2, quantityList=lots[:count]))


def test_one_that_the_store_refuses_harms_nobody_who_came_with_it() -> None:
    def refuse(new: NewEntry) -> None:
        if new.event_id == shipping(3)["eventID"]:
            raise InvariantError("a value that this database cannot hold")

    store = SlowStore(refuse)
    answers = brought_at_once(store, *([shipping(number)] for number in range(HELD)))
    for number, answer in enumerate(answers):
        if number == 3:
            with pytest.raises(InvariantError, match="cannot hold"):
                answer.result()
        else:
            assert answer.result()[0].index == 1 + number - (number > 3)
    assert store.size() == HELD


def test_a_store_that_fails_is_told_to_all_who_came_and_to_nobody_after() -> None:
    def fail(new: NewEntry) -> None:
        if new.event_id == shipping(0)["eventID"] and not store.size() > 1:
            raise failures.pop() if failures else AssertionError("asked again")

    failures = [UnavailableError("the disk is full")]
    store = SlowStore(fail)
    # The second brings what the first did, and may not be told that the log has it.
    for answer in brought_at_once(store, [shipping(0)], [shipping(0)], [shipping(1)]):
        with pytest.raises(UnavailableError, match="disk is full"):
            answer.result()
    assert store.size() == 1
    assert log_of(store).capture(encode(shipping(2)), token_id="t").index == 1


def test_a_lot_s_links_run_through_all_who_came_at_once() -> None:
    store = SlowStore()
    brought_at_once(store, [shipping(1)], [shipping(2), shipping(3)], [shipping(4, lot="urn:lot:other")])
    bench = Bench(store)
    bench.integrate()
    for number in (1, 2, 3, 4):
        verify(bench.custody.receipt(shipping(number)["eventID"]), [bench.trust])
    assert store.lots([LOT])[LOT].index == 3
    assert store.entries(4, 5)[0].index == 4


def test_of_two_processes_with_the_same_event_one_is_taken_and_the_other_told_where_it_stands(tmp_path: Path) -> None:
    with (
        closing(open_records(f"sqlite:///{tmp_path / 'records.db'}")) as one,
        closing(open_records(f"sqlite:///{tmp_path / 'records.db'}")) as other,
        ThreadPoolExecutor(4) as pool,
    ):
        logs = [log_of(SqlLogStore(records)) for records in (one, one, other, other)]
        for number in range(10):
            body, start = encode(shipping(number)), threading.Barrier(len(logs))

            def bring(custody: Custody, body: bytes = body, start: threading.Barrier = start) -> tuple[str, int]:
                start.wait(20)
                try:
                    return "taken", custody.capture(body, token_id="t").index
                except AlreadyCapturedError as exc:
                    return "known", exc.index

            told = sorted(pool.map(bring, logs))
            assert told == [("known", number)] * 3 + [("taken", number)]
        assert SqlLogStore(one).size() == 10
