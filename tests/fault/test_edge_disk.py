"""A disk that is really full: old readings go, weighings stay, and the agent goes on when there is room again."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_broker import mosquitto_broker, until
from support_edge import Hub, Process, write_config, write_csv

from tweeling.simulation import Load, Simulator
from tweeling.wire.ranges import SeqSet
from tweeling_edge.clock import system_ms

HOUR_MS = 3_600_000
STORY_MS = 1_700_000_000_000
MORNING_MS = 1_790_054_000_000
MB = 1 << 20


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own in memory; only root can make one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can make a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path, *, leave: int) -> None:
    """Take all room of a disk but so many bytes."""
    disk = os.statvfs(path.parent)
    with path.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, disk.f_bavail * disk.f_frsize - leave)


def test_a_full_disk_thins_readings_keeps_weighings_and_heals(tmp_path: Path) -> None:
    story = (
        f'[[drivers]]\nkind = "simulate"\nstart_ms = {STORY_MS}\nfrom_ms = {MORNING_MS}\ntick_s = 0.05\nevery_s = 20\n'
    )
    clock = f"[clock]\norigin_sim_ms = {MORNING_MS}\norigin_real_ms = {system_ms()}\nspeed = 20000\n"
    with small_disk(tmp_path / "disk", 48) as disk, mosquitto_broker(tmp_path / "broker") as broker:
        broker.server.kill()
        config = write_config(tmp_path, broker=broker, extra=story + clock)
        config.write_text(config.read_text().replace('"outbox.sqlite3"', f'"{disk}/outbox.sqlite3"'))
        with Process("run", config) as agent:
            agent.wait_line("agent.started")
            fill(disk / "filler", leave=MB)
            agent.wait_line("outbox.full", seconds=60)
            agent.wait_line("outbox.thinned", seconds=60)
            assert not (disk / "outbox.sqlite3.reserve").exists()
            fill(disk / "the rest", leave=0)
            held_then = _last(disk / "outbox.sqlite3")
            until(lambda: _last(disk / "outbox.sqlite3") > held_then + 10_000, "and new ones are taken in their place")
            broker.server.start()
            with Hub(broker) as hub:
                hub.wait(lambda: any("disk is full" in state.alarm for state in hub.states), "the hub is told")
                (disk / "filler").unlink()
                (disk / "the rest").unlink()
                agent.wait_line("outbox.room", seconds=60)
                hub.wait(lambda: hub.states[-1].online and not hub.states[-1].alarm, "and told that it is over")
                agent.wait_line("outbox.room")
                assert agent.terminate() == 0
                config.write_text(config.read_text().split("[[drivers]]")[0])
                with Process("run", config) as emptied:
                    emptied.wait_line("broker.connected")
                    until(lambda: _queued(disk / "outbox.sqlite3") == 0, "what is held is delivered", seconds=60)
                    assert emptied.terminate() == 0
                (epoch,) = hub.settled
                last = _last(disk / "outbox.sqlite3")
                assert hub.settled[epoch] | hub.dropped[epoch] == SeqSet(((1, last),)), "kept, or given up and told"
                _assert_story(hub)
        events = [line.split()[2] for line in agent.lines if "outbox." in line]
        assert (events.count("outbox.full"), events.count("outbox.room")) == (1, 1)


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_an_agent_starts_on_a_full_disk(tmp_path: Path, end: str) -> None:
    with small_disk(tmp_path / "disk", 48) as disk:
        table = write_csv(tmp_path / "rows.csv", 500)
        config = write_config(tmp_path, broker=None, extra=f'[[drivers]]\nkind = "replay"\nfile = "{table}"\n')
        config.write_text(config.read_text().replace('"outbox.sqlite3"', f'"{disk}/outbox.sqlite3"'))
        with Process("run", config) as first:
            first.wait_line("driver.finished")
            if end == "killed":
                first.kill()
            else:
                assert first.terminate() == 0
        fill(disk / "filler", leave=0)
        with Process("run", config) as second:
            assert "queued=500" in second.wait_line("agent.started")
            second.wait_line("driver.finished")
            assert second.terminate() == 0


def _assert_story(hub: Hub) -> None:
    """Every weighing to the gram, and of each container a reading for each hour."""
    weighed = sorted((movement.time_ms, movement.net_g) for movement in hub.movements)
    until_ms = weighed[-1][0]
    world = Simulator(2026, "H1", STORY_MS).observe(MORNING_MS, until_ms + 1, every_ms=20_000)
    expected_loads: list[tuple[int, int]] = []
    expected_hours: set[tuple[str, int]] = set()
    for item in world:
        if isinstance(item, Load):
            expected_loads.append((item.time_ms, item.net_g))
        else:
            expected_hours.add((f"{item.zone}/fillingLevel", item.time_ms // HOUR_MS))
    assert weighed == sorted(expected_loads)
    assert {(name, at // HOUR_MS) for name, at, _, _ in hub.readings if at <= until_ms} == expected_hours


def _last(path: Path) -> int:
    return int(_one(path, "SELECT last FROM outbox"))


def _queued(path: Path) -> int:
    return int(_one(path, "SELECT count(*) FROM reading"))


def _one(path: Path, query: str) -> int:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
    try:
        (value,) = connection.execute(query).fetchone()
    finally:
        connection.close()
    return int(value)
