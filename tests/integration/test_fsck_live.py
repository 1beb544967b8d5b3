"""The auditor beside a hub that lives, and goes on taking readings meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Client, until
from support_fsck import found, fsck, points, sqlite
from support_ingest import message
from support_living import Living, living_hub

from tweeling.adapters.journal_audit import at_rest
from tweeling.errors import UnavailableError
from tweeling.wire.ack import Ack

SERIES = [f"H1-{number}/fillingLevel" for number in range(5)]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Living]:
    with living_hub(tmp_path) as hub:
        yield hub


def _publish(node: Client, seq: int) -> None:
    """Readings of now, and one of a moment that every message tells anew; a weighing."""
    records = [{"n": name, "v": seq / 1e6, "u": "/"} for name in SERIES]
    again = {"n": "H1-A/fillingLevel", "u": "/", "v": seq / 1e6, "t": 1_750_000_000 + seq % 7}
    weighing = {"n": "H1-A/scale", "u": "g", "v": seq, "mv_": "in", "mat": "wood"}
    node.published(*message({seq: [*records, again, weighing]}))


def test_a_hub_that_takes_readings_meanwhile_is_found_sound(hub: Living) -> None:
    hub.start()
    stop = threading.Event()
    sent = 0

    def send() -> None:
        nonlocal sent
        with Client(hub.broker, hub.broker.node("H1", "n1")) as node:
            node.subscribe("tweeling/v1/H1/n1/ack")
            while not stop.is_set():
                for seq in range(sent + 1, sent + 51):
                    _publish(node, seq)
                sent += 50
                while not any(last == sent for _, last in Ack.decode(node.receive()[1]).committed):
                    pass

    sender = threading.Thread(target=send)
    sender.start()
    try:
        until(lambda: sent > 100, "readings flow")
        for _ in range(3):
            code, checks = fsck(hub.folder)
            assert code == 0, [found(check) for check in checks.values()]
    finally:
        stop.set()
        sender.join()
    with hub.client() as client:
        until(lambda: client.status()["counts"]["movements"] == sent, "all is committed")
        until(lambda: client.status()["counts"]["batches_waiting"] == 0, "all is applied")
    hub.stop()
    code, checks = fsck(hub.folder)
    assert code == 0, [found(check) for check in checks.values()]
    assert f"{sent:,} weighings of" in checks["facts"]["detail"]
    assert f"{6 * sent:,} readings" in checks["journal totals"]["detail"]


def test_what_disagrees_is_named_by_a_running_hub_as_by_its_files(hub: Living) -> None:
    hub.start()
    with Client(hub.broker, hub.broker.node("H1", "n1")) as node, hub.client() as client:
        for seq in range(1, 21):
            _publish(node, seq)
        until(lambda: client.status()["counts"]["movements"] == 20, "all is committed")
    hub.stop()
    points(hub.folder, "UPDATE point SET value = 0.5 WHERE t = 1750000003000")
    points(hub.folder, "DELETE FROM point WHERE t = 1750000004000")
    sqlite(hub.folder / "records.db", "UPDATE movement SET net_g = net_g + 1 WHERE seq = 7")
    stopped = fsck(hub.folder)
    hub.start()
    running = fsck(hub.folder)
    hub.stop()
    for code, checks in (stopped, running):
        assert code == 3
        lines = found(checks["points"])
        assert any("1750000003000" in line and "0.5 of quality" in line for line in lines)
        assert any("1750000004000" in line and "no such point" in line for line in lines)
        assert any("net_g" in line and "7 / 8" in line for line in found(checks["facts"]))


def test_a_journal_that_is_held_by_what_does_not_answer_is_said(hub: Living) -> None:
    hub.start()
    with Client(hub.broker, hub.broker.node("H1", "n1")) as node, hub.client() as client:
        _publish(node, 1)
        until(lambda: client.status()["counts"]["movements"] == 1, "it is committed")
    text = hub.installation.config.read_text()
    hub.installation.config.write_text(text.replace(str(hub.port), "1"))
    with pytest.raises(UnavailableError, match=r"no hub answers at http://127\.0\.0\.1:1;"):
        fsck(hub.folder)


def test_a_hub_does_not_start_while_its_files_are_audited(hub: Living) -> None:
    hub.start()
    hub.stop()
    command = [sys.executable, "-m", "tweeling", "up", str(hub.installation.config)]
    with at_rest(hub.folder / "journal.db") as alone, at_rest(hub.folder / "journal.db") as too:
        assert (alone, too) == (True, True)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, "a service manager tries it again, when the audit has ended"
    assert "in use by another process: a backup or fsck, which ends soon" in done.stderr
