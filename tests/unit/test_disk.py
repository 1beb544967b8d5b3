from __future__ import annotations

from pathlib import Path

from tweeling.adapters.disk import usage


def test_a_file_of_two_names_takes_its_room_once(tmp_path: Path) -> None:
    (tmp_path / "sealed").write_bytes(bytes(range(256)) * 4096)
    before = usage(tmp_path).used
    assert before >= 1 << 20
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "sealed").hardlink_to(tmp_path / "sealed")
    assert usage(tmp_path).used == before
