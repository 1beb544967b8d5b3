import ast
import re
from pathlib import Path

import pytest
from support_rig_custody_kills import POINTS, deaths, plan

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text()
RIGGED = [path for path in (ROOT / "tests" / "fault").glob("test_*.py") if "from support_rig" in path.read_text()]


def _tests(path: Path) -> set[str]:
    names = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def test_every_test_on_the_page_of_faults_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    existing = set().union(*map(_tests, (ROOT / "tests" / "fault").glob("test_*.py")))
    assert named
    assert named <= existing, named - existing


def test_every_fault_that_is_tested_is_on_the_page() -> None:
    rigged = set().union(*map(_tests, RIGGED)) - {"test_a_rig_without_faults_passes_the_audit"}
    assert len(rigged) > 15
    assert not {name for name in rigged if f"`{name}`" not in PAGE}


@pytest.mark.parametrize(("seeds", "count"), [((201, 202), 50), ((203,), 30), ((2829,), 5)])
def test_a_hub_is_killed_as_often_as_the_page_says(seeds: tuple[int, ...], count: int) -> None:
    plans = [plan(seed, count, server=seed == 203) for seed in seeds]
    assert [deaths(kills, "hub") for kills in plans] == [count] * len(seeds)
    assert count < len(POINTS) or all({kill.point for kill in kills} == set(POINTS) for kills in plans)
