import csv
import json
from pathlib import Path

import pytest
from support_demo import RunningDemo, headless, running_demo, summary
from support_servers import need
from support_shared import shared

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.journal import SqliteJournal
from tweeling.ports.timeseries import Aggregate

RECORDING = "data/series/prague_container_fill.csv"
CONTAINERS = ("1771", "1776", "1789")


@pytest.mark.timeout(400)
def test_the_whole_chain_holds_and_a_second_run_goes_on_with_the_same_data(tmp_path: Path) -> None:
    need("anvil")
    first = summary(headless(tmp_path / "data", 20))
    assert first["exit_code"] == 0, first["links"]
    assert first["ok"] is True
    assert {link["link"] for link in first["links"]} == {  # type: ignore[attr-defined]  # a list of links
        "edge", "broker", "ingest", "store", "forecast", "custody", "chain", "verify", "dashboard",
    }  # fmt: skip
    assert first["readings_in"] == first["readings_stored"]
    second = summary(headless(tmp_path / "data", 10))
    assert second["exit_code"] == 0, second["links"]
    for count in ("readings_in", "events_captured", "events_anchored"):
        assert int(str(second[count])) > 0
    journal = SqliteJournal(tmp_path / "data" / "journal.db")
    try:
        assert journal.counts()["readings"] == int(str(first["readings_in"])) + int(str(second["readings_in"]))
    finally:
        journal.close()


def test_the_demo_region_is_all_there(demo: RunningDemo) -> None:
    with demo.client() as hub:
        things = [row for row in hub.things() if row["capacity_m3"] is not None]
        status = hub.status()
    assert len(things) == 18
    assert len(status["nodes"]) >= 7
    assert all(node["online"] for node in status["nodes"] if node["node"] == "gateway")


@pytest.mark.timeout(300)
def test_a_recording_ends_with_as_many_stored_readings_as_the_file_holds(tmp_path: Path) -> None:
    recording = shared(RECORDING)
    with recording.open() as file:
        rows = [row for row in csv.DictReader(file) if row["container_id"] in CONTAINERS]
    with running_demo(tmp_path / "data") as demo:
        said = demo.run(
            "replay", recording, "--data", demo.folder, "--columns", "sensor=container_id,time=ts_utc,value=fill_pct",
            "--unit", "%", "--speed", "max", "--as", "historical", "--sensors", ",".join(CONTAINERS), "--json",
        )  # fmt: skip
        answer = json.loads(
            said.splitlines()[0] if said.startswith("{") else said[said.index("{") : said.index("}") + 1]
        )
        assert answer["committed"] == len(rows)
        assert answer["sent"] == len(rows)
        again = demo.run(
            "replay", recording, "--data", demo.folder, "--columns", "sensor=container_id,time=ts_utc,value=fill_pct",
            "--unit", "%", "--sensors", ",".join(CONTAINERS),
        )  # fmt: skip
        assert "nothing was sent; --again plays it again" in again
        with demo.client() as hub:
            forecast = hub.forecast("replay", CONTAINERS[0])
        assert len(forecast["times_ms"]) == 336
    store = DuckDBStore(demo.folder / "points.duckdb")
    try:
        # The recording is years old: it is in hourly values as soon as the hub keeps house.
        asked = {"start_ms": 0, "end_ms": 2**50, "step_ms": 3_600_000, "aggregate": Aggregate.COUNT}
        counts = store.windows(store.series("replay/"), **asked)
        assert sum(windows.values.sum() for windows in counts.values()) == len(rows)
        latest = {point.series: point.value for point in store.latest("replay/")}
    finally:
        store.close()
    for container in CONTAINERS:
        newest = max((row for row in rows if row["container_id"] == container), key=lambda row: row["ts_utc"])
        assert latest[f"replay/{container}/fillingLevel"] == pytest.approx(float(newest["fill_pct"]) / 100)


def test_history_is_three_years_of_hours(demo: RunningDemo) -> None:
    with demo.client() as hub:
        history = hub.history("H1", "H1-A", hours=24 * 7 * 150)
    assert len(history["times_ms"]) >= 24 * 7 * 149


def test_a_receipt_verifies_elsewhere_and_names_what_is_wrong_when_a_byte_changes(
    tmp_path: Path, demo: RunningDemo
) -> None:
    receipt, store = tmp_path / "receipt.cbor", tmp_path / "trusted"
    demo.run("receipt", "latest", "--out", receipt, "--data", demo.folder)
    assert "log unknown" in demo.run("verify", receipt, "--trust-store", store, code=4)
    demo.run("trust", "add", demo.folder / "trust.json", "--trust-store", store)
    assert "valid as of size" in demo.run("verify", receipt, "--trust-store", store)
    changed = bytearray(receipt.read_bytes())
    changed[len(changed) // 2] ^= 1
    receipt.write_bytes(changed)
    assert "DOES NOT VERIFY" in demo.run("verify", receipt, "--trust-store", store, code=3)


def test_partners_sign_what_they_ship_and_the_hub_says_that_it_did_not(demo: RunningDemo) -> None:
    with demo.client() as hub:
        rows = hub.events(limit=500)
    submitters = {
        row["biz_step"]: {other["submitter"] for other in rows if other["biz_step"] == row["biz_step"]} for row in rows
    }
    assert submitters["receiving"] == {"hub"}
    assert any(name.startswith("P") for name in submitters["shipping"])


def test_a_second_demo_in_the_same_folder_is_refused(demo: RunningDemo) -> None:
    said = demo.run("demo", "--data", demo.folder, "--port", "0", "--mqtt-port", "0", "--chain-port", "0", code=2)
    assert "another demo runs here" in said


def test_a_taken_port_is_named_with_its_holder(tmp_path: Path, demo: RunningDemo) -> None:
    port = demo.url.rsplit(":", 1)[1]
    said = demo.run("demo", "--data", tmp_path / "other", "--port", port, code=2)
    assert f"port {port} (dashboard) is taken by" in said


def test_a_wrong_time_is_refused_with_its_field(demo: RunningDemo) -> None:
    assert "--for: 'soon' is no time. Write 90s, 5m or 2h" in demo.run("demo", "--headless", "--for", "soon", code=2)
