import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from tweeling.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("edge/*.md"), *ROOT.glob("dashboards/*.md")])
README = (ROOT / "README.md").read_text()


def _blocks(text: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_in_the_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_target_the_readme_names_exists() -> None:
    targets = [line.split()[1] for line in _blocks(README) if line.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_every_command_the_readme_shows_has_its_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]  # click's group
    for line in _blocks(README):
        if not line.startswith("tweeling "):
            continue
        _, name, *rest = line.split()
        command = commands[name]
        if rest and not rest[0].startswith("-") and hasattr(command, "commands"):
            command = command.commands[rest[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        if name == "replay":
            helped = subprocess.run(
                [sys.executable, "-m", "tweeling_edge", "replay", "--help"], capture_output=True, text=True, check=True
            ).stdout
            known |= set(re.findall(r"--[a-z-]+", helped))
        assert {word for word in rest if word.startswith("--")} <= known, line


def test_every_command_is_in_the_readme_or_hidden() -> None:
    shown = {line.split()[1] for line in _blocks(README) if line.startswith("tweeling ")} | {"up"}
    commands = get_command(app).commands  # type: ignore[attr-defined]  # click's group
    assert {name for name, command in commands.items() if not command.hidden} <= shown | {"demo"}


def test_no_file_names_a_registry_or_a_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    pattern = re.compile(rb"registry\.npmjs|pypi\.org|files\.pythonhosted|index-url|crates\.io|/(?:root|work)/")
    for name in tracked:
        path = ROOT / name
        if path.is_file() and name != "tests/meta/test_docs.py":
            assert not pattern.search(path.read_bytes()), name
