"""What every LogStore promises."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from support_postgres import records_url

from tweeling.adapters.memory_log import MemoryLogStore
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.domain import merkle
from tweeling.domain.log import Anchor, Checkpoint, Disclosure, LotLink
from tweeling.errors import InvariantError, RejectedError, VerificationError
from tweeling.ports.logstore import LogStore, NewEntry


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LogStore]:
    if request.param == "memory":
        yield MemoryLogStore()
        return
    with closing(open_records(records_url(request.param, request, tmp_path))) as records:
        yield SqlLogStore(records)


def _new(index: int, *, event_id: str | None = None, lots: tuple[str, ...] = ()) -> NewEntry:
    body = f"entry {index}".encode()
    leaf = merkle.leaf_hash(body)
    return NewEntry(
        entry=body,
        leaf=leaf,
        event_id=event_id or f"urn:event:{index}",
        jcs=sha256(body).digest(),
        event=f'{{"number":{index}}}'.encode(),
        disclosures=(Disclosure(bytes(16), "number", str(index)), Disclosure(b"\xff" * 16, "/captured", "5")),
        lots=tuple(LotLink(lot, lot.encode().ljust(32, b"."), index, leaf) for lot in lots),
        captured_ms=1000 + index,
        submitter="token",
    )


def _fill(store: LogStore, count: int) -> merkle.Frontier:
    size = store.size()
    made = [_new(index) for index in range(size, size + count)]
    edge, nodes = merkle.grow(merkle.frontier(size, store.nodes), [new.leaf for new in made])
    store.append(made, expected_size=size, nodes=nodes)
    return edge


def _anchor(size: int, block: int = 7) -> Anchor:
    return Anchor(size, bytes([size]) * 32, 31337, "0x" + "Ab" * 20, b"\x01" * 32, block, b"\x02" * 32, b"\x03" * 32)


def test_an_empty_log_is_empty(store: LogStore) -> None:
    assert store.size() == 0
    assert list(store.entries(0, 10)) == list(store.newest(5)) == list(store.nodes([])) == []
    assert store.checkpoint() is store.checkpoint(3) is store.anchor() is store.anchor(covering=0) is None
    assert store.find("urn:event:0") is None
    assert dict(store.known([b"x" * 32])) == dict(store.lots(["a"])) == {}


def test_what_is_appended_is_there_in_order_with_its_tree(store: LogStore) -> None:
    _fill(store, 5)
    edge = _fill(store, 8)
    assert store.size() == 13
    assert [(item.index, item.entry, item.event_id, item.captured_ms) for item in store.entries(11, 99)] == [
        (11, b"entry 11", "urn:event:11", 1011),
        (12, b"entry 12", "urn:event:12", 1012),
    ]
    assert merkle.frontier(13, store.nodes) == edge
    assert store.nodes([(0, 3), (3, 0), (0, 3)])[0] == merkle.leaf_hash(b"entry 3")
    newest = store.newest(2)
    assert [(item.sequenced.index, item.event, item.submitter) for item in newest] == [
        (12, b'{"number":12}', "token"),
        (11, b'{"number":11}', "token"),
    ]


def test_whoever_reads_during_an_append_sees_entries_with_their_tree_or_none_of_them(store: LogStore) -> None:
    before = _fill(store, 5)
    made = [_new(index) for index in range(5, 13)]
    after, nodes = merkle.grow(before, [new.leaf for new in made])

    def look() -> merkle.Frontier:
        return merkle.frontier(store.size(), store.nodes)

    class Watched(dict[merkle.NodeKey, bytes]):
        """Has somebody look while the store takes it."""

        def items(self) -> ItemsView[merkle.NodeKey, bytes]:
            looks.append(pool.submit(look))
            wait(looks, timeout=0.2)  # or until the append is done
            return super().items()

    looks: list[Future[merkle.Frontier]] = []
    with ThreadPoolExecutor(1) as pool:
        store.append(made, expected_size=5, nodes=Watched(nodes))
        assert looks
        assert all(each.result(20) in (before, after) for each in looks)


def test_an_event_opens_to_its_bytes_and_disclosures(store: LogStore) -> None:
    _fill(store, 3)
    new = _new(2)
    assert store.event(2) == (new.event, new.disclosures)
    with pytest.raises(InvariantError):
        store.event(3)


def test_an_event_is_found_by_its_id_or_its_hash_and_the_newest_counts(store: LogStore) -> None:
    _fill(store, 2)
    twice = _new(2, event_id="urn:event:0")
    edge = merkle.frontier(2, store.nodes)
    store.append([twice], expected_size=2, nodes=merkle.grow(edge, [twice.leaf])[1])
    assert store.find("urn:event:0") == 2
    assert store.find("urn:event:1") == 1
    assert store.find(_new(1).jcs.hex()) == 1
    assert store.find("ab" * 32) is None
    assert dict(store.known([_new(1).jcs, b"y" * 32])) == {_new(1).jcs: 1}


def test_only_the_first_of_two_writers_is_taken_and_nothing_of_the_other_stays(store: LogStore) -> None:
    _fill(store, 3)
    late = _new(9, lots=("lot",))
    with pytest.raises(RejectedError):
        store.append([late], expected_size=2, nodes=merkle.grow(merkle.Frontier(), [late.leaf])[1])
    assert store.size() == 3
    assert store.find(late.event_id) is None
    assert dict(store.lots(["lot"])) == {}


def test_the_same_event_cannot_stand_in_the_log_twice(store: LogStore) -> None:
    _fill(store, 3)
    again = _new(3)._replace(jcs=_new(1).jcs)
    _, nodes = merkle.grow(merkle.frontier(3, store.nodes), [again.leaf])
    with pytest.raises(RejectedError):
        store.append([again], expected_size=3, nodes=nodes)
    assert store.size() == 3
    _fill(store, 1)
    assert store.size() == 4


def test_a_node_that_is_not_kept_is_named(store: LogStore) -> None:
    _fill(store, 3)
    with pytest.raises(VerificationError, match=r"\(1, 1\)"):
        store.nodes([(0, 0), (1, 1)])


def test_many_nodes_are_read_at_once(store: LogStore) -> None:
    _fill(store, 600)
    assert list(store.nodes([(0, index) for index in range(600)])) == [_new(index).leaf for index in range(600)]


def test_every_subtree_is_read_right_while_the_tree_grows(store: LogStore) -> None:
    edge: merkle.Frontier = merkle.Frontier()
    every: dict[merkle.NodeKey, bytes] = {}
    for step in (3, 14, 1, 240, 41, 1300):
        edge, new = merkle.grow(edge, [_new(index).leaf for index in range(edge.size, edge.size + step)])
        every |= new
        _fill(store, step)
        keys = list(every)[::-1]
        assert list(store.nodes(keys)) == [every[key] for key in keys]
        for level in range(edge.size.bit_length()):
            with pytest.raises(VerificationError, match=rf"\({level}, {edge.size >> level}\)"):
                store.nodes([(level, edge.size >> level)])


def test_a_lot_is_known_by_its_newest_entry(store: LogStore) -> None:
    first, second = _new(0, lots=("a", "b")), _new(1, lots=("a",))
    store.append([first, second], expected_size=0, nodes=merkle.grow(merkle.Frontier(), [first.leaf, second.leaf])[1])
    assert dict(store.lots(["a", "b", "c"])) == {"a": second.lots[0], "b": first.lots[1]}
    third = replace(second.lots[0], index=2)
    new = _new(2)._replace(lots=(third,))
    store.append([new], expected_size=2, nodes=merkle.grow(merkle.frontier(2, store.nodes), [new.leaf])[1])
    assert store.lots(["a"])["a"] == third


def test_one_size_has_one_root_for_ever(store: LogStore) -> None:
    first = Checkpoint(5, b"\x05" * 32, "a note\n", 1000)
    store.save_checkpoint(first)
    store.save_checkpoint(first._replace(note="signed again\n", time_ms=2000))
    with pytest.raises(RejectedError):
        store.save_checkpoint(first._replace(root=b"\x06" * 32))
    store.save_checkpoint(Checkpoint(9, b"\x09" * 32, "newer\n", 3000))
    assert store.checkpoint(5) == first
    newest = store.checkpoint()
    assert newest is not None
    assert newest.size == 9


def test_anchors_are_found_by_what_they_cover_and_can_be_forgotten(store: LogStore) -> None:
    for size in (3, 8, 20):
        store.save_anchor(_anchor(size))
    assert store.anchor() == _anchor(20)
    assert store.anchor(covering=2) == _anchor(3)
    assert store.anchor(covering=3) == store.anchor(covering=7) == _anchor(8)
    assert store.anchor(covering=20) is None
    store.save_anchor(_anchor(8, block=99))
    assert store.anchor(covering=3) == _anchor(8, block=99)
    assert store.anchors() == [_anchor(3), _anchor(8, block=99), _anchor(20)]
    store.drop_anchors(above=3)
    assert store.anchor() == _anchor(3)
    store.drop_anchors(above=0)
    assert store.anchor() is None
