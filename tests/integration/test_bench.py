from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from rich.console import Console
from support_postgres import Postgres
from support_servers import need

from tweeling.adapters.evm import devchain
from tweeling.cli.bench import custody, limits
from tweeling.cli.bench.report import Report, Row
from tweeling.errors import ConfigError


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
@pytest.mark.parametrize(("broker", "shards"), [("nats", 0), pytest.param("mosquitto", 2, marks=pytest.mark.slow)])
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


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "store", ["duckdb", *(pytest.param(each, marks=pytest.mark.slow) for each in ("victoriametrics", "memory"))]
)
def test_a_store_is_asked_warm_and_cold_filled_further_and_followed(tmp_path: Path, store: str) -> None:
    if store == "victoriametrics":
        need("victoria-metrics")
    few = ("--points", "50000", "--repeats", "2", "--seconds", "1", "--appended", "10000")
    found = rows(tmp_path, "query", "--store", store, *few)
    assert found["points"].value == pytest.approx(50_000, rel=0.02)
    for question in ("latest_of_all_series", "hourly_year_of_50_zones", "raw_day_of_a_zone"):
        assert 0 < found[f"{question}_p50"].value <= found[f"{question}_p99"].value
        assert (f"{question}_cold" in found) == (store != "memory")
    assert ("bytes_a_point" in found) == (store != "memory")
    if store == "duckdb":
        raw = found["append"].limit
        assert raw is not None
        assert found["append_of_raw"].value == pytest.approx(found["append"].value / raw, rel=0.01)
    assert found["lost_or_double"].value == 0
    assert found["publish_to_queryable_p99"].value > 0
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.timeout(240)
def test_custody_is_measured_from_capture_to_anchor_and_nothing_is_lost(tmp_path: Path) -> None:
    need("anvil")
    found = rows(tmp_path, "custody", "--events", "500", "--seconds", "1", "--anchors", "1", "--leaves", "100")
    for way in ("capture", "capture_by_one_submitter", "fsync", "http", "anchor_to_receipt"):
        assert 0 < found[f"{way}_p50"].value <= found[f"{way}_p95"].value <= found[f"{way}_p99"].value
    assert found["capture_p95"].goal == 5
    assert found["tree.inclusion_proofs"].value > 0
    assert found["lost_or_double"].value == 0
    for rate in ("jcs", "parse_and_validate", "bulk", "bulk_signed"):
        assert found[rate].value > 0
        assert found[rate].limit is not None
    for batch in (1, 100, 10_000):
        gas = found[f"gas_batch_{batch}"]
        assert (gas.limit, 22_280 < gas.value < 75_000) == (22_280, True)
        assert found[f"gas_an_event_batch_{batch}"].value == pytest.approx(gas.value / batch, rel=0.01)
    assert gas.value <= found["gas_dearest"].value
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_the_commit_beside_a_capture_writes_as_many_bytes_as_an_event_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = limits.commits

    def commits(path: Path, size: int) -> AbstractContextManager[Callable[[int], None]]:
        sizes.append(size)
        return real(path, size)

    monkeypatch.setattr(limits, "commits", commits)
    options = custody.Options(events=500, seconds=0.5, anchors=0, leaves=1, cold=0)
    found = {row.metric: row.value for row in custody._captured(tmp_path, options)}
    assert sizes == [pytest.approx(found["bytes_an_event"], rel=0.001)]


@pytest.mark.slow
def test_the_log_is_measured_on_a_database_server_too_but_never_on_one_that_holds_a_log(
    tmp_path: Path, database_server: Postgres
) -> None:
    few = (
        "--events",
        "500",
        "--seconds",
        "1",
        "--anchors",
        "0",
        "--leaves",
        "100",
        "--records",
        database_server.new_database(),
    )
    found = rows(tmp_path, "custody", *few)
    assert found["lost_or_double"].value == 0
    assert found["bulk"].value > 0
    assert not {name for name in found if name.startswith(("http", "gas"))}
    again = [sys.executable, "-m", "tweeling", "bench", "custody", *few]
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--records: holds a log. Name an empty database" in done.stderr


def test_gas_cannot_be_measured_without_a_chain_and_the_remedy_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devchain, "find_anvil", lambda: None)
    monkeypatch.chdir(tmp_path)
    options = custody.Options(events=500, seconds=60, anchors=1, leaves=1, cold=0)
    with pytest.raises(ConfigError, match=r"anvil\) is not installed\. npm brings it: make chain; `--anchors 0`"):
        custody.run(options, Report(Console(), as_json=True))
    assert not list(tmp_path.iterdir()), "nothing has begun"


def test_a_wrong_list_of_packs_is_named(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tweeling", "bench", "ingest", "--packs", "5,many"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--packs: '5,many' is no list of sizes. Write 1,5,100" in done.stderr
