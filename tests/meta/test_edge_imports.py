from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from tweeling_edge import config
from tweeling_edge.drivers import registry

EDGE = Path(__file__).resolve().parents[2] / "edge"
BASE = {
    *("cbor2", "_cbor2", "paho", "pydantic"),  # what pyproject.toml asks for, and what these bring along
    *("annotated_types", "pydantic_core", "typing_extensions", "typing_inspection"),
}
MODULES = sorted(
    ".".join(path.relative_to(EDGE).with_suffix("").parts).removesuffix(".__init__")
    for path in (EDGE / "tweeling_edge").rglob("*.py")
)


def test_importing_the_whole_agent_loads_the_base_install_only() -> None:
    before = "import json, sys; before = set(sys.modules)"  # what a .pth file of this environment loads
    program = f"{before}; import {', '.join(MODULES)}; print(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout) if not name.startswith("_sysconfigdata")}
    loaded -= sys.stdlib_module_names
    assert loaded <= {*BASE, "tweeling", "tweeling_edge"}
    assert {"paho", "pydantic", "tweeling_edge"} <= loaded


def test_help_needs_neither_broker_nor_database() -> None:
    program = (
        "import sys, tweeling_edge.__main__ as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: print('loaded:', 'paho' in sys.modules, 'tweeling.simulation' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: False False\n")


def test_the_example_configuration_loads() -> None:
    loaded = config.load(EDGE / "edge.example.toml")
    assert loaded.outbox.path == EDGE / "outbox.sqlite3"
    assert [driver.kind for driver in loaded.drivers] == ["simulate"]


def test_every_commented_part_of_the_example_is_a_setting_too(tmp_path: Path) -> None:
    lines = (EDGE / "edge.example.toml").read_text().splitlines()
    settings = [line.removeprefix("# ") for line in lines if not line.startswith("# ") or _is_setting(line)]
    path = tmp_path / "edge.toml"
    path.write_text("\n".join(settings))
    loaded = config.load(path)
    assert {driver.kind for driver in loaded.drivers} == set(registry.kinds())
    assert loaded.clock is not None
    assert loaded.broker.tls is not None


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_setting_of_every_driver_is_in_the_example(kind: str) -> None:
    text = (EDGE / "edge.example.toml").read_text()
    for name in _settings(registry.find(kind).Settings):
        assert re.search(rf"\b{name}\b *=|^#? *\[+drivers\.([a-z]+\.)*{name}\]", text, re.MULTILINE), name


def _settings(model: type[BaseModel]) -> set[str]:
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                names |= _settings(part)
    return names


def _is_setting(line: str) -> bool:
    body = line.removeprefix("# ")
    return body.startswith("[") or body.split(" ")[1:2] == ["="]


def test_the_base_install_is_what_the_project_says() -> None:
    project = tomllib.loads((EDGE.parent / "pyproject.toml").read_text())["project"]
    asked = {requirement.split(">")[0].replace("-mqtt", "") for requirement in project["dependencies"]}
    assert asked <= BASE


@pytest.mark.parametrize("drop_in", [False, True])
def test_the_systemd_unit_is_one_with_and_without_serial_ports(drop_in: bool, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "tweeling-edge.service"
    shutil.copy(EDGE / unit.name, unit)
    if drop_in:
        (tmp_path / f"{unit.name}.d").mkdir()
        shutil.copy(EDGE / "tweeling-edge-serial.conf", tmp_path / f"{unit.name}.d" / "serial.conf")
    done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
    complaints = [
        line for line in done.stderr.splitlines() if str(tmp_path) in line and "is not executable" not in line
    ]
    assert complaints == []


@pytest.mark.parametrize("command", ["run", "check", "status", "replay", "bench"])
def test_readme_shows_every_command(command: str) -> None:
    assert f"tweeling-edge {command} " in (EDGE / "README.md").read_text()
