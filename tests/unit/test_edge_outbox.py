from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from tweeling.errors import ConfigError, InvariantError, UnavailableError
from tweeling.wire.ranges import SeqSet
from tweeling.wire.senml import Resolved
from tweeling_edge.events import Dropped, Queued, Renewed
from tweeling_edge.outbox import Failed, Notice, Outbox
from tweeling_edge.outbox_file import OutboxDamagedError
from tweeling_edge.outbox_store import Quota
from tweeling_edge.sample import Sample, from_body

HOUR = 3_600_000
START = 1_790_000_000_000 // HOUR * HOUR


def reading(time_ms: int = START, name: str = "H1-A/fillingLevel") -> Sample:
    return (Resolved(name, time_ms, 0.5, "/", None),)


def weighing(time_ms: int = START) -> Sample:
    return (Resolved("H1-A/scale", time_ms, 1000, "g", {"mv_": "in", "mat": "hout"}),)


@contextmanager
def outbox(
    folder: Path, *, quota: Quota | None = None, listen: Callable[[Notice], None] = lambda _: None
) -> Iterator[Outbox]:
    epochs = count(len(list(folder.iterdir())) * 1000)
    box = Outbox(
        folder / "o.sqlite3",
        now_ms=lambda: START,
        new_epoch=lambda: f"{next(epochs):016x}",
        quota=quota,
        listen=listen,
    )
    try:
        yield box
    finally:
        box.close()


def test_seqs_start_at_one_and_go_on_after_a_restart(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        assert box.put(reading()) == 1
        assert box.put_many([reading(), reading()]) == (2, 3)
        epoch = box.stats().epoch
    with outbox(tmp_path) as box:
        assert box.put(reading()) == 4
        assert box.stats().epoch == epoch


def test_seqs_are_not_used_again_when_everything_was_delivered(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 3)
        box.settle(box.stats().epoch, SeqSet(((1, 3),)), SeqSet())
    with outbox(tmp_path) as box:
        assert box.stats().queued == 0
        assert box.put(reading()) == 4


def test_what_is_settled_is_deleted_and_counted_by_source(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 5, source="a", cursor="5")
        box.put_many([reading()] * 5, source="b")
        epoch = box.stats().epoch
        box.settle(epoch, SeqSet(((1, 3), (6, 7))), SeqSet(((4, 4),)))
        box.settle("f" * 16, SeqSet(((1, 10),)), SeqSet())  # another epoch's ack
        box.trust()
        stats = box.stats()
        assert sorted(box.page(SeqSet(((1, 10),)))) == [5, 8, 9, 10]
        assert box.state()[2] == SeqSet(((5, 5), (8, 10)))
    assert (stats.sources["a"].committed, stats.sources["a"].refused, stats.sources["a"].settled) == (3, 1, 4)
    assert stats.sources["a"].cursor == "5"
    assert stats.sources["b"].committed == 2


def test_many_writers_share_commits_and_each_gets_its_own_seq(tmp_path: Path) -> None:
    queued: list[Notice] = []
    seqs: list[int] = []
    with outbox(tmp_path, listen=queued.append) as box:

        def write() -> None:
            seqs.extend(box.put(reading()) for _ in range(50))

        threads = [threading.Thread(target=write) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(seqs) == list(range(1, 401))
    told = SeqSet.of((note.first, note.last) for note in queued if isinstance(note, Queued))
    assert told == SeqSet(((1, 400),))
    assert len(queued) < 400


def test_rows_read_back_as_they_were_put(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading(), weighing()])
        assert {seq: from_body(body) for seq, body in box.page(SeqSet(((1, 2),))).items()} == {
            1: reading(),
            2: weighing(),
        }
        assert box.stats().weighings == 1


def test_senseless_samples_are_refused_before_they_are_kept(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        for sample in ((), reading() * 33, (Resolved("a/b", START, float("nan"), "/", None),)):
            with pytest.raises(InvariantError):
                box.put(sample)
        with pytest.raises(InvariantError):
            box.put((Resolved("a/b", START, 1, "g", {"mv_": "in", "lot": "x" * 9000}),))
        assert box.stats().last == 0


def test_a_full_outbox_keeps_one_reading_an_hour_and_every_weighing(tmp_path: Path) -> None:
    notices: list[Notice] = []
    with outbox(tmp_path, quota=Quota(max_rows=100), listen=notices.append) as box:
        for minute in range(0, 360, 4):
            box.put_many([reading(START + minute * 60_000), reading(START + minute * 60_000, "H1-B/fillingLevel")])
            if minute % 40 == 0:
                box.put(weighing(START + minute * 60_000))
        stats = box.stats()
        rows = [from_body(body)[0] for body in box.page(SeqSet(((1, stats.last),))).values()]
    assert stats.queued <= 105
    assert stats.weighings == 9
    for name in ("H1-A/fillingLevel", "H1-B/fillingLevel"):
        hours = {row.time_ms // HOUR for row in rows if row.name == name}
        assert hours == {START // HOUR + i for i in range(6)}
    drops = [drop for note in notices if isinstance(note, Dropped) for drop in note.drops]
    assert stats.last - stats.queued == sum(drop.last - drop.first + 1 for drop in drops)
    assert {drop.reason for drop in drops} == {"outbox full: thinned to one reading per 1 h"}


def test_the_oldest_readings_go_first(tmp_path: Path) -> None:
    with outbox(tmp_path, quota=Quota(max_rows=100)) as box:
        box.put_many([reading(START + i * 1000) for i in range(101)])
        held = box.state()[2]
    assert held == SeqSet(((1, 1), (23, 101)))  # the hour's first, and the newest


def test_drops_are_remembered_until_the_hub_has_heard(tmp_path: Path) -> None:
    with outbox(tmp_path, quota=Quota(max_rows=100)) as box:
        box.put_many([reading(START + i * 1000) for i in range(101)], source="s")
        assert box.source("s").dropped == 21
    with outbox(tmp_path) as box:
        (drop,) = box.state()[4]
        assert (drop.first, drop.last) == (2, 22)
        box.forget([drop.id])
    with outbox(tmp_path) as box:
        assert box.state()[4] == []


def test_weighings_beyond_the_quota_are_still_taken(tmp_path: Path) -> None:
    with outbox(tmp_path, quota=Quota(max_rows=100)) as box:
        box.put_many([weighing()] * 300)
        assert box.stats().weighings == 300


def test_a_new_epoch_numbers_what_is_held_from_one(tmp_path: Path) -> None:
    notices: list[Notice] = []
    with outbox(tmp_path, listen=notices.append) as box:
        box.put_many([reading(START + i) for i in range(5)], source="s")
        before = box.stats().epoch
        box.renew(SeqSet(((1, 2),)))
        assert box.put(reading(START + 9)) == 4
        after = box.stats()
        rows = sorted((seq, from_body(body)[0].time_ms - START) for seq, body in box.page(SeqSet(((1, 9),))).items())
    assert rows == [(1, 2), (2, 3), (3, 4), (4, 9)]
    assert after.epoch != before
    assert (after.sources["s"].queued, after.sources["s"].committed) == (5, 2)
    assert Renewed(after.epoch, 3) in notices


def test_what_is_queued_before_the_hub_agrees_stays_in_doubt_over_restarts(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 3)
        box.trust()
    with outbox(tmp_path) as box:
        assert box.state()[3] == 4
        box.put(reading())
    with outbox(tmp_path) as box:
        assert box.state()[3] == 4
        box.trust()
        assert box.state()[3] is None


@pytest.mark.parametrize("damage", ["header", "middle"])
def test_a_damaged_file_is_set_aside_and_a_new_epoch_starts(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading(START + i) for i in range(2000)])
        epoch = box.stats().epoch
    path = tmp_path / "o.sqlite3"
    broken = bytearray(path.read_bytes())
    at = 0 if damage == "header" else len(broken) // 2
    broken[at : at + 4096] = b"\xff" * 4096
    path.write_bytes(broken)
    with outbox(tmp_path) as box:
        assert box.stats().epoch != epoch
        assert box.put(reading()) == 1
    (aside,) = tmp_path.glob("o.sqlite3.damaged-*")
    assert aside.read_bytes() == bytes(broken)
    assert [record.message for record in caplog.records] == ["outbox.damaged"]


def test_a_full_disk_refuses_whole_batches_and_heals(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 100, source="s", cursor="100")
        pages = box._db.execute("PRAGMA page_count").fetchone()[0]
        box._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(UnavailableError, match="full"):
            box.put_many([reading()] * 1000, source="s", cursor="1100")
        assert box.rows == box.stats().queued == 100
        assert box.source("s").cursor == "100"
        box.settle(box.stats().epoch, SeqSet(((1, 50),)), SeqSet())
        box._db.execute("PRAGMA max_page_count = 100000")
        assert box.put_many([reading()] * 1000, source="s", cursor="1100") == (101, 1100)
        assert box.stats().queued == 1050


def test_a_file_that_breaks_under_the_agent_stops_it_instead_of_losing_quietly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notices: list[Notice] = []
    with outbox(tmp_path, listen=notices.append) as box:
        box.put(reading())
        box._db.execute("INSERT INTO reading VALUES (2, 1, 0, 0, 'someone else was here')")
        with pytest.raises(OutboxDamagedError):
            box.put(reading())
        with pytest.raises(OutboxDamagedError):
            box.put(reading())
    assert [type(note) for note in notices] == [Queued, Failed]
    assert [record.message for record in caplog.records] == ["outbox.broken"]


def test_another_process_is_told_who_has_the_outbox(tmp_path: Path) -> None:
    with outbox(tmp_path), pytest.raises(ConfigError, match="in use by process"), outbox(tmp_path):
        pass


def test_a_foreign_file_is_set_aside_too(tmp_path: Path) -> None:
    (tmp_path / "o.sqlite3").write_text("this is not a database, " * 100)
    with outbox(tmp_path) as box:
        assert box.put(reading()) == 1


def test_waiting_for_room_ends_when_samples_leave(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 10)
        passed = threading.Event()

        def wait() -> None:
            box.wait_for_room(5, threading.Event())
            passed.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not passed.is_set()
        box.settle(box.stats().epoch, SeqSet(((1, 6),)), SeqSet())
        assert passed.wait(10)
        thread.join()


def test_deletions_share_the_next_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tweeling_edge.outbox.LATER_S", 3600)
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 10)
        statements: list[str] = []
        box._db.set_trace_callback(statements.append)
        for seq in range(1, 6):
            box.settle(box.stats().epoch, SeqSet(((seq, seq),)), SeqSet())
        box.put(reading())
        box._db.set_trace_callback(None)
        assert box.rows == box.stats().queued == 6
        box.settle(box.stats().epoch, SeqSet(((6, 11),)), SeqSet())
    assert statements.count("COMMIT") == 1
    with outbox(tmp_path) as box:
        assert box.stats().queued == 0, "and the last of them that of the end"


def test_hours_left_follow_the_pace_of_what_is_held(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        quota = Quota(max_rows=100)
        assert box.stats().hours_left(quota, START) is None
        box.put_many([reading()] * 25)
        stats = box.stats()
        assert stats.hours_left(quota, START + 1000) is None
        assert stats.hours_left(quota, START + HOUR) == 3.0
        assert stats.oldest_ms == START


def test_closing_commits_what_waits_and_refuses_what_comes_later(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put(reading())
        box.settle(box.stats().epoch, SeqSet(((1, 1),)), SeqSet())
        box.close()
        with pytest.raises(UnavailableError):
            box.put(reading())
    db = sqlite3.connect(tmp_path / "o.sqlite3")
    assert db.execute("SELECT count(*) FROM reading").fetchone() == (0,)
    db.close()
