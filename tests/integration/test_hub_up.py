"""`tweeling up` by itself: started by a service manager, before or without its broker and chain."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support_broker import Client
from support_fsck import sqlite
from support_ingest import message, reading
from support_living import living_hub
from support_servers import free_port

from tweeling.bootstrap import Threads
from tweeling.cli import configs
from tweeling.cli.installation import Clockwork, Installation, Ports
from tweeling.simulation.region import load as load_region

_UP = [sys.executable, "-m", "tweeling", "up"]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path)
    ports = Ports(free_port(), free_port(), free_port())
    configs.people(made)
    configs.partners(made, load_region())
    users = configs.broker(made, load_region(), ports)
    clockwork = Clockwork(made, made.story(seed=1, speed=1))
    configs.hub(made, clockwork, users, ports, None)
    return made


@contextmanager
def _running(installation: Installation) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    port = installation.config.read_text().split("[http]\nport = ")[1].split()[0]
    with subprocess.Popen([*_UP, str(installation.config)], stderr=subprocess.PIPE) as process:
        guard = threading.Timer(60, process.kill)
        guard.start()
        assert process.stderr is not None
        for line in process.stderr:
            if b"hub.ready" in line:
                break
        token = installation.token("cli").read_text().strip()
        try:
            headers = {"Authorization": f"Bearer {token}"}
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
                yield process, client
        finally:
            guard.cancel()
            process.kill()
            process.communicate()


def test_a_hub_without_broker_and_chain_is_up_and_says_what_is_missing(installation: Installation) -> None:
    with _running(installation) as (process, client):
        assert client.get("/health/live").json() == {"status": "live"}
        parts = {part["part"]: part for part in client.get("/api/status").json()["parts"]}
        assert not parts["broker"]["ok"]
        assert "pending" in parts["ledger"]["detail"]
        assert parts["store"]["ok"]
        assert parts["custody"]["ok"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_an_event_is_captured_while_there_is_no_chain_and_stays_pending(installation: Installation) -> None:
    event = (
        '{"@context":["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],"type":"ObjectEvent",'
        '"eventTime":"2026-01-05T10:00:00.000Z","eventTimeZoneOffset":"+01:00","action":"OBSERVE",'
        '"bizStep":"receiving","epcList":["urn:epc:id:sgtin:9521141.012345.1"]}'
    )
    with _running(installation) as (_, client):
        token = installation.token("partners").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        assert client.post("/events", content=event, headers=headers).status_code == 201
        assert client.post("/events", content=event, headers=headers).status_code == 409
        [row] = client.get("/api/events").json()
        assert row["state"] == "pending"


@pytest.mark.parametrize(
    ("text", "field"),
    [("[http]\nport = 'x'\n", "http.port"), ("[clock]\nspede = 1\n", "clock.spede"), ("[", "not TOML")],
)
def test_a_wrong_setting_ends_with_exit_code_2_and_its_name(tmp_path: Path, text: str, field: str) -> None:
    path = tmp_path / "tweeling.toml"
    path.write_text(text)
    done = subprocess.run([*_UP, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert field in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_secret_is_named(installation: Installation) -> None:
    (installation.secrets / "log-passphrase").chmod(0o644)
    done = subprocess.run([*_UP, str(installation.config)], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "log-passphrase" in done.stderr
    assert "chmod 600" in done.stderr


def test_a_thread_that_fails_stops_the_others_and_is_named(caplog: pytest.LogCaptureFixture) -> None:
    stop = threading.Event()
    threads = Threads(stop)

    def fail(_: threading.Event) -> None:
        raise ZeroDivisionError

    threads.start("patient", lambda stop: stop.wait(30))
    threads.start("broken", fail)
    threads.join()
    assert stop.is_set()
    assert threads.failed == "broken"
    assert "thread.failed" in caplog.text


@pytest.mark.parametrize("shards", ["", '\n[ingest]\nshards = [["H1/+"]]\n'])
def test_a_hub_whose_ingest_fails_ends_so_that_it_is_started_again(tmp_path: Path, shards: str) -> None:
    with living_hub(tmp_path) as hub:
        with hub.installation.config.open("a") as settings:
            settings.write(shards)
        hub.start()
        sqlite(hub.folder / "journal.db", "DELETE FROM total WHERE name = 'batches'")  # a broken promise
        with Client(hub.broker, hub.broker.node("H1", "n1")) as node:
            node.published(*message({1: [reading()]}))
        child = hub.owner.children["hub"]
        assert child.process.wait(60) == 1
        assert "the hub stopped, because ingest failed" in child.tail(50)
