import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "tweeling" / "cli" / "tweeling-hub.service"
PAGE = ROOT / "docs" / "operations.md"
EDGE = ROOT / "edge" / "tweeling-edge.service"
_NOT_FOR_A_HUB = {
    "PrivateUsers",  # its user is to be the one that owns its files outside, too
    "ProcSubset",  # DuckDB asks /proc/meminfo how much it may take
    "MemoryDenyWriteExecute",  # ctypes and cffi make trampolines
}


def _settings(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE))


def test_the_systemd_unit_is_one() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    done = subprocess.run([analyze, "verify", "--man=no", str(UNIT)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line and "is not executable" not in line]
    assert complaints == []


def test_a_hub_is_confined_as_an_agent_is_but_for_what_it_needs() -> None:
    hub, edge = _settings(UNIT), _settings(EDGE)
    confining = re.compile(
        r"^(Protect|Private|Restrict|Lock|Remove|NoNew|Capability|Ambient|SystemCall|Memory\w*Exec|Proc)"
    )
    wanted = {name: value for name, value in edge.items() if confining.match(name) and name not in _NOT_FOR_A_HUB}
    assert len(wanted) > 15
    assert {name: hub.get(name) for name in wanted} == wanted
    assert hub["KillMode"] == "mixed"
    assert hub["RestartPreventExitStatus"] == "2"


def test_the_nightly_backup_finds_its_program_and_keeps_no_hub_from_starting() -> None:
    unit = PAGE.read_text().split("tweeling-backup.service\n", 1)[1].split("\n# ", 1)[0]
    program = _settings(UNIT)["ExecStart"].split()[0]
    assert f"{program} backup " in unit
    assert "After=tweeling-hub.service" in unit
