"""What holds for every test: the folder is the marker, and hypothesis runs the same everywhere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support_demo import RunningDemo, running_demo
from support_postgres import Postgres, postgres
from support_servers import need
from xdist.scheduler import LoadScopeScheduling

_HERE = Path(__file__).parent
_OF_THE_DEMO = {"test_demo_live.py", "test_demo_run.py", "test_readme.py"}
_TIMED = {
    "test_clock_jumps.py",
    "test_edge_disk.py",
    "test_edge_line.py",
    "test_flood.py",
    "test_outage.py",
    "test_slow_hub.py",
}

settings.register_profile(
    "tweeling",
    deadline=None,  # shared machines are slow at times, and that is no failure
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=100,
)
settings.load_profile("tweeling")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the folder it lives in."""
    for item in items:
        folder = item.path.relative_to(_HERE).parts[0]
        item.add_marker(getattr(pytest.mark, folder))
        if item.path.name in _TIMED:
            item.add_marker(pytest.mark.alone)
    # The demo takes its share of the machine while it runs, so those who need it come last, together; but first where
    # other files run beside them, for no other takes as long.
    beside = "PYTEST_XDIST_WORKER" in os.environ
    items.sort(key=lambda item: (item.path.name in _OF_THE_DEMO) != beside)


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """The tests of a file run in one process, and the files that share the demo in the same one."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0].rsplit("/", 1)[-1]
        return "demo" if file in _OF_THE_DEMO else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _ByFile:
    """Say which tests run beside which."""
    return _ByFile(config, log)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """One demo for every test that only looks at it."""
    need("anvil")
    with running_demo(tmp_path_factory.mktemp("demo") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def database_server() -> Iterator[Postgres]:
    """One PostgreSQL for every test that leaves it running."""
    with postgres() as server:
        yield server
