from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest
from support_broker import until

from tweeling.errors import ConfigError, InvariantError, UnavailableError
from tweeling.wire.ranges import SeqSet
from tweeling.wire.senml import Resolved
from tweeling_edge import outbox_store
from tweeling_edge.events import Dropped, Queued, Renewed
from tweeling_edge.notices import Alarmed, Failed, Notice
from tweeling_edge.outbox import Outbox
from tweeling_edge.outbox_file import OutboxDamagedError, connect, look
from tweeling_edge.outbox_store import Quota
from tweeling_edge.sample import Sample, from_body

HOUR = 3_600_000
START = 1_790_000_000_000 // HOUR * HOUR
EPOCH = "0123456789abcdef"


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
        assert box.state()[2].copy() == SeqSet(((5, 5), (8, 10)))
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


@pytest.mark.parametrize("quota", [Quota(max_rows=100), Quota(max_bytes=8200)])
def test_a_full_outbox_keeps_one_reading_an_hour_and_every_weighing(tmp_path: Path, quota: Quota) -> None:
    notices: list[Notice] = []
    with outbox(tmp_path, quota=quota, listen=notices.append) as box:
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
    assert {drop.reason for drop in drops} == {"outbox full: thinned to one reading an hour"}


def test_the_oldest_readings_go_first(tmp_path: Path) -> None:
    with outbox(tmp_path, quota=Quota(max_rows=100)) as box:
        box.put_many([reading(START + i * 1000) for i in range(101)])
        held = box.state()[2].copy()
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
        assert box.alarm == f"outbox damaged, kept as {aside.name}"
        aside.rename(tmp_path / "taken-away")
        assert box.alarm == ""
    assert [record.message for record in caplog.records] == ["outbox.damaged"]


def test_a_full_disk_costs_old_readings_and_refuses_whole_batches_until_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    notices: list[Notice] = []
    with outbox(tmp_path, listen=notices.append) as box:
        box.put_many([weighing()] * 10)
        box.put_many([reading(START + i * 1000) for i in range(90)], source="s", cursor="90")
        reserve = tmp_path / "o.sqlite3.reserve"
        assert reserve.stat().st_blocks * 512 >= 8 << 20, "real blocks"
        pages = box._writer._db.execute("PRAGMA page_count").fetchone()[0]
        box._writer._db.execute(f"PRAGMA max_page_count = {pages}")
        for _ in range(2):
            with pytest.raises(UnavailableError, match="full"):
                box.put_many([reading()] * 1000, source="s", cursor="1090")
        assert not reserve.exists(), "its room was given to the disk"
        assert box.source("s").cursor == "90"
        stats = box.stats()
        assert (stats.weighings, stats.last) == (10, 100)
        assert box.rows == stats.queued < 80
        assert box.alarm == "outbox: the disk is full"
        box._writer._db.execute("PRAGMA max_page_count = 100000")
        monkeypatch.setattr("tweeling_edge.committer.ROOM_EVERY_S", 0.0)
        box._committer._look_at = 0.0
        assert box.put_many([reading()] * 1000, source="s", cursor="1090") == (101, 1100)
        assert box.source("s").queued == 1090
        assert box.alarm == ""
        assert reserve.exists()
    events = [record.message for record in caplog.records]
    assert (events.count("outbox.full"), events.count("outbox.room")) == (1, 1)
    assert [type(note) for note in notices].count(Alarmed) == 2


def test_a_large_outbox_is_thinned_a_piece_at_a_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pieces: list[int] = []

    def listen(notice: Notice) -> None:
        if isinstance(notice, Dropped):
            pieces.append(sum(drop.last - drop.first + 1 for drop in notice.drops))

    with outbox(tmp_path, quota=Quota(max_rows=5000), listen=listen) as box:
        for start in range(0, 5000, 500):
            box.put_many([reading(START + (start + i) * 1000) for i in range(500)])
        assert pieces == []
        box.put(reading(START + HOUR - 1))
        until(lambda: box.stats().queued == 4000, "thinned, without another reading")
    assert sum(pieces) == 1001
    assert max(pieces) <= 500
    assert [record.message for record in caplog.records] == ["outbox.thinned"]


def test_a_commit_takes_a_hundred_readings_at_most_and_nobody_waits_for_company(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        statements: list[str] = []
        box._writer._db.set_trace_callback(statements.append)
        box.put(reading())
        assert statements.count("COMMIT") == 1
        begun, gate, threads = threading.Event(), threading.Event(), []

        def hold() -> list[Notice]:
            begun.set()
            assert gate.wait(20)
            return []

        box._committer.submit(hold)
        assert begun.wait(20)
        for _ in range(250):
            threads.append(threading.Thread(target=box.put, args=(reading(),)))
            threads[-1].start()
        until(lambda: box._committer._tasks.qsize() == 250, "all wait for the writer")
        gate.set()
        for thread in threads:
            thread.join()
        assert statements.count("COMMIT") == 1 + 1 + 3
        box._writer._db.set_trace_callback(None)


def test_what_is_committed_survives_a_power_cut_as_far_as_sqlite_can_promise(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        assert box._writer._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert box._writer._db.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"


@pytest.mark.parametrize("left", [0.0, 0.5, 0.95])
def test_a_truncated_log_costs_its_tail_and_nothing_else(tmp_path: Path, left: float) -> None:
    with outbox(tmp_path) as box:
        box.trust()
        for i in range(100):
            box.put(reading(START + i))
        (tmp_path / "copy").mkdir()
        for name in ("o.sqlite3", "o.sqlite3-wal"):
            shutil.copy(tmp_path / name, tmp_path / "copy" / name)
    log = tmp_path / "copy" / "o.sqlite3-wal"
    size = log.stat().st_size
    os.truncate(log, int(size * left))
    with outbox(tmp_path / "copy") as box:
        stats = box.stats()
        assert stats.queued == stats.last < 100
        assert stats.queued > 0 or left == 0
        assert box.state()[3] == stats.last + 1, "what comes now may clash with what the hub knows"
        assert box.put(reading()) == stats.last + 1
    assert not list((tmp_path / "copy").glob("*.damaged-*"))


def test_a_file_that_breaks_under_the_agent_stops_it_instead_of_losing_quietly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notices: list[Notice] = []
    with outbox(tmp_path, listen=notices.append) as box:
        box.put(reading())
        box._writer._db.execute("INSERT INTO reading VALUES (2, 1, 0, 0, 'someone else was here')")
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
    monkeypatch.setattr("tweeling_edge.committer.LATER_S", 3600)
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 10)
        statements: list[str] = []
        box._writer._db.set_trace_callback(statements.append)
        for seq in range(1, 6):
            box.settle(box.stats().epoch, SeqSet(((seq, seq),)), SeqSet())
        box.put(reading())
        box._writer._db.set_trace_callback(None)
        assert box.rows == box.stats().queued == 6
        box.settle(box.stats().epoch, SeqSet(((6, 11),)), SeqSet())
    assert statements.count("COMMIT") == 1
    with outbox(tmp_path) as box:
        assert box.stats().queued == 0, "and the last of them that of the end"


def test_hours_left_follow_the_pace_at_which_readings_come_in(tmp_path: Path) -> None:
    now = [START]
    with closing(Outbox(tmp_path / "o.sqlite3", now_ms=lambda: now[0], new_epoch=lambda: EPOCH)) as box:
        quota, plenty = Quota(max_rows=100), 1 << 40
        assert box.stats().hours_left(quota, plenty) is None
        box.put_many([reading()] * 25)
        assert box.stats().hours_left(quota, plenty) is None, "a moment is no pace"
        now[0] += HOUR
        box.put_many([reading()] * 25)
        box.settle(EPOCH, SeqSet(((1, 30),)), SeqSet())
        box.put_many(())
        stats = box.stats()
        assert stats.queued == 20
        assert stats.inflow is not None
        assert stats.inflow.samples == 50, "of what came in, however much of it is gone"
        assert stats.hours_left(quota, plenty) == pytest.approx(80 / 50, abs=0.01)
        assert stats.hours_left(quota, stats.inflow.size // 2) == pytest.approx(0.5, abs=0.01), "the disk may be nearer"
        now[0] += 48 * HOUR
        stopped = box.stats().inflow
        assert stopped is not None
        assert stopped.during_ms <= HOUR + 600_000, "the time after the last of it is no time in which nothing came"
        box.put(reading())
        later = box.stats().inflow
        assert later is not None
        assert later.samples == 1, "what is older than two hours says nothing of now"


def test_what_was_given_up_or_had_no_meaning_is_counted_by_reason(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 3, unread={"no number": 2})
        box.put_many((), unread={"no number": 1, "no JSON": 4})
        box.drop(box.stats().epoch, SeqSet(((1, 2),)), "unreadable in the outbox")
        box.count("sent", 7)
        box.put(reading())
        assert box.stats().tallies == {
            "unread": {"no number": 3, "no JSON": 4},
            "dropped": {"unreadable in the outbox": 2},
            "sent": {"": 7},
        }
        box.put_many((), unread={f"reason {number}": 1 for number in range(100)})
        unread = box.stats().tallies["unread"]
        assert len(unread) == 51
        assert sum(unread.values()) == 107


def test_counts_of_a_transaction_that_failed_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with outbox(tmp_path) as box:

        def fail(*_: object) -> None:
            raise UnavailableError("no")

        monkeypatch.setattr(box._writer, "count", fail)
        with pytest.raises(UnavailableError):
            box.put_many([reading()], unread={"no number": 1})
        monkeypatch.undo()
        box.put(reading())
        assert box.stats().tallies == {}
        assert box.stats().inflow is not None
        assert box.stats().inflow.samples == 1  # type: ignore[union-attr]  # just asserted


def test_an_outbox_of_the_version_before_is_upgraded_and_keeps_what_it_holds(tmp_path: Path) -> None:
    with outbox(tmp_path) as box:
        box.put_many([reading()] * 3)
        box.trust()
    with closing(connect(tmp_path / "o.sqlite3")) as old:
        old.executescript("DROP TABLE tally; DROP TABLE inflow; PRAGMA user_version = 1;")
    with closing(look(tmp_path / "o.sqlite3")) as old:
        assert outbox_store.stats(old, START).queued == 3, "and can be looked at before"
    with outbox(tmp_path) as box:
        box.put_many([reading()], unread={"no number": 1})
        assert box.stats().queued == 4
        assert box.stats().tallies == {"unread": {"no number": 1}}


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
