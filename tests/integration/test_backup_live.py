"""A backup of a hub that runs: the hub does its part for whom it should, and goes on."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from support_backup import contents, make
from support_broker import Client
from support_fsck import fsck
from support_ingest import message, reading, weighing
from support_living import living_hub
from support_store import T0

from tweeling import bootstrap
from tweeling.adapters.duckdb import DuckDBStore
from tweeling.cli.client import HubClient
from tweeling.cli.installation import MAINTAINER
from tweeling.domain.points import Points
from tweeling.errors import ConfigError, RejectedError, UnavailableError
from tweeling.wire.ack import Ack

ROWS = 2000


def _settle(node: Client, seq: int) -> None:
    node.published(*message({seq: [reading(seq / 100), weighing(seq)]}))
    while not any(last >= seq for _, last in Ack.decode(node.receive()[1]).committed):
        pass


def test_a_running_hub_is_backed_up_by_its_maintainer_and_goes_on(tmp_path: Path) -> None:
    with living_hub(tmp_path) as hub:
        hub.start()
        with Client(hub.broker, hub.broker.node("H1", "n1")) as node:
            node.subscribe("tweeling/v1/H1/n1/ack")
            _settle(node, 1)
            with HubClient(hub.folder) as reader, pytest.raises(RejectedError, match="role maintain"):
                reader.copy_points()
            with HubClient(hub.folder, bearer=MAINTAINER) as maintainer:
                made = make(hub.folder, tmp_path / "hub.tar.zst", ask=maintainer.copy_points)
            _settle(node, 2)
            bootstrap.restore(tmp_path / "hub.tar.zst", tmp_path / "there")
            with pytest.raises(ConfigError, match="a hub runs here"):
                bootstrap.restore(tmp_path / "hub.tar.zst", hub.folder, force=True)
            _settle(node, 3)
        assert fsck(tmp_path / "there")[0] == fsck(hub.folder)[0] == 0
        assert made.manifest.through == 1
        token = hub.installation.token(MAINTAINER).read_bytes()
        assert contents(tmp_path / "hub.tar.zst")["secrets/maintainer.token"] == token
        hub.stop()
        with pytest.raises(UnavailableError, match="no hub answers"), HubClient(hub.folder, bearer=MAINTAINER) as gone:
            gone.copy_points()


def test_a_copy_of_points_is_of_one_moment_however_many_come_meanwhile(tmp_path: Path) -> None:
    store = DuckDBStore(tmp_path / "points.duckdb", hold_s=0.01)
    stop, through = threading.Event(), 0

    def apply() -> None:
        nonlocal through
        zeros = np.zeros(ROWS)
        while not stop.is_set():
            through += 1
            times = T0 + through * ROWS + np.arange(ROWS)
            points = Points(("a/b/c",), zeros.astype("i4"), times, zeros + through, zeros.astype("u1"))
            store.apply(points, source="journal", through=through)

    writer = threading.Thread(target=apply)
    writer.start()
    try:
        seen = []
        for number in range(5):
            folder = tmp_path / str(number)
            folder.mkdir()
            store.copy_to(folder)
            copy = DuckDBStore(folder / "points.duckdb", read_only=True)
            assert copy.count() == copy.applied("journal") * ROWS
            seen.append(copy.applied("journal"))
            copy.close()
    finally:
        stop.set()
        writer.join()
    assert seen == sorted(set(seen)), "each of a later moment"
    assert store.count() == through * ROWS
    with pytest.raises(UnavailableError):
        store.copy_to(tmp_path / "absent")
    assert store.count() == through * ROWS
    store.close()
