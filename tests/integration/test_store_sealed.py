"""What lies beside the live file: readable by any process, named when damaged, taken up when the live file is lost."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from support_servers import ROOT
from support_store import DAY, HOUR, MINUTE, T0, points

from tweeling.adapters.duckdb import DuckDBStore, Keeping
from tweeling.domain.points import Points
from tweeling.errors import UnavailableError
from tweeling.ports.timeseries import Aggregate

A, B = "H1/H1-A/fillingLevel", "H1/H1-B/fillingLevel"
NOW = T0 + 100 * DAY
FOR_EVER = Keeping(raw_ms=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A hundred days of two series, four times an hour, sealed: January to April 2026, and a few live hours."""
    path = tmp_path / "points.duckdb"
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        times = np.arange(T0, NOW, 15 * MINUTE)
        for number, name in enumerate((A, B), 1):
            zeros = np.zeros(len(times))
            values = np.round(np.arange(len(times)) % 1000 / 1000, 3) * number
            store.apply(
                Points((name,), zeros.astype("i4"), times, values, zeros.astype("u1")), source="j", through=number
            )
        store.maintain(NOW)
    return path


@pytest.fixture
def store(path: Path) -> Iterator[DuckDBStore]:
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        yield store


def _file(store: DuckDBStore, month: str) -> Path:
    return next(store.folder.glob(f"raw-{month}.*"))


def _january(store: DuckDBStore) -> Points:
    return store.raw(A, start_ms=T0, end_ms=T0 + DAY)


def test_the_lines_of_the_manual_read_sealed_files_while_the_store_is_open(store: DuckDBStore) -> None:
    store.apply(points((A, T0 - DAY, 1 / 3)), source="j", through=3)
    store.maintain(NOW + DAY)
    with closing(DuckDBStore(store.folder.parent / "old.duckdb", keeping=Keeping(seal_ms=HOUR, raw_ms=DAY))) as old:
        old.apply(points((A, T0, 0.5), (A, T0 + MINUTE, 0.75)), source="j", through=1)
        old.maintain(NOW)
        for file in old.folder.iterdir():
            file.rename(store.folder / file.name)
    block = re.search(r"```sql\n(.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    assert block is not None
    program = "import duckdb, sys\nfor line in sys.stdin.read().splitlines(): print(duckdb.sql(line).fetchall())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=block[1], cwd=store.folder.parent, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    raw, hourly = (eval(line) for line in done.stdout.splitlines())  # noqa: S307  (our own output)
    kept = [row for name in (A, B) for row in store.raw(name, start_ms=0, end_ms=NOW - DAY).rows()]
    assert [tuple(row) for row in kept] == [row for row in raw if row[1] < NOW - DAY]
    assert hourly == [(A, T0, 2, 0.625, 0.5, 0.75, 0.75, T0 + MINUTE)]


@pytest.mark.parametrize("damage", ["missing", "cut", "garbled"])
def test_a_damaged_month_is_named_and_takes_nothing_else_down(store: DuckDBStore, damage: str) -> None:
    path = _file(store, "2026-01")
    whole = path.read_bytes()
    match damage:
        case "missing":
            path.unlink()
        case "cut":
            path.write_bytes(whole[:-1000])
        case _:
            path.write_bytes(os.urandom(len(whole)))
    for ask in (
        lambda: _january(store),
        lambda: store.window(A, start_ms=0, end_ms=NOW, step_ms=DAY, aggregate=Aggregate.MEAN),
    ):
        with pytest.raises(UnavailableError, match=r"raw-2026-01\.\d+\.parquet: the sealed file .* latest backup"):
            ask()
    assert len(store.raw(A, start_ms=T0 + 40 * DAY, end_ms=T0 + 41 * DAY)) == 96
    assert store.latest()[0].time_ms == NOW - 15 * MINUTE
    store.apply(points((A, T0 + 1, 0.5), (A, NOW, 0.25)), source="j", through=3)
    with pytest.raises(UnavailableError, match="raw-2026-01"):
        store.maintain(NOW + DAY)
    assert len(store.raw(A, start_ms=T0 + 99 * DAY, end_ms=NOW + 1)) == 97
    path.write_bytes(whole)
    store.maintain(NOW + DAY)
    assert _january(store).times.tolist()[:3] == [T0, T0 + 1, T0 + 15 * MINUTE]
    assert store.count() == 2 * 9600 + 2


def test_a_bit_that_fell_over_is_named_and_goes_into_no_new_file(store: DuckDBStore) -> None:
    path = _file(store, "2026-01")
    whole = path.read_bytes()
    digits = pq.read_metadata(path).row_group(0).column(2)
    at = digits.data_page_offset + digits.total_compressed_size // 2
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    (found,) = store.damage()
    assert re.search(r"raw-2026-01\.\d+\.parquet: the sealed file cannot be read \(.*CRC.*latest backup", found)
    damaged, before = path.read_bytes(), sorted(store.folder.iterdir())
    store.apply(points((A, T0 + 1, 0.5)), source="j", through=3)
    with pytest.raises(UnavailableError, match=r"raw-2026-01\.\d+\.parquet: the sealed file .* latest backup"):
        store.maintain(NOW + DAY)
    assert path.read_bytes() == damaged
    assert set(before) <= set(store.folder.iterdir())
    path.write_bytes(whole)
    assert list(store.damage()) == []
    store.maintain(NOW + DAY)
    assert _january(store).times.tolist()[:2] == [T0, T0 + 1]


def test_a_lost_live_file_is_made_anew_from_the_sealed_ones_and_the_journal(path: Path) -> None:
    path.write_bytes(os.urandom(10_000))
    with pytest.raises(UnavailableError, match="Move it aside and start again"):
        DuckDBStore(path)
    path.rename(path.with_suffix(".aside"))
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        assert store.applied("j") == 0
        assert store.series() == [A, B]
        assert store.latest()[0].time_ms == NOW - 6 * HOUR - 15 * MINUTE
        assert len(_january(store)) == 96
        journal = points(*((A, NOW - n * 15 * MINUTE, 0.5) for n in range(1, 97)))  # part of it is sealed
        store.apply(journal, source="j", through=1)
        assert store.count() == 2 * 9600 - 24
        store.maintain(NOW + DAY)
        assert store.count() == 2 * 9600 - 24
        assert set(store.raw(A, start_ms=NOW - DAY, end_ms=NOW).values.tolist()) == {0.5}


def test_a_month_that_is_lost_for_good_is_given_up_with_the_live_file(path: Path) -> None:
    next(path.with_suffix(".sealed").glob("raw-2026-01.*")).unlink()
    path.rename(path.with_suffix(".aside"))
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        days = store.window(A, start_ms=T0, end_ms=NOW, step_ms=DAY, aggregate=Aggregate.COUNT)
        assert days.times[0] == T0 + 31 * DAY
        assert store.count() == 2 * (9600 - 24 - 31 * 96)


def test_a_month_that_says_nothing_is_set_aside_and_never_removed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    january = next(path.with_suffix(".sealed").glob("raw-2026-01.*"))
    damaged = january.read_bytes()[:-1000] + bytes(1000)
    january.write_bytes(damaged)
    path.rename(path.with_suffix(".aside"))
    for _ in range(2):
        with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
            assert len(_january(store)) == 0
            store.maintain(NOW + DAY)
    assert january.with_name(f"{january.name}.unreadable").read_bytes() == damaged
    assert [record.message for record in caplog.records].count("store.unreadable") == 1


def test_a_month_that_the_disk_does_not_give_is_not_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(path.with_suffix(".sealed").iterdir())
    path.rename(path.with_suffix(".aside"))

    def denied(_: Path) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_metadata", denied)
        with pytest.raises(UnavailableError, match=r"\.parquet: Permission denied\. Let the hub read it"):
            DuckDBStore(path)
    assert sorted(path.with_suffix(".sealed").iterdir()) == before
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        assert len(_january(store)) == 96


def test_what_a_killed_process_left_is_removed_but_never_beside_a_missing_file(path: Path) -> None:
    folder = path.with_suffix(".sealed")
    listed = sorted(folder.iterdir())
    for name in ("raw-2026-01.000099.parquet", "raw-2026-02.000098.parquet.part", "notes.txt"):
        (folder / name).write_bytes(b"half")
    DuckDBStore(path).close()
    assert sorted(folder.iterdir()) == sorted([*listed, folder / "notes.txt"])
    listed[0].rename(folder / "raw-2026-01.000097.parquet")  # so looks a live file of an earlier day beside newer ones
    DuckDBStore(path).close()
    assert (folder / "raw-2026-01.000097.parquet").exists()


def test_a_full_disk_leaves_everything_as_it_was(store: DuckDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.apply(points((A, T0 + 1, 0.5)), source="j", through=3)
    before = sorted(store.folder.iterdir())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UnavailableError, match=r"cannot be written, nothing has changed \(.*No space left"):
            store.maintain(NOW + DAY)
    assert sorted(store.folder.iterdir()) == before
    assert store.count() == 2 * 9600 + 1
    store.maintain(NOW + DAY)
    assert store.count() == 2 * 9600 + 1
    assert _january(store).values.tolist()[1] == 0.5


def test_a_folder_that_cannot_be_made_is_named_and_takes_nothing_down(tmp_path: Path) -> None:
    path = tmp_path / "points.duckdb"
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        store.apply(points((A, T0, 0.5)), source="j", through=1)
        store.folder.write_bytes(b"in the way")
        for _ in range(2):
            with pytest.raises(UnavailableError, match=r"points\.sealed: File exists\. Let the hub write to"):
                store.maintain(NOW)
        assert len(_january(store)) == 1
        store.folder.unlink()
        store.maintain(NOW)
        assert [file.name for file in store.folder.iterdir()] == ["raw-2026-01.000001.parquet"]


@pytest.mark.parametrize("call", ["stat", "unlink"])
def test_what_the_disk_refuses_while_sealing_is_no_other_error(
    store: DuckDBStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refused(path: Path, **_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    store.apply(points((A, T0 + 1, 0.5)), source="j", through=3)
    (store.folder / "raw-2026-01.000099.parquet.part").write_bytes(b"half")
    with monkeypatch.context() as patch:
        patch.setattr(Path, call, refused)
        with pytest.raises(UnavailableError, match="Input/output error"):
            store.maintain(NOW + DAY)
    store.maintain(NOW + DAY)
    assert store.count() == 2 * 9600 + 1


def test_a_month_that_is_over_is_one_file_and_the_live_file_is_small(store: DuckDBStore) -> None:
    for day in range(1, 30):
        store.apply(points((A, NOW + day * DAY, 0.5), (B, T0 + day, 0.5)), source="j", through=2 + day)
        store.maintain(NOW + day * DAY + 7 * HOUR)
    names = sorted(path.name.split(".")[0] for path in store.folder.iterdir())
    assert names[:4] == ["raw-2026-01", "raw-2026-02", "raw-2026-03", "raw-2026-04"]
    assert names.count("raw-2026-05") == len(names) - 4 <= 3
    assert store.folder.with_suffix(".duckdb").stat().st_size < 500_000


def test_retention_removes_files_and_latest_knows_for_ever(path: Path) -> None:
    with closing(DuckDBStore(path, keeping=Keeping(raw_ms=60 * DAY, hourly_ms=90 * DAY))) as store:
        store.maintain(NOW + HOUR)
        assert {file.name[:-15] for file in store.folder.iterdir()} == {
            "hourly-2026-01", "raw-2026-02", "raw-2026-03", "raw-2026-04",
        }  # fmt: skip
        assert store.kept() == (T0 + 31 * DAY, 31 * 96 * 2)
        assert len(_january(store)) == 0
        store.maintain(NOW + 365 * DAY)
        assert list(store.folder.iterdir()) == []
        assert store.count() == 0
        assert store.kept().removed == 2 * 9600
        assert [row.time_ms for row in store.latest()] == [NOW - 15 * MINUTE] * 2
    with closing(DuckDBStore(path)) as store:
        assert [row.time_ms for row in store.latest()] == [NOW - 15 * MINUTE] * 2


def test_finer_steps_find_an_hour_at_its_beginning(path: Path) -> None:
    with closing(DuckDBStore(path, keeping=Keeping(raw_ms=60 * DAY))) as store:
        store.maintain(NOW)
        found = store.window(A, start_ms=T0, end_ms=T0 + 2 * HOUR, step_ms=15 * MINUTE, aggregate=Aggregate.MAX)
    assert found.times.tolist() == [T0, T0 + HOUR]
    assert found.values.tolist() == [0.003, 0.007]


def test_applying_and_the_newest_values_do_not_wait_for_whoever_writes(store: DuckDBStore) -> None:
    busy, done = Event(), Event()

    def tidy_up() -> None:
        with store._live.writing:
            busy.set()
            assert done.wait(30)

    thread = Thread(target=tidy_up)
    thread.start()
    assert busy.wait(30)
    store._hold_s = 0
    store.apply(points((A, NOW, 0.875)), source="j", through=3)
    assert store.latest("H1/H1-A")[0].value == 0.875
    done.set()
    thread.join()
    assert store.applied("j") == 3


def test_a_file_of_the_version_before_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "points.duckdb"
    with closing(duckdb.connect(path)) as before:
        for statement in (
            "CREATE TABLE series (id INTEGER PRIMARY KEY, key VARCHAR NOT NULL UNIQUE)",
            """CREATE TABLE point (
                series INTEGER NOT NULL, t BIGINT NOT NULL, value DOUBLE NOT NULL, quality UTINYINT NOT NULL)""",
            "CREATE TABLE applied (source VARCHAR PRIMARY KEY, through BIGINT NOT NULL)",
            "INSERT INTO applied VALUES ('j', 7)",
        ):
            before.execute(statement)
        before.execute("INSERT INTO series VALUES (1, ?)", [A])
        before.execute("INSERT INTO point VALUES (1, ?, 0.5, 3)", [T0])
    with pytest.raises(UnavailableError, match="Start the hub once"):
        DuckDBStore(path, read_only=True)
    with closing(DuckDBStore(path, keeping=FOR_EVER)) as store:
        assert store.applied("j") == 7
        store.apply(points((A, T0 + 1, 0.25), (B, T0, 0.75)), source="j", through=8)
        store.maintain(NOW)
    with closing(DuckDBStore(path, read_only=True)) as store:
        assert (store.count(), store.applied("j")) == (3, 8)
        assert store.raw(A, start_ms=T0, end_ms=NOW).quality.tolist() == [3, 0]


@pytest.mark.slow
@pytest.mark.parametrize(("series", "every_ms"), [(1000, 5 * MINUTE), (50, MINUTE)])
def test_five_million_points_take_less_than_three_and_a_half_bytes_each(
    tmp_path: Path, series: int, every_ms: int
) -> None:
    rng = np.random.default_rng(7)
    rows = 5_000_000 // series
    names = tuple(f"H{n % 7}/H{n % 7}-{n:04}/fillingLevel" for n in range(series))
    level = rng.random(series)
    with closing(DuckDBStore(tmp_path / "points.duckdb")) as store:
        for number, first in enumerate(range(0, rows, 100), 1):
            times = T0 + np.arange(first, first + 100)[:, None] * every_ms + rng.normal(0, 500, (100, series))
            levels = (level + np.cumsum(rng.gamma(0.5, 0.002, (100, series)), 0)) % 1
            level = levels[-1]
            codes = np.tile(np.arange(series, dtype="i4"), 100)
            values = np.round(levels + rng.normal(0, 0.002, levels.shape), 3).ravel()
            columns = Points(names, codes, times.astype("i8").ravel(), values, np.zeros(len(codes), "u1"))
            store.apply(columns, source="j", through=number)
        store.maintain(int(times.max()))
        held = store.count()
        assert held > 4_990_000  # some fall on the same millisecond
        assert store.find(columns).there.all()
        assert store.size() / held <= 3.5
