import ast
import re
from pathlib import Path

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
