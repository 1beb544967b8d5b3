"""A backup amid a flood, killed, or on a full disk; a restore killed, or on a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support_backup import make
from support_broker import until
from support_fsck import found, fsck, install
from support_rig import START_MS, Node, rig
from support_rig_disk import small_disk
from support_rig_program import Program

from tweeling import bootstrap
from tweeling.adapters.copies import journal_copy
from tweeling.errors import ConfigError, UnavailableError

TESTS = Path(__file__).parents[1]
NODE = Node("H1", "gw1")
COUNT = 120_000


def tweeling(*arguments: object) -> dict[str, Any]:
    """What a command says in JSON."""
    command = [sys.executable, "-m", "tweeling", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_backups_amid_a_flood_are_whole_though_the_journal_forgets_at_once(tmp_path: Path) -> None:
    hub = [sys.executable, TESTS / "support_rig_forgetful_hub.py"]
    with rig(tmp_path / "rig", broker="nats", nodes=[NODE], agents=False, hub=hub) as made:
        made.start()
        made.hub.wait_line("broker.connected")
        order = tmp_path / "order.json"
        order.write_text(
            json.dumps(
                made.order(NODE, what="flood", count=COUNT, per_s=5000, begin_ms=START_MS, epoch="00000000000000f1")
            )
        )
        argv = [sys.executable, TESTS / "support_rig_sender.py", order]
        with Program("flood", argv, ready='"sent"', log=tmp_path / "flood.log") as flood:
            flood.start(wait=False)
            until(lambda: made.committed() > 2000, "readings flow", seconds=60)
            through = []
            for number in range(3):
                before = made.committed("batches")
                told = tweeling("backup", tmp_path / f"{number}.tar.zst", "--data", made.installation.folder)
                assert before <= told["through"] <= made.committed("batches")
                through.append(told["through"])
            assert through[0] < through[1] < through[2], "the hub took readings in meanwhile"
            flood.wait_line('"sent"', seconds=120)
            until(lambda: made.committed() == COUNT, "all is committed", seconds=120)
            assert flood.terminate() == 0
        made.await_projected()
        assert tweeling("fsck", "--data", made.installation.folder)["running"]
    for number, last in enumerate(through):
        folder = tmp_path / str(number)
        assert tweeling("restore", tmp_path / f"{number}.tar.zst", "--data", folder)["ok"]
        kept = journal_copy(folder / "journal.db")
        assert (kept.last, kept.trimmed > 0) == (last, True)


_KILLED = """
import os, sys
from tweeling.cli.main import run
left = int(sys.argv.pop(1))
def kill(event, args):
    global left
    if event in ("sqlite3.connect", "os.rename", "os.mkdir", "shutil.copyfile", "fcntl.flock", "shutil.rmtree"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
sys.addaudithook(kill)
sys.exit(run())
"""


def killed(at: int, *arguments: object) -> int:
    """How a command ends that is killed at its step number `at`."""
    command = [sys.executable, "-c", _KILLED, str(at), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in {0, -9}, done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "hub"
    install(folder)
    (folder / "secrets").mkdir()
    (folder / "secrets" / "key").write_text("a key")
    return folder


def sound(folder: Path) -> None:
    code, checks = fsck(folder)
    assert code == 0, [found(check) for check in checks.values()]


def test_a_backup_that_is_killed_leaves_no_half_file_under_its_name(hub: Path, tmp_path: Path) -> None:
    kills = 0
    for at in (2, 6, 8, 10, 11, 12):
        target = tmp_path / f"{at}.tar.zst"
        if killed(at, "backup", target, "--data", hub) == -9:
            kills += 1
        if target.exists():
            bootstrap.verify_backup(target)
    assert kills >= 4
    make(hub, tmp_path / "last.tar.zst")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    sound(hub)


def test_a_restore_that_is_killed_leaves_nothing_that_a_hub_would_start_on(hub: Path, tmp_path: Path) -> None:
    backup = tmp_path / "hub.tar.zst"
    make(hub, backup)
    kills = 0
    for at in range(2, 12, 2):
        there = tmp_path / f"there-{at}"
        if killed(at, "restore", backup, "--data", there) == -9:
            kills += 1
            if (there / "tweeling.toml").exists():
                sound(there)
        bootstrap.restore(backup, there, force=True)
        sound(there)
    assert kills >= 4


def test_a_restore_over_a_hub_that_is_killed_keeps_what_was_there(hub: Path, tmp_path: Path) -> None:
    backup, there = tmp_path / "hub.tar.zst", tmp_path / "there"
    make(hub, backup)
    bootstrap.restore(backup, there)
    (there / "letter").write_text("mine")
    for at in range(6, 16, 2):
        killed(at, "restore", backup, "--data", there, "--force")
        letters = [path.read_text() for path in there.rglob("letter")]
        assert letters == ["mine"]
        if (there / "tweeling.toml").exists():
            sound(there)
    bootstrap.restore(backup, there, force=True)
    sound(there)


@pytest.mark.parametrize("left_kb", [0, 40, 120, 200])
def test_a_full_disk_under_a_backup_is_told_and_leaves_nothing_behind(hub: Path, tmp_path: Path, left_kb: int) -> None:
    with small_disk(tmp_path / "disk", 1) as disk:
        (disk.path / "ballast").write_bytes(bytes(disk.free() - 1024 * left_kb))
        with pytest.raises(UnavailableError, match=r"hub\.tar\.zst.*(full|No space left|bytes are free)"):
            make(hub, disk.path / "hub.tar.zst")
        assert [path.name for path in disk.path.iterdir()] == ["ballast"]
    make(hub, tmp_path / "hub.tar.zst")


def test_a_full_disk_under_a_restore_is_told_and_leaves_nothing_behind(hub: Path, tmp_path: Path) -> None:
    make(hub, tmp_path / "hub.tar.zst")
    with small_disk(tmp_path / "disk", 4) as disk:
        disk.fill()
        with pytest.raises(ConfigError, match=r"do not fit, \d+ are free\. Name a folder on another disk"):
            bootstrap.restore(tmp_path / "hub.tar.zst", disk.path / "hub")
        assert [path.name for path in disk.path.iterdir()] == ["ballast"]


def test_a_full_disk_under_a_hub_fails_the_backup_and_not_the_hub(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 40) as disk,
        rig(tmp_path / "rig", broker="nats", nodes=[NODE], agents=False, data=disk.path / "hub") as made,
    ):
        made.start()
        made.hub.wait_line("broker.connected")
        disk.fill()
        command = [sys.executable, "-m", "tweeling", "backup", tmp_path / "x.tar.zst", "--data", disk.path / "hub"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "No space left" in done.stderr
        disk.relieve()
        assert tweeling("backup", tmp_path / "y.tar.zst", "--data", disk.path / "hub")["through"] == 0
        assert not (tmp_path / "x.tar.zst").exists()
        assert made.hub.terminate() == 0
