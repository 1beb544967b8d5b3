"""Every adapter of a port, as its suites ask for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tweeling.adapters.intake import Keep
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.ports.journal import Journal


@pytest.fixture(params=["sqlite", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Keep], Journal]]:
    with ExitStack() as opened:

        def made(keep: Keep) -> Journal:
            path = tmp_path / "journal.sqlite"
            return opened.enter_context(
                closing(MemoryJournal(keep=keep) if request.param == "memory" else SqliteJournal(path, keep=keep))
            )

        yield made
