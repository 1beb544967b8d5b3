"""What works on a hub's files does so as the user whose they are, or leaves nothing of another's there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support_backup import make
from support_fsck import install
from typer.testing import CliRunner

from tweeling.cli.main import app
from tweeling.errors import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path / "hub")
    make(tmp_path / "hub", tmp_path / "hub.tar.zst")
    (tmp_path / "old.toml").write_text("")
    (tmp_path / "records.db").touch()
    return tmp_path / "hub"


@pytest.mark.parametrize(
    "line",
    [
        "up --data {hub}",
        "fsck --data {hub}",
        "backup {place}/other.tar.zst --data {hub}",
        "restore {place}/hub.tar.zst --data {hub} --force",
        "copy-points --from {place}/old.toml --data {hub}",
        "records import {place}/records.db --data {hub}",
        "quarantine list --data {hub}",
        "migrate --data {hub}",
    ],
)
def test_another_user_is_sent_to_the_right_one_and_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    done = CliRunner().invoke(app, line.format(hub=folder, place=folder.parent).split())
    assert isinstance(done.exception, ConfigError), done.output
    assert "belongs to the user" in str(done.exception)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix != ".lock"} == {
        path: at for path, at in before.items() if path.suffix != ".lock"
    }


def test_root_makes_no_folder_of_its_own_in_another_users(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    theirs = folder.parent / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)
    line = f"restore {folder.parent}/hub.tar.zst --data {theirs}/new/hub"
    done = CliRunner().invoke(app, line.split())
    assert isinstance(done.exception, ConfigError)
    assert list(theirs.iterdir()) == []
