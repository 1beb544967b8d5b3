"""The driver that the page on drivers shows, installed as another package would be, in a real agent."""

from __future__ import annotations

import importlib
import re
from contextlib import closing
from pathlib import Path

import pytest
from support_broker import until
from support_edge import Process, write_config
from support_servers import ROOT

from tweeling_edge.outbox_file import look
from tweeling_edge.sample import from_body

PAGE = (ROOT / "docs" / "drivers.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(ENTRY,) = re.findall(r"^(one-wire = .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's package, where Python finds packages."""
    site = tmp_path / "site"
    info = site / "one_wire-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "one_wire.py").write_text(CODE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: one-wire\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[tweeling.drivers]\n{ENTRY.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(site), str(ROOT), str(ROOT / "edge")]))
    return site


@pytest.mark.usefixtures("installed")
def test_it_is_forty_lines_and_its_own_test_passes(tmp_path: Path) -> None:
    assert sum(bool(line.strip()) for line in CODE.splitlines()) <= 40
    module = importlib.import_module("one_wire")
    (test,) = (each for name, each in vars(module).items() if name.startswith("test_"))
    test(tmp_path)


@pytest.mark.usefixtures("installed")
def test_an_agent_reads_it_and_tells_what_is_gone_and_back(tmp_path: Path) -> None:
    devices = tmp_path / "devices"
    for number in "ab":
        (devices / f"28-00000000000{number}").mkdir(parents=True)
    here, gone = (devices / f"28-00000000000{number}" / "temperature" for number in "ab")
    here.write_text("21500\n")
    readings = "".join(
        f'[[drivers.readings]]\nname = "H1/{number}"\ndevice = "28-00000000000{number}"\nscale = 0.001\nunit = "Cel"\n'
        for number in "ab"
    )
    drivers = f'[[drivers]]\nkind = "one-wire"\nfolder = "{devices}"\nevery_s = 0.05\n{readings}'
    config = write_config(tmp_path, broker=None, extra=drivers)
    with Process("check", config, "--no-broker") as check:
        assert check.wait() == 1
    assert "H1/a  21500  → 21.5 Cel  now" in check.out
    assert "WRONG  H1/b: No such file or directory" in check.out
    with Process("run", config) as agent:
        assert "sensor=H1/b" in agent.wait_line("sensor.lost").replace(chr(34), "")
        gone.write_text("-1250\n")
        agent.wait_line("sensor.back")
        until(lambda: ("H1/b", -1.25) in kept(tmp_path), "the one that came back")
        assert agent.terminate() == 0
    assert ("H1/a", 21.5) in kept(tmp_path)
    assert sum("sensor.lost" in line for line in agent.lines) == 1


def kept(folder: Path) -> set[tuple[str, float]]:
    with closing(look(folder / "outbox.sqlite3")) as database:
        samples = [from_body(body)[0] for (body,) in database.execute("SELECT body FROM reading")]
    return {(sample.name, sample.value) for sample in samples}


def test_a_package_that_lacks_what_it_needs_is_named_and_stops_nobody_else(tmp_path: Path, installed: Path) -> None:
    (installed / "one_wire.py").write_text("import no_such_library\n")
    other = tmp_path / "rows.csv"
    other.write_text("sensor,time,value\na,1700000000,1\n")
    replay = f'[[drivers]]\nkind = "replay"\nfile = "{other}"\n'
    with Process("check", write_config(tmp_path, broker=None, extra=replay), "--no-broker") as check:
        assert check.wait() == 0
    config = write_config(tmp_path, broker=None, extra=replay + '[[drivers]]\nkind = "one-wire"\n')
    with Process("check", config, "--no-broker") as check:
        assert check.wait() == 2
    assert any(
        "drivers[1].kind: driver 'one-wire' cannot be loaded from one_wire:OneWire" in line for line in check.lines
    )


@pytest.mark.usefixtures("installed")
def test_its_settings_are_checked_like_ours(tmp_path: Path) -> None:
    drivers = '[[drivers]]\nkind = "one-wire"\n[[drivers.readings]]\nname = "H1/a"\ndevice = "21"\n'
    with Process("check", write_config(tmp_path, broker=None, extra=drivers), "--no-broker") as check:
        assert check.wait() == 2
    assert any("drivers[0].readings[0].device" in line and "such as 28-0316a2794eff" in line for line in check.lines)
