from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tweeling_edge import config

EDGE = Path(__file__).resolve().parents[2] / "edge"
HEAVY = {"numpy", "pandas", "web3", "dash", "sqlalchemy", "duckdb", "pyarrow", "plotly", "fastapi"}
MODULES = sorted(
    ".".join(path.relative_to(EDGE).with_suffix("").parts).removesuffix(".__init__")
    for path in (EDGE / "tweeling_edge").rglob("*.py")
)


def test_importing_the_whole_agent_loads_nothing_heavy() -> None:
    program = f"import json, sys, {', '.join(MODULES)}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not HEAVY & {name.split(".")[0] for name in json.loads(done.stdout)}


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
    assert {driver.kind for driver in loaded.drivers} == {"replay", "simulate"}
    assert loaded.clock is not None
    assert loaded.broker.tls is not None


def _is_setting(line: str) -> bool:
    body = line.removeprefix("# ")
    return body.startswith("[") or body.split(" ")[1:2] == ["="]


@pytest.mark.parametrize("command", ["run", "status", "replay", "bench"])
def test_readme_shows_every_command(command: str) -> None:
    assert f"tweeling-edge {command} " in (EDGE / "README.md").read_text()
