"""`tweeling backup`, `restore` and `migrate` as they are typed, and the pages that show them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support_fsck import install, sqlite
from support_servers import ROOT
from typer.main import get_command

from tweeling.cli.main import app

README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a stopped hub's in it, where commands are typed."""
    install(tmp_path / "tweeling-data")
    return tmp_path


def typed(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "COLUMNS": "200"}
    argv = [sys.executable, "-m", *line.split()]
    return subprocess.run(argv, cwd=place, env=environment, capture_output=True, text=True, check=False)


def lines(page: str, heading: str) -> list[str]:
    section = page.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```(?:sh|text)\n(.*?)```", section, re.DOTALL)
    return re.findall(r"tweeling (?:backup|restore|migrate) [^'\n]*", "".join(blocks))


def test_the_readmes_lines_work_as_they_stand(place: Path) -> None:
    shown = lines(README, "Keep it")
    assert [line.split()[1] for line in shown] == ["backup", "restore", "restore", "migrate"]
    for line in shown:
        done = typed(line, place)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    assert done.stdout == "nothing to migrate\n"
    assert (place / "restored" / "journal.db").exists()


@pytest.mark.parametrize("heading", ["Back up and restore", "Upgrade"])
def test_every_option_on_the_page_for_administrators_exists(heading: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]  # click's group
    shown = lines(OPERATIONS, heading)
    assert shown
    for line in shown:
        _, name, *rest = line.split()
        known = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_a_backup_is_an_archive_as_any_tool_lists_it(place: Path) -> None:
    if shutil.which("zstd") is None or shutil.which("tar") is None:
        pytest.skip("tar or zstd is not installed")
    assert typed("tweeling backup hub.tar.zst", place).returncode == 0
    listed = subprocess.run(
        ["tar", "--zstd", "-tf", "hub.tar.zst"], cwd=place, capture_output=True, text=True, check=True
    )
    assert listed.stdout.splitlines()[0] == "manifest.json"
    assert {"journal.db", "tweeling.toml"} <= set(listed.stdout.splitlines())


def test_what_was_made_is_told_to_people_and_to_programs(place: Path) -> None:
    told = typed("tweeling backup hub.tar.zst", place)
    assert re.fullmatch(
        r"hub\.tar\.zst: [\d.]+ [kM]B, 5 files of [\d.]+ [kM]B, journal through batch 13, "
        r"11 custody entries, of 2\S+Z\n",
        told.stdout,
    )
    answer = json.loads(typed("tweeling restore hub.tar.zst --verify --json", place).stdout)
    assert (answer["through"], answer["log_size"], answer["files"], answer["left_out"]) == (13, 11, 5, [])
    done = typed("tweeling restore hub.tar.zst --data there --json", place)
    assert json.loads(done.stdout)["ok"]
    assert "what was acknowledged after that moment is gone from this hub" in done.stderr
    assert "a checkpoint later than size 11 may have been public" in done.stderr
    renamed = typed("tweeling restore hub.tar.zst --data other --new-log hub.example/2", place)
    assert (renamed.returncode, "may have been public" in renamed.stdout) == (0, False)


def test_a_restored_hub_that_disagrees_ends_with_exit_code_3(place: Path) -> None:
    sqlite(place / "tweeling-data" / "records.db", "UPDATE movement SET net_g = net_g + 1 WHERE seq = 7")
    assert typed("tweeling backup hub.tar.zst", place).returncode == 0
    done = typed("tweeling restore hub.tar.zst --data there", place)
    assert done.returncode == 3
    assert "NOT OK  facts" in done.stdout


def test_mistakes_end_with_exit_code_2_and_their_remedy(place: Path) -> None:
    (place / "tweeling-data" / "secrets").mkdir()
    (place / "tweeling-data" / "secrets" / "key").write_text("hunter2")
    typed("tweeling backup hub.tar.zst", place)
    for line, text in {
        "tweeling backup hub.tar.zst": "exists already. Name a new file",
        "tweeling restore hub.tar.zst": "is not empty. Name an empty folder, or add --force",
        "tweeling restore nothing.tar.zst --data there": "no such file. Name what `tweeling backup` wrote",
        "tweeling backup x.tar.zst --data nowhere": "no such file",
        "tweeling migrate --data nowhere": "no such file",
    }.items():
        done = typed(line, place)
        assert (done.returncode, text in done.stderr) == (2, True), f"{line}: {done.stdout}{done.stderr}"
        assert "hunter2" not in done.stdout + done.stderr
