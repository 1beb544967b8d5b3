"""What is DuckDB's own: one owner per file, and damage that is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from support_store import T0, points

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.errors import UnavailableError

_HOLD = """
import sys
from pathlib import Path
from tweeling.adapters.duckdb import DuckDBStore
store = DuckDBStore(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
store.close()
"""


def test_a_file_held_by_another_process_names_it(tmp_path: Path) -> None:
    path = tmp_path / "points.duckdb"
    command = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(UnavailableError, match=rf"process {holder.pid} holds the file") as caught:
            DuckDBStore(path)
        assert "stop it first" in str(caught.value)
        holder.communicate()
    DuckDBStore(path).close()


@pytest.mark.parametrize("damage", ["no database at all", "a header that lies"])
def test_a_damaged_file_is_called_damaged(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "points.duckdb"
    if damage == "no database at all":
        path.write_bytes(b"\x00fill level" * 1000)
    else:
        store = DuckDBStore(path)
        store.apply(points(("H1/H1-A/fillingLevel", T0, 0.5)), source="journal", through=1)
        store.close()
        content = bytearray(path.read_bytes())
        content[4096:12288] = os.urandom(8192)
        path.write_bytes(bytes(content))
    with pytest.raises(UnavailableError, match="is damaged") as caught:
        DuckDBStore(path)
    assert str(path) in str(caught.value)
    assert "Move it aside" in str(caught.value)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "points.duckdb")
    store.close()
    with pytest.raises(UnavailableError, match="is closed"):
        store.count()


def test_a_folder_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="points"):
        DuckDBStore(tmp_path / "missing" / "points.duckdb")


def test_what_is_applied_is_written_together_and_told_only_then(tmp_path: Path) -> None:
    path = tmp_path / "points.duckdb"
    store = DuckDBStore(path, hold_s=60)
    for number in range(1, 4):
        store.apply(points(("H1/H1-A/fillingLevel", T0 + number, number / 10)), source="journal", through=number)
    assert store.latest()[0].value == 0.3
    assert store._written.at(1) is None
    assert store.applied("journal") == 3
    assert store._written.at(1) is not None
    store.apply(points(("H1/H1-A/fillingLevel", T0 + 4, 0.4)), source="journal", through=4)
    assert store.raw("H1/H1-A/fillingLevel", start_ms=0, end_ms=T0 * 2).values.tolist() == [0.1, 0.2, 0.3, 0.4]
    store.close()
    store = DuckDBStore(path)
    assert store.applied("journal") == 4
    store.close()


def test_nothing_is_applied_behind_what_a_failed_write_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = DuckDBStore(tmp_path / "points.duckdb", hold_s=60)
    store.apply(points(("H1/H1-A/fillingLevel", T0 + 1, 0.1)), source="journal", through=1)
    assert store.applied("journal") == 1
    store.apply(points(("H1/H1-B/fillingLevel", T0 + 2, 0.2)), source="journal", through=2)
    with monkeypatch.context() as patch:
        patch.setattr(store, "_replace", _full)
        with pytest.raises(UnavailableError, match="disk is full"):
            store.count()
    assert store.applied("journal") == 1  # whoever asks: the one that applies has not been told yet
    with pytest.raises(UnavailableError, match="ask how far it goes"):
        store.apply(points(("H1/H1-C/fillingLevel", T0 + 3, 0.3)), source="journal", through=3)
    assert store.applied("journal") == 1
    assert store.series() == ["H1/H1-A/fillingLevel"]
    for number, name in ((2, "B"), (3, "C")):
        store.apply(points((f"H1/H1-{name}/fillingLevel", T0 + number, 0.2)), source="journal", through=number)
    assert (store.count(), store.applied("journal")) == (3, 3)
    store.close()


def _full(*_: object) -> None:
    raise duckdb.IOException("disk is full")
