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

_HERE = Path(__file__).parent

settings.register_profile(
    "tweeling",
    deadline=None,  # shared machines are slow at times, and that is no failure
    derandomize=os.environ.get("CI") == "true",
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=100,
)
settings.load_profile("tweeling")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with the folder it lives in, and say which share a process: those of a file, those of the demo."""
    for item in items:
        place = item.path.relative_to(_HERE)
        item.add_marker(getattr(pytest.mark, place.parts[0]))
        item.add_marker(pytest.mark.xdist_group("demo" if _needs_demo(item) else str(place)))
        if place.parts[0] == "fault":
            item.add_marker(pytest.mark.alone)
    # The demo takes its share of the machine while it runs, so those who need it come last, together; but first where
    # others run beside them, for they take long.
    beside = hasattr(config, "workerinput")
    items.sort(key=lambda item: _needs_demo(item) != beside)


def _needs_demo(item: pytest.Item) -> bool:
    return "demo" in getattr(item, "fixturenames", ())


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
