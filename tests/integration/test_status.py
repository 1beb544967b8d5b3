"""`tweeling status` beside a hub that lives: what a person reads, what a program reads, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support_broker import Client, until
from support_ingest import EPOCH, message, reading, weighing
from support_living import Living, living_hub

from tweeling.wire.ack import State


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Living]:
    with living_hub(tmp_path) as hub:
        yield hub


def _status(hub: Living, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tweeling", "status", "--data", str(hub.folder), *options]
    environment = {**os.environ, "COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


def _vitals(hub: Living) -> dict[str, Any]:
    vitals: dict[str, Any] = json.loads(_status(hub, "--json").stdout)["vitals"]
    return vitals


def test_what_goes_through_waits_and_is_missing_stands_in_one_screen(hub: Living) -> None:
    hub.start()
    with Client(hub.broker, hub.broker.node("H1", "n1")) as node, hub.client() as client:
        node.published(*message({seq: [reading(), weighing()] for seq in (1, 2, 6)}))
        node.published("tweeling/v1/H1/n1/up", b"[red]junk[/red]\x1b[31m")
        state = State(online=True, epoch=EPOCH, since_ms=1, queued=3, alarm="[b]the outbox is full[/b]\x1b[2J")
        node.published("tweeling/v1/H1/n1/state", state.encode())
        until(lambda: client.status()["vitals"]["gaps"]["seqs"] == 3, "the gap is no reordering any more")
        until(lambda: client.status()["vitals"]["readings_per_s"] is not None, "the pulse was felt")
        until(lambda: client.status()["vitals"]["lag_batches"] == 0, "all is applied")
        done = _status(hub)
        assert done.returncode == 1, done.stderr  # the alarm, and no chain is configured
        lines = done.stdout.splitlines()
        assert max(map(len, lines)) <= 80
        assert len(lines) <= 24
        text = " ".join(done.stdout.split())
        assert "NOT ALL IS WELL" in text
        assert "a second now, not known yet" not in text
        assert "3 in all" in text
        assert "3 missing of 1 nodes, for" in text
        assert "1 messages; the last: " in text
        assert f"anyone reads it at http://127.0.0.1:{hub.port}/log" in text
        assert "how long that lasts is not known yet" in text
        assert "ALARM of H1/n1: [b]the outbox is full[/b]" in text
        assert "\x1b" not in done.stdout
        vitals = _vitals(hub)
        assert (vitals["quarantined"], vitals["journal_batches"], vitals["pending"]) == (1, 1, 0)
        assert vitals["disk"]["used"] > 0
        bearer = {"Authorization": f"Bearer {hub.installation.token('prometheus').read_text().strip()}"}
        answer = httpx.get(f"{client.url}/metrics", headers=bearer, trust_env=False)
        found = {family.name: family.samples[0].value for family in text_string_to_metric_families(answer.text)}
        assert (found["tweeling_readings"], found["tweeling_gap_seqs"]) == (3, 3)
        assert found["tweeling_journal_bytes"] == vitals["journal_bytes"] > 4096


def test_without_a_hub_the_code_is_1_and_the_reason_is_told(hub: Living) -> None:
    done = _status(hub)
    assert done.returncode == 1
    assert "no hub answers at http://127.0.0.1" in done.stderr
