from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence

import pytest
from support_custody import LOT, ORIGIN, Bench, encode, partners, shipping, signed, signer

from tweeling.adapters.memory_log import MemoryLogStore
from tweeling.domain import entry, epcis, merkle, note
from tweeling.domain.now import ProofState
from tweeling.errors import AlreadyCapturedError, InvariantError, UnavailableError, VerificationError
from tweeling.ports.logstore import NewEntry
from tweeling.services.anchoring import Anchoring, Batching
from tweeling.services.custody import Custody, Submission
from tweeling.verify import verify


def test_a_captured_event_stands_in_the_log_at_once() -> None:
    bench = Bench()
    placed = bench.custody.capture(encode(shipping()), token_id="cli")
    assert (placed.event_id, placed.index) == (shipping()["eventID"], 0)
    assert bench.store.size() == 1
    assert bench.store.find(placed.event_id) == 0
    (now,) = bench.custody.events()
    assert (now.submitter, now.mass_g, now.lots, now.state) == ("cli", 1_234_500, (LOT,), ProofState.PENDING)


def test_the_same_event_again_is_refused_with_its_place_however_it_is_written() -> None:
    bench = Bench()
    bench.capture(shipping(), shipping(2))
    other_order = dict(reversed(shipping(2).items()))
    with pytest.raises(AlreadyCapturedError) as refused:
        bench.custody.capture(encode(other_order), token_id="cli")
    assert (refused.value.index, refused.value.event_id) == (1, shipping(2)["eventID"])
    assert bench.store.size() == 2


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    bench = Bench()
    events = [epcis.parse(encode(shipping(number)))[0] for number in (1, 2, 1)]
    with pytest.raises(InvariantError, match="twice"):
        bench.custody.sequence([Submission(event) for event in events], token_id="cli")
    assert bench.store.size() == 0
    placed = bench.custody.sequence([Submission(event) for event in events[:2]], token_id="cli")
    assert [item.index for item in placed] == [0, 1]


def test_a_signature_must_be_a_registered_key_s_over_these_bytes() -> None:
    bench = Bench()
    for given, field in (
        (signed(shipping(2)), "signature"),
        (signed(shipping(), "T2")._replace(key_id="T1"), "signature"),
        (signed(shipping(), "T9"), "signature.key_id"),
        (signed(shipping())._replace(algorithm="rsa"), "signature.algorithm"),
        (signed(shipping())._replace(signature=b""), "signature"),
    ):
        with pytest.raises(InvariantError) as refused:
            bench.custody.capture(encode(shipping()), token_id="cli", signature=given)
        assert refused.value.field == field
    bench.custody.capture(encode(shipping()), token_id="cli", signature=signed(shipping()))
    assert bench.custody.events()[0].submitter == "T1"


def test_a_document_of_several_events_is_no_single_event() -> None:
    document = {
        "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-11-24T08:00:00Z",
        "epcisBody": {"eventList": [shipping(), shipping(2)]},
    }
    with pytest.raises(InvariantError, match="2 events"):
        Bench().custody.capture(encode(document), token_id="cli")


def test_checkpoints_come_at_most_once_a_second_and_each_extends_the_last() -> None:
    bench = Bench()
    assert bench.custody.checkpoint() is None
    bench.capture(shipping())
    first = bench.custody.checkpoint()
    assert first is not None
    assert first.size == 1
    bench.capture(shipping(2), shipping(3))
    bench.clock.ms += 999
    assert bench.custody.checkpoint() == first
    bench.clock.ms += 1
    second = bench.custody.checkpoint()
    assert second is not None
    assert second.size == 3
    head = note.tree_head(note.parse(second.note))
    assert head == (ORIGIN, 3, merkle.root(3, bench.store.nodes))
    assert bench.custody.checkpoint() == second


def test_a_log_that_was_edited_is_not_signed() -> None:
    class Edited(MemoryLogStore):
        edited = False

        def nodes(self, keys: Sequence[tuple[int, int]]) -> Sequence[bytes]:
            found = zip(keys, super().nodes(keys), strict=True)
            return [bytes(32) if self.edited and key == (2, 0) else value for key, value in found]

    store = Edited()
    bench = Bench(store)
    bench.capture(*map(shipping, range(4)))
    bench.integrate()
    store.edited = True
    reopened = Bench(store)
    reopened.capture(shipping(9))
    reopened.clock.ms += 5000
    with pytest.raises(VerificationError):
        reopened.custody.checkpoint()


def test_a_log_goes_on_where_it_stopped() -> None:
    bench = Bench()
    bench.capture(*map(shipping, range(5)))
    again = Bench(bench.store, seed=8)
    again.capture(shipping(9))
    assert again.custody.events(1)[0].index == 5
    again.integrate()
    verify(again.custody.receipt(shipping(2)["eventID"]), [again.trust])


def test_a_second_writer_is_noticed_and_the_edge_read_again() -> None:
    bench = Bench()
    other = Bench(bench.store, seed=9)
    bench.capture(shipping(1))
    other.capture(shipping(2))
    bench.capture(shipping(3))
    assert [item.index for item in bench.custody.events()] == [2, 1, 0]
    bench.integrate()
    verify(bench.custody.receipt(shipping(3)["eventID"]), [bench.trust])


def test_after_a_failed_commit_nothing_is_assumed() -> None:
    class Failing(MemoryLogStore):
        fails = 0

        def append(self, entries: object, **kwargs: object) -> None:
            super().append(entries, **kwargs)  # type: ignore[arg-type]  # passed through
            if self.fails:  # the disk took it, and the answer was lost
                self.fails -= 1
                raise UnavailableError("no answer")

    store = Failing()
    bench = Bench(store)
    bench.capture(shipping(1))
    store.fails = 1
    with pytest.raises(UnavailableError):
        bench.capture(shipping(2))
    with pytest.raises(AlreadyCapturedError):
        bench.capture(shipping(2))
    bench.capture(shipping(3))
    bench.integrate()
    verify(bench.custody.receipt(shipping(3)["eventID"]), [bench.trust])


def test_the_holder_of_a_lot_s_key_walks_the_lot_through_the_public_entries() -> None:
    bench = Bench()
    lots = [LOT, "urn:lot:b", LOT, "urn:lot:b", LOT, "urn:lot:c"]
    bench.capture(*(shipping(number, lot=lot) for number, lot in enumerate(lots)))
    key = bench.store.lots([LOT])[LOT].key
    public = [(item.index, item.entry) for item in bench.store.entries(0, 6)]
    wanted, found = entry.link(key, None), []
    for index, data in public:
        if wanted in entry.read(data).commitments:
            found.append(index)
            wanted = entry.link(key, merkle.leaf_hash(data))
    assert found == [0, 2, 4]


def test_many_threads_capture_into_one_gapless_log() -> None:
    bench = Bench()
    custody = Custody(bench.store, signer(), clock=bench.clock, random=os.urandom, partners=partners("T1"))

    def work(first: int) -> None:
        for number in range(first, first + 20):
            custody.capture(encode(shipping(number, lot=f"urn:lot:{number % 3}")), token_id="cli")

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 80, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    bench.integrate()
    assert [item.index for item in bench.store.entries(0, 99)] == list(range(80))
    for number in range(0, 80, 7):
        verify(custody.receipt(shipping(number)["eventID"]), [bench.trust])


def test_an_event_becomes_anchored_and_says_in_which_block() -> None:
    bench = Bench()
    anchoring = Anchoring(bench.store, bench.ledger, clock=bench.clock, batching=Batching(max_entries=1))
    bench.capture(shipping(1))
    bench.integrate()
    anchoring.step()
    bench.capture(shipping(2))
    bench.integrate()
    anchoring.step()
    bench.capture(shipping(3))
    newest = bench.custody.events()
    assert [(item.index, item.state, item.block) for item in newest] == [
        (2, ProofState.PENDING, None),
        (1, ProofState.ANCHORED, 2),
        (0, ProofState.ANCHORED, 1),
    ]
    assert bench.custody.counts() == {"events": 3, "anchored": 2}


def test_a_receipt_has_to_wait_for_its_checkpoint_and_says_so() -> None:
    bench = Bench()
    bench.capture(shipping(1))
    bench.integrate()
    bench.capture(shipping(2))
    with pytest.raises(UnavailableError, match="again in a second"):
        bench.custody.receipt(shipping(2)["eventID"])
    with pytest.raises(InvariantError, match="no such event"):
        bench.custody.receipt("urn:uuid:nowhere")


def test_what_is_shown_of_a_store_that_was_edited_is_no_receipt() -> None:
    class Edited(MemoryLogStore):
        def edit(self) -> None:
            new: NewEntry = self._entries[1]
            self._entries[1] = new._replace(entry=new.entry[:-1] + bytes([new.entry[-1] ^ 1]))

    store = Edited()
    bench = Bench(store)
    bench.capture(*map(shipping, range(3)))
    bench.integrate()
    store.edit()
    with pytest.raises(VerificationError):
        bench.custody.receipt(shipping(1)["eventID"])


def test_the_log_says_once_when_it_is_lost_and_once_when_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    class Shaky(MemoryLogStore):
        def __init__(self) -> None:
            super().__init__()
            self.answers = 3
            self.back = threading.Event()

        def checkpoint(self, size: int | None = None) -> object:  # type: ignore[override]  # passed through
            if self.answers:
                self.answers -= 1
                raise UnavailableError("the disk is away")
            self.back.set()
            return super().checkpoint(size)

    caplog.set_level(logging.INFO, "tweeling.custody")
    store, stop = Shaky(), threading.Event()
    custody = Custody(store, signer(), clock=Bench().clock, random=os.urandom, pace_s=0.01)
    thread = threading.Thread(target=custody.run, args=(stop,))
    thread.start()
    assert store.back.wait(10)
    stop.set()
    thread.join(10)
    assert [record.message for record in caplog.records] == ["log.lost", "log.back"]
    assert custody.health().ok
