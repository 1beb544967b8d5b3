"""Fault 6: a disk that is really full: the journal's, the time-series store's, a gateway's."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_broker import until
from support_rig import Node, Rig, fast_clock, rig, simulate
from support_rig_audit import audit, truth_of
from support_rig_disk import small_disk

NODES = [Node("H1", "gw1"), Node("H2", "gw1")]


def load(made: Rig) -> None:
    for number, edge in enumerate(made.edges):
        edge.write([simulate(seed=61 + number)], clock=fast_clock(50_000))
    made.start()
    until(lambda: made.progress() >= 500, "the installation works", seconds=60)


def _small(store: str, disk: Path) -> dict[str, Path]:
    """What of a rig lies on the small disk, so that it holds the time-series store."""
    return {"data": disk / "hub"} if store == "duckdb" else {"store_data": disk / "victoria"}


def acknowledged(made: Rig) -> int:
    return sum(edge.acknowledged() for edge in made.edges)


def test_a_full_disk_stops_commits_and_acknowledgements_and_costs_nothing(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 24) as disk,
        rig(tmp_path / "rig", broker="nats", nodes=NODES, data=disk.path / "hub") as made,
    ):
        load(made)
        disk.fill()
        made.hub.wait_line("journal.lost")
        committed, held = made.progress(), made.held()
        until(lambda: made.held() >= held + 1000, "the agents keep what nobody takes", seconds=60)
        assert made.progress() == committed
        assert acknowledged(made) <= committed
        disk.relieve()
        made.hub.wait_line("journal.back")
        made.finish()
        assert [made.hub.said(f"journal.{word}") for word in ("lost", "back")] == [1, 1]
        assert made.hub.said("claims.lost") <= 1
        audit(made, truth_of(made.edges))


@pytest.mark.parametrize("store", ["duckdb", pytest.param("victoriametrics", marks=pytest.mark.slow)])
def test_a_full_disk_under_the_store_delays_answers_and_no_acknowledgement(tmp_path: Path, store: str) -> None:
    with (
        small_disk(tmp_path / "disk", 40) as disk,
        rig(tmp_path / "rig", broker="mosquitto", nodes=NODES, store=store, **_small(store, disk.path)) as made,
    ):
        if store == "duckdb":  # journal and facts lie elsewhere
            for name in ("journal.db", "records.db"):
                (made.installation.folder / name).symlink_to(tmp_path / "rig" / name)
        load(made)
        disk.fill()
        made.hub.wait_line("store.lost")
        goal = made.progress() + 1000
        until(lambda: made.progress() >= goal, "readings are committed all the same", seconds=60)
        until(lambda: acknowledged(made) >= goal, "and acknowledged", seconds=60)
        disk.relieve()
        made.start()  # a server that gave up for want of room is started again, as a service manager would
        made.hub.wait_line("store.back")
        made.finish()
        assert made.hub.said("store.lost") == 1
        audit(made, truth_of(made.edges))


def test_a_full_disk_on_a_gateway_keeps_what_it_holds_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 8) as disk,
        rig(tmp_path / "rig", broker="nats", nodes=NODES[:1]) as made,
    ):
        (edge,) = made.edges
        edge.write([simulate(seed=69)], clock=fast_clock(50_000), outbox={"path": str(disk.path / "outbox")})
        made.start()
        until(lambda: made.progress() >= 500, "the installation works", seconds=60)
        made.hub.kill()  # so that nothing is settled, and the outbox must grow
        disk.fill()
        edge.program.wait_line("driver.lost")
        kept = edge.durable()
        made.start()
        until(lambda: made.progress() >= kept, "what the full outbox holds arrives", seconds=60)
        disk.relieve()
        edge.program.wait_line("driver.back")
        made.finish()
        assert edge.program.said("driver.lost") == 1
        audit(made, truth_of(made.edges))
