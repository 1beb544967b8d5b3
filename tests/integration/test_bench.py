from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support_servers import need

from tweeling.cli.bench.report import Row


def rows(tmp_path: Path, *arguments: str) -> dict[str, Row]:
    command = [sys.executable, "-m", "tweeling", "bench", *arguments, "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found, done.stderr
    assert "tweeling: " not in done.stderr
    assert all(tuple(row) == Row._fields for row in found)
    # A busy machine may be slow; it may not lose anything.
    assert done.returncode == (0 if all(row["ok"] is not False for row in found) else 1), done.stderr
    return {row["metric"]: Row(**row) for row in found}


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("broker", "shards"), [("nats", 0), ("mosquitto", 2)])
def test_ingest_is_measured_beside_the_machines_own_limits_and_nothing_is_lost(
    tmp_path: Path, broker: str, shards: int
) -> None:
    need("mosquitto")
    few = ("--packs", "5", "--seconds", "1", "--sustained", "1", "--nodes", "2", "--window", "100")
    found = rows(tmp_path, "ingest", "--broker", broker, "--shards", str(shards), *few)
    for run in ("pack5", "sustained"):
        assert found[f"{broker}.{run}.lost_or_double"].value == 0
    fastest = found[f"{broker}.pack5.messages"]
    assert fastest.limit is not None
    assert found[f"{broker}.pack5.messages_of_null_subscriber"].value == pytest.approx(
        fastest.value / fastest.limit, rel=0.01
    )
    assert found[f"{broker}.agent.readings"].value > 0
    assert found[f"{broker}.sustained.publish_to_queryable_p50"].value > 0
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_wrong_list_of_packs_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tweeling", "bench", "ingest", "--packs", "5,many"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--packs: '5,many' is no list of sizes. Write 1,5,100" in done.stderr
