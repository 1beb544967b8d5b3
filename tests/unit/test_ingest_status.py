from __future__ import annotations

from typing import Any, cast

import pytest

from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.adapters.mqtt import Status as Line
from tweeling.services.status import Status


@pytest.mark.parametrize(
    ("connected", "error", "ok"),
    [(True, "", True), (True, "journal: disk is full", False), (False, "no answer", False)],
)
def test_ingest_is_well_only_while_nothing_stands_in_its_way(connected: bool, error: str, ok: bool) -> None:
    unasked = cast("Any", None)
    status = Status(
        subscriber=lambda: Line(connected, 3, 4, 1, error),
        journal=MemoryJournal(),
        projector=unasked,
        points=unasked,
        facts=unasked,
        custody=unasked,
        anchoring=None,
        forecaster=unasked,
        disk=unasked,
    )
    part = status._ingest(Line(connected, 3, 4, 1, error))
    assert part.ok is ok
    assert error in part.detail
