from __future__ import annotations

from typing import Any, cast

import pytest

from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.adapters.mqtt import Status as Line
from tweeling.ports.timeseries import Kept
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


class _Downsampling(MemoryStore):
    """Five points, of which three become hourly values just after they were counted for the first time."""

    hourly = 0

    def count(self, _prefix: str = "") -> int:
        raw, self.hourly = 5 - self.hourly, 3
        return raw

    def kept(self) -> Kept:
        return Kept(0, self.hourly)


def test_points_that_become_hourly_values_while_they_are_counted_count_once() -> None:
    unasked = cast("Any", None)
    status = Status(
        subscriber=unasked,
        journal=unasked,
        projector=unasked,
        points=_Downsampling(),
        facts=MemoryFacts(),
        custody=unasked,
        anchoring=None,
        forecaster=unasked,
        disk=unasked,
    )
    assert status._stored() == {"readings_stored": 5}
