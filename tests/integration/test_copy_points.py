"""An installation moves to another store, and its auditor finds everything there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support_fsck import found, fsck, install
from support_store import HOUR, T0, influxdb, points, victoria_metrics

from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.cli.main import app
from tweeling.errors import ConfigError
from tweeling.services.copying import Copied, copy


def _move(folder: Path, settings: str) -> None:
    old = folder / "tweeling-old.toml"
    if not old.exists():
        shutil.copy(folder / "tweeling.toml", old)
    (folder / "tweeling.toml").write_text(settings)
    app(["copy-points", "--from", str(old), "--data", str(folder)], standalone_mode=False)


def test_an_installation_moves_to_a_server_and_nothing_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(tmp_path / "hub")
    with victoria_metrics(tmp_path) as url:
        for said in ("43 points copied, 0 were there already", "0 points copied, 43 were there already"):
            _move(tmp_path / "hub", f'[store]\nkind = "victoriametrics"\nurl = "{url}"\n')
            assert said in capsys.readouterr().out
        (tmp_path / "hub" / "points.duckdb").unlink()
        code, checks = fsck(tmp_path / "hub")
        assert code == 0, [found(check) for check in checks.values()]
        assert "43 points compared, through batch 13 of 13" in checks["points"]["detail"]


def test_an_installation_moves_back_from_a_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with victoria_metrics(tmp_path) as url:
        install(tmp_path / "hub", f'[store]\nkind = "victoriametrics"\nurl = "{url}"\n')
        _move(tmp_path / "hub", "")
        assert "43 points copied" in capsys.readouterr().out
    code, checks = fsck(tmp_path / "hub")
    assert code == 0, [found(check) for check in checks.values()]


def test_an_installation_moves_to_influxdb(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "hub")
    with influxdb() as access:
        monkeypatch.setenv("TWEELING_STORE__INFLUXDB__TOKEN", access.token)
        where = f'[store.influxdb]\norg = "{access.org}"\nbucket = "{access.bucket}"\n'
        _move(tmp_path / "hub", f'[store]\nkind = "influxdb"\nurl = "{access.url}"\nraw_days = 0\n{where}')
        assert "43 points copied" in capsys.readouterr().out
        code, checks = fsck(tmp_path / "hub")
        assert code == 0, [found(check) for check in checks.values()]


def test_the_same_store_twice_is_a_mistake(tmp_path: Path) -> None:
    install(tmp_path / "hub")
    with pytest.raises(ConfigError, match="the same store"):
        _move(tmp_path / "hub", "")


def test_a_folder_without_a_journal_is_a_mistake_and_gets_none(tmp_path: Path) -> None:
    (tmp_path / "tweeling.toml").write_text("")
    with pytest.raises(ConfigError, match="no journal here"):
        _move(tmp_path, '[store]\nkind = "victoriametrics"\n')
    assert not (tmp_path / "journal.db").exists()


def test_a_hub_that_runs_keeps_its_points_where_they_are(tmp_path: Path) -> None:
    install(tmp_path / "hub")
    journal = SqliteJournal(tmp_path / "hub" / "journal.db")
    try:
        with pytest.raises(ConfigError, match="Stop it first"):
            _move(tmp_path / "hub", '[store]\nkind = "victoriametrics"\n')
    finally:
        journal.close()


def test_what_the_other_store_has_already_stands() -> None:
    source, target, journal = MemoryStore(), MemoryStore(), MemoryJournal()
    rows = [("H1/a/x", T0 + n * 97 * HOUR, n / 8, n % 3) for n in range(40)]
    source.apply(points(*rows, ("H2/b/x", T0, 1.0)), source=f"journal:{journal.id}", through=9)
    target.apply(points(("H1/a/x", T0 + 97 * HOUR, 99.0)), source="elsewhere", through=1)
    assert copy(source, target, journal) == Copied(40, 1)
    assert target.applied(f"journal:{journal.id}") == 9
    kept = target.raw("H1/a/x", start_ms=0, end_ms=T0 * 2).rows()
    assert [row.value for row in kept] == [0.0, 99.0, *(n / 8 for n in range(2, 40))]
    assert [row.quality for row in kept[2:]] == [n % 3 for n in range(2, 40)]
    assert copy(source, target, journal) == Copied(0, 41)
