"""The README's own lines, typed as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support_broker import Server
from support_demo import ANY_PORT, RunningDemo
from support_servers import ROOT, free_port, need

README = (ROOT / "README.md").read_text()


def _block(heading: str) -> list[str]:
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[0].splitlines()


@pytest.mark.timeout(300)
def test_its_lines_for_a_running_demo_work_as_they_stand(tmp_path: Path, demo: RunningDemo) -> None:
    (tmp_path / "tweeling-data").symlink_to(demo.folder)
    lines = _block("Try it")
    assert lines.pop(0) == "source .venv/bin/activate"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TWEELING_TRUST": str(tmp_path / "trusted"),
    }
    for line in lines:
        done = subprocess.run(
            line.split(), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    assert "valid as of size" in done.stdout


def test_its_lines_for_an_installation_of_ones_own_work_as_they_stand(tmp_path: Path) -> None:
    lines = _block("An installation of your own")
    assert lines[-1].startswith("tweeling up ")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{f"TWEELING_{table}__HOST": "127.0.0.1" for table in ("BROKER", "HTTP")},
        **{f"TWEELING_{table}__PORT": str(free_port()) for table in ("BROKER", "HTTP")},
    }
    for line in lines[:-1]:
        subprocess.run(line.split(), cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60)
    server = Server(lines[-1].split(), ready="hub.ready", cwd=tmp_path, environment=environment)
    server.start()
    server.stop()
    assert "hub.stopped" in server.lines[-1]


@pytest.mark.timeout(300)
def test_make_demo_runs_the_product(tmp_path: Path) -> None:
    need("anvil")
    if shutil.which("make") is None or not (ROOT / ".venv" / ".hub").exists():
        pytest.skip("this environment was not made by make")
    arguments = " ".join(["--headless", "--for", "12s", "--json", "--data", str(tmp_path / "data"), *ANY_PORT])
    assert "make demo" in _block("Two commands")
    done = subprocess.run(
        ["make", "demo", f"ARGS={arguments}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"ok": true' in done.stdout
