from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from support_ingest import EPOCH, NOW, HandClock, arrival, message, of, reading, weighing

from tweeling.adapters.intake import Keep
from tweeling.adapters.journal import SqliteJournal
from tweeling.domain.telemetry import Quality
from tweeling.errors import ConfigError, InvariantError, RejectedError, UnavailableError
from tweeling.ports.inbox import Message
from tweeling.ports.journal import Batch, NodeEpoch
from tweeling.services.ingest import Ingest
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Parcel, Suspect

N1 = NodeEpoch("H1", "n1", EPOCH)


@contextmanager
def opened(path: Path, *, late_ms: int = 3_600_000) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(path, late_ms=late_ms, keep=Keep(trimmed_bytes=0))) as journal:
        yield journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def columns(batch: Batch | None) -> tuple[object, ...]:
    assert batch is not None
    points = batch.points
    arrays = (points.series, points.times, points.values, points.quality)
    return (batch.number, batch.recorded_ms, points.names, batch.movements, *(a.tobytes() for a in arrays),
            *(a.dtype for a in arrays))  # fmt: skip


def test_batches_decoded_again_from_their_bytes_equal_the_first_ones(path: Path) -> None:
    relative = {"n": "H1-B/temperature", "u": "K", "v": 290.15, "t": -7200}
    percent = {"n": "H1-B/fillingLevel", "u": "%", "v": 33.3}
    commits = [
        [arrival({2: [reading(0.2), weighing(2)]}), arrival({1: [relative, percent]}, node="n2")],
        [arrival({1: [reading(0.1)], 2: [reading(9.9)], 3: [weighing(3, lot="L1", tkt="T"), percent]})],
        [arrival({4: [reading(0.4, at=NOW + 10**9)], 5: [reading(0.5, at=NOW + 299_000)]})],
    ]
    with opened(path, late_ms=60_000) as journal:
        made = [columns(journal.commit(of(each), recorded_ms=NOW)) for each in commits]
    with opened(path) as journal:  # with another setting of what is late
        read = journal.read(0, 10)
    assert [columns(batch) for batch in read] == made
    assert read[0].points.quality.tolist() == [Quality.GOOD, Quality.HISTORICAL, Quality.GOOD]
    assert read[0].points.values.tolist() == pytest.approx([0.2, 17.0, 0.333])
    assert read[2].points.values.tolist() == [0.5]


def test_a_journal_opened_again_knows_what_it_knew(path: Path) -> None:
    sent = arrival({1: [reading()], 2: [reading(at=NOW + 10**9)]}, dropped=((7, 9, "quota"),))
    with opened(path) as journal:
        journal.commit(of([sent], [Suspect("t", b"x", "why")]), recorded_ms=NOW)
        before = (journal.settled(N1), journal.counts(), journal.quarantine(), journal.last())
        journal.trim(1)
    with opened(path) as journal:
        assert (journal.settled(N1), journal.counts(), journal.quarantine(), journal.last()) == before
        assert journal.commit(of([sent]), recorded_ms=NOW) is None
        with pytest.raises(RejectedError, match="trimmed"):
            journal.read(0, 1)


def test_only_its_owner_may_read_the_file(path: Path) -> None:
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_file_is_written_through_to_the_disk(path: Path) -> None:
    with opened(path) as journal, closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._writer.open().execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_second_process_is_kept_out_by_name(path: Path) -> None:
    with opened(path), pytest.raises(UnavailableError, match="in use by another process: a backup or fsck"):
        SqliteJournal(path)
    with opened(path):
        pass


def test_a_full_disk_keeps_nothing_of_the_commit_and_takes_it_again_later(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(of([arrival({1: [reading()]})]), recorded_ms=NOW)
        before = journal.counts()
        big = [arrival({seq: [reading(), weighing()] * 20}) for seq in range(2, 60)]
        pages = journal._writer.open().execute("PRAGMA page_count").fetchone()[0]
        journal._writer.open().execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(UnavailableError, match="full"):
            journal.commit(of(big, [Suspect("t", b"x", "why")]), recorded_ms=NOW)
        assert (journal.counts(), journal.last(), journal.quarantine()) == (before, 1, [])
        assert journal.settled(N1).committed.ranges == ((1, 1),)
        batch = journal.commit(of(big), recorded_ms=NOW)  # the limit went with the connection
        assert batch is not None
        assert (batch.number, len(batch.movements)) == (2, 58 * 20)


def test_a_commit_that_took_effect_but_reported_an_error_leaves_no_hole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path) as journal:
        journal.commit(of([arrival({1: [reading()]})]), recorded_ms=NOW)
        honest = journal._writer.transaction

        @contextmanager
        def lost_answer() -> Iterator[sqlite3.Connection]:
            with honest() as db:
                yield db
            raise UnavailableError("disk I/O error")

        monkeypatch.setattr(journal._writer, "transaction", lost_answer)
        with pytest.raises(UnavailableError):
            journal.commit(of([arrival({2: [reading()]})]), recorded_ms=NOW)
        monkeypatch.undo()
        assert journal.commit(of([arrival({2: [reading()]})]), recorded_ms=NOW) is None
        journal.commit(of([arrival({3: [reading()]})]), recorded_ms=NOW)
        assert [batch.number for batch in journal.read(0, 10)] == [1, 2, 3]


def test_a_damaged_file_is_named_with_its_remedy(path: Path) -> None:
    path.write_bytes(b"no database at all, however long one looks at it" * 100)
    with pytest.raises(ConfigError, match=r"journal\.sqlite: is damaged .* set the file .* aside"):
        SqliteJournal(path)


def test_damage_inside_is_no_crash_but_unavailable(path: Path) -> None:
    with opened(path) as journal:
        for seq in range(1, 50):
            journal.commit(of([arrival({seq: [reading()] * 20})]), recorded_ms=NOW)
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    with opened(path) as journal:
        with pytest.raises(UnavailableError, match=r"malformed.*edges still hold"):
            journal.read(0, 100)
        with pytest.raises(UnavailableError, match="malformed"):
            journal.commit(of([arrival({99: [reading()]})]), recorded_ms=NOW)


def test_a_file_that_vanished_is_not_silently_replaced(path: Path) -> None:
    with opened(path) as journal:
        journal.commit(of([arrival({1: [reading()]})]), recorded_ms=NOW)
    with opened(path) as journal:
        journal._reader.drop()
        path.rename(path.with_name("elsewhere"))
        with pytest.raises(UnavailableError, match="unable to open"):
            journal.last()
    assert not path.exists()


@pytest.mark.parametrize(
    ("statement", "text"), [("CREATE TABLE x (y)", "is no ingest journal"), ("PRAGMA user_version = 99", "schema 99")]
)
def test_a_foreign_or_newer_file_is_refused(path: Path, statement: str, text: str) -> None:
    if "99" in statement:
        with opened(path):
            pass
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
    with pytest.raises(ConfigError, match=text):
        SqliteJournal(path)


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent/journal\.sqlite: cannot be written"):
        SqliteJournal(tmp_path / "absent" / "journal.sqlite")


def test_what_keeps_up_is_not_decoded_again(path: Path) -> None:
    with opened(path) as journal:
        made = journal.commit(of([arrival({1: [reading()]})]), recorded_ms=NOW)
        assert journal.read(0, 5)[0] is made
        np.testing.assert_array_equal(journal.read(0, 5)[0].points.values, [0.5])


def test_a_total_that_is_full_stays_so_and_blocks_nothing(path: Path) -> None:
    with opened(path) as journal:
        for full in (2**63 - 1, 2**53 - 1):
            journal._writer.open().execute("UPDATE total SET value = ? WHERE name = 'dropped'", (full,))
            sent = arrival({5: [reading()]}, epoch=f"{full:016x}", dropped=((1, 4, "quota"),))
            assert journal.commit(of([sent]), recorded_ms=NOW) is not None
            assert journal.counts()["dropped"] == 2**53 - 1


@pytest.mark.parametrize("odd", [{"net_g": -1}, {"net_g": 2**63}, {"material": "\ud800"}])
def test_content_that_no_file_keeps_is_no_trouble_of_the_disk(path: Path, odd: dict[str, object]) -> None:
    with opened(path) as journal:
        with pytest.raises(InvariantError, match="journal: cannot be kept"):
            journal.commit(of([_impossible(odd)]), recorded_ms=NOW)
        assert not any(journal.settled(N1))
        assert journal.commit(of([arrival({1: [reading()]})]), recorded_ms=NOW) is not None


def test_one_message_that_cannot_be_kept_is_quarantined_and_blocks_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = [message({1: [weighing()]}, node=node) for node in ("n1", "n2", "n3")]
    read = Decoder.read

    def wicked(self: Decoder, messages: Sequence[tuple[str, bytes]], *, now_ms: int) -> Parcel:
        parcel = read(self, messages, now_ms=now_ms)
        first, second, third = parcel.arrivals
        (odd,) = _impossible({"net_g": 2**63}, Parcel((second,))).arrivals
        return parcel._replace(arrivals=(first, odd, third))

    monkeypatch.setattr(Decoder, "read", wicked)
    with opened(path) as journal:
        outcome = Ingest(journal, HandClock()).handle([*sent, Message("junk", b"x")])
        assert outcome.batch is not None
        assert [answer.topic for answer in outcome.answers] == ["tweeling/v1/H1/n1/ack", "tweeling/v1/H1/n3/ack"]
        assert [each.topic for each in outcome.suspects] == ["junk", sent[1].topic]
        kept = {each.suspect.payload: each.suspect.reason for each in journal.quarantine()}
        assert set(kept) == {b"x", sent[1].payload}
        assert "cannot be kept" in kept[sent[1].payload]
        assert journal.counts()["movements"] == 2


def test_quarantine_is_measured_again_when_the_journal_is_opened_again(path: Path) -> None:
    for number in range(5):
        with closing(SqliteJournal(path, keep=Keep(bytes=17))) as journal:
            journal.commit(of([], [Suspect("t", b"%d" % number, "\u00e9")]), recorded_ms=NOW)
            assert len(journal.quarantine()) == min(number + 1, 4)


def _impossible(odd: dict[str, object], sent: Parcel | None = None) -> Parcel:
    """An arrival whose weighing the border would never let in."""
    sent = sent or arrival({1: [weighing()]})
    arrivals = [
        each._replace(
            head=each.head._replace(movements=tuple(row.model_copy(update=odd) for row in each.head.movements))
        )
        for each in sent.arrivals
    ]
    return sent._replace(arrivals=tuple(arrivals))
