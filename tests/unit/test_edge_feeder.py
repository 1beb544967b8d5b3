"""What one driver does wrong is its own affair; what the outbox does wrong is the agent's."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support_broker import until

from tweeling.errors import InvariantError, RejectedError
from tweeling.wire.senml import Resolved
from tweeling_edge import check, feeder
from tweeling_edge.clock import system_ms
from tweeling_edge.drivers import Batch, Look
from tweeling_edge.feeder import DriverEnded, Feeder
from tweeling_edge.notices import Failed
from tweeling_edge.outbox import Outbox

BATCH = Batch(((Resolved("a/level", 1_790_000_000_000, 1, "", None),),))


class Scripted:
    """Raises what its script says, one after the other, and then has one batch."""

    name = "scripted"

    def __init__(self, *script: Exception) -> None:
        self._script = list(script)

    def batches(self, cursor: str | None, stop: threading.Event) -> Iterator[Batch]:  # noqa: ARG002 -- as every driver
        if self._script:
            raise self._script.pop(0)
        yield BATCH

    def look(self) -> Iterator[Look]:
        yield Look("a/level", "1", 1)
        raise self._script.pop(0)


@pytest.fixture
def fed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Scripted], list[Failed | DriverEnded]]]:
    monkeypatch.setattr(feeder, "_RETRY_S", (0.01, 0.02))
    outbox = Outbox(tmp_path / "o.sqlite3", now_ms=system_ms, new_epoch=lambda: "00")

    def feed(driver: Scripted) -> list[Failed | DriverEnded]:
        told: list[Failed | DriverEnded] = []
        feeding = Feeder(driver, outbox, backlog=9, stop=threading.Event(), tell=told.append)
        feeding.start()
        until(lambda: any(isinstance(each, DriverEnded) for each in told), "its end")
        feeding.join()
        return told

    try:
        yield feed
    finally:
        outbox.close()


def test_a_driver_that_raises_the_unexpected_is_told_once_and_asked_again(
    fed: Callable[[Scripted], list[Failed | DriverEnded]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tweeling_edge")
    told = fed(Scripted(ValueError("what a library says"), NotImplementedError(), RejectedError("no")))
    assert [type(each) for each in told] == [DriverEnded], "the agent goes on"
    assert [record.message for record in caplog.records] == ["driver.broken", "driver.back", "driver.finished"]
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ValueError


def test_a_driver_that_refuses_is_lost_not_broken(
    fed: Callable[[Scripted], list[Failed | DriverEnded]], caplog: pytest.LogCaptureFixture
) -> None:
    told = fed(Scripted(RejectedError("cannot be read")))
    assert [type(each) for each in told] == [DriverEnded]
    first = caplog.records[0]
    assert (first.message, first.__dict__["reason"], first.exc_info) == ("driver.lost", "cannot be read", None)


def test_an_outbox_that_breaks_ends_the_agent(
    fed: Callable[[Scripted], list[Failed | DriverEnded]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise InvariantError("outbox: damaged")

    monkeypatch.setattr(Outbox, "put_many", damaged)
    assert fed(Scripted())[0] == Failed("outbox: damaged")


def test_a_check_names_a_driver_that_is_broken_beside_what_it_said() -> None:
    good, broken = check._looked(Scripted(NotImplementedError("not on this port")))
    assert good.ok
    assert broken.look.wrong == "the driver is broken: NotImplementedError('not on this port')"
    assert "report it" in broken.look.remedy
