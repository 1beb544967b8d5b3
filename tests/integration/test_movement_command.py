"""`tweeling movement` beside a hub that lives: what is weighed, corrected, restarted, and audited."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support_broker import Client, until
from support_fsck import found, fsck, sqlite
from support_ingest import message, weighing
from support_living import Living, living_hub

from tweeling.domain.correction import Instead
from tweeling.errors import RejectedError


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Living]:
    with living_hub(tmp_path) as hub:
        hub.start()
        with Client(hub.broker, hub.broker.node("H1", "n1")) as node:
            # Two loads that nothing tells apart but their place, in one millisecond.
            node.published(*message({1: [weighing(12_000, tkt="T-7"), weighing(12_000, tkt="T-7")]}))
            until(lambda: _stock(hub) == {"wood": 24_000}, "both are there")
        yield hub


def _stock(hub: Living) -> dict[str, int]:
    with hub.client() as client:
        balances: dict[str, int] = {}
        for row in client.movements(100):
            sign = 1 if row["direction"] == "in" else -1
            balances[row["material"]] = balances.get(row["material"], 0) + sign * row["net_g"]
        return balances


def _movement(hub: Living, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tweeling", "movement", *options, "--data", str(hub.folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def _listed(hub: Living) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _movement(hub, "list", "--json").stdout.splitlines()]


def test_a_wrong_weighing_is_corrected_by_a_person_and_stays_so(hub: Living) -> None:
    done = _movement(hub, "correct", "1", "--grams", "21000", "--reason", "a nought forgotten [/x]", "--by", "anna")
    assert (done.returncode, done.stderr) == (0, "")
    assert "weighing 1 is corrected" in done.stdout
    until(lambda: _stock(hub) == {"wood": 33_000}, "it is applied")
    rows = _listed(hub)
    assert [(row["number"], row["node"], row["net_g"], row["corrected"]) for row in rows] == [
        (4, "office", 21_000, False),
        (3, "office", 12_000, False),
        (2, "n1", 12_000, False),
        (1, "n1", 12_000, True),
    ]
    assert rows[0]["correction"]["by"] == "anna"
    assert rows[0]["correction"]["token"] == "maintainer"
    lines = _movement(hub, "list").stdout.splitlines()
    assert "H1/n1  in  H1-A  12.000 kg wood  T-7  corrected: a nought forgotten [/x] (anna)" in lines[3]
    assert "H1/office  out H1-A  12.000 kg wood  T-7  correction: a nought" in lines[1]
    short = _movement(hub, "correct", "2", "--reason", "x")
    assert (short.returncode, short.stderr) == (1, "tweeling: reason: String should have at least 3 characters\n")
    assert _movement(hub, "list", "--before", "1").stdout == "no weighings below number 1\n"
    again = _movement(hub, "correct", "1", "--reason", "again")
    assert again.returncode == 1
    assert "weighing 1 is corrected already: a nought forgotten [/x] (anna)" in again.stderr
    for _ in ("running", "stopped"):
        code, checks = fsck(hub.folder)
        assert code == 0, [found(check) for check in checks.values()]
        assert checks["corrections"]["detail"] == "1 weighings corrected"
        assert "4 weighings of 57.000 kg agree" in checks["facts"]["detail"]
        hub.stop()
    hub.start()
    assert _stock(hub) == {"wood": 33_000}


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("DELETE FROM fact WHERE key LIKE 'correction/%'", "reason, H1/office/"),
        ("UPDATE movement SET net_g = 11999 WHERE node = 'office'", "reversal, H1/office/"),
        ("UPDATE movement SET seq = 5 WHERE node = 'n1' AND idx = 0", "weighing, H1/office/"),
        ("UPDATE movement SET idx = 3 WHERE node = 'office'", "entry, H1/office/"),
    ],
)
def test_a_correction_that_does_not_fit_is_named_by_an_audit(hub: Living, damage: str, what: str) -> None:
    with hub.client() as client:
        _movement(hub, "correct", "1", "--reason", "no load at all")
        until(lambda: len(client.movements(10)) == 3, "it is applied")
    hub.stop()
    sqlite(hub.folder / "records.db", damage)
    code, checks = fsck(hub.folder)
    assert code == 3
    assert any(line.startswith(what) for line in found(checks["corrections"])), found(checks["corrections"])


def test_only_a_maintainer_may_correct_and_must_say_why(hub: Living) -> None:
    with hub.client() as reader, pytest.raises(RejectedError, match="needs a token with role maintain"):
        reader.correct(1, by="anna", reason="because", instead=Instead())
    token = hub.installation.token("maintainer").read_text().strip()
    url = f"http://127.0.0.1:{hub.port}/api/movements/1/correction"
    for told, field in (
        ({"by": "anna", "reason": ""}, "reason"),
        ({"reason": "because"}, "by"),
        ({"by": "anna", "reason": "because", "net_g": -1}, "net_g"),
        ({"by": "anna", "reason": "because", "grams": 1}, "grams"),
    ):
        answer = httpx.post(url, json=told, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert (answer.status_code, answer.json()["field"]) == (400, field)
    assert _stock(hub) == {"wood": 24_000}
