"""`tweeling init` and `tweeling up`: from nothing to a hub in two commands, and what becomes of it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support_broker import until
from support_installation import Made, copied, init, notify_socket, tweeling
from support_servers import free_port

from tweeling.adapters import nats
from tweeling.cli.broker import EmbeddedBroker
from tweeling.cli.client import HubClient
from tweeling.config import BrokerSettings
from tweeling.errors import ConfigError, UnavailableError


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return init(tmp_path_factory.mktemp("fresh") / "hub", "--hub", "H1")


@pytest.fixture
def made(fresh: Made, tmp_path: Path) -> Made:
    return copied(fresh, tmp_path / "hub")


def secrets_of(made: Made) -> set[str]:
    """Everything that nobody may learn from a log or a command line."""
    files = made.installation.secrets
    plain = [files / name for name in ("password", "log-passphrase", "ledger-passphrase")]
    held = {path.read_text().strip() for path in [*plain, *files.glob("*.token")]}
    for path in (made.installation.broker / "credentials").glob("*.json"):
        who = nats.Credentials.load(path)
        held |= {who.password, who.client_id}
    return held - {""}


def test_everything_that_init_writes_is_its_owners_alone(fresh: Made) -> None:
    for path in fresh.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_two_installations_share_no_secret_and_no_log(tmp_path: Path, made: Made) -> None:
    other = init(tmp_path / "other", "--hub", "H1")
    assert not secrets_of(made) & secrets_of(other)
    origins = [one.installation.config.read_text().split("\norigin = ")[1].split("\n")[0] for one in (made, other)]
    assert origins[0] != origins[1]


def test_init_writes_over_nothing_and_says_what_is_there(made: Made) -> None:
    before = {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()}
    said = made.run("init", code=2)
    assert "nodes H1/gateway" in said
    assert "tweeling up" in said
    assert {path: path.read_bytes() for path in made.folder.rglob("*") if path.is_file()} == before


def test_an_init_that_was_killed_goes_on_where_it_was(made: Made) -> None:
    password = made.installation.password.read_text()
    made.installation.config.unlink()
    made.run("init")
    assert made.installation.password.read_text() == password


def test_a_password_is_printed_on_a_terminal_only(tmp_path: Path) -> None:
    folder = tmp_path / "hub"
    said = tweeling("init", "--data", folder)
    assert (folder / "secrets" / "password").read_text().strip() not in said
    command = f"{sys.executable} -m tweeling init --data {tmp_path / 'other'}"
    typed = subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True, text=True, check=True)
    assert (tmp_path / "other" / "secrets" / "password").read_text().strip() in typed.stdout


def test_a_new_password_opens_the_door_and_the_old_one_no_longer(made: Made) -> None:
    old = made.installation.password.read_text().strip()
    said = made.run("password")
    new = made.installation.password.read_text().strip()
    assert not {old, new} & set(said.split())
    url = f"http://127.0.0.1:{made.http_port}"
    with made.up(), httpx.Client(base_url=url, headers={"Origin": url}) as person:
        assert [person.post("/login", data={"password": each}).status_code for each in (old, new)] == [401, 303]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--node", "H1"], "HUB/NODE"),
        (["--hub", "a.b"], "HUB/NODE"),
        (["--host", "http://x"], "--host"),
        (["--origin", "a b"], "--origin"),
    ],
)
def test_a_wrong_name_makes_no_installation(tmp_path: Path, options: list[str], said: str) -> None:
    assert said in tweeling("init", "--data", tmp_path / "hub", *options, code=2)
    assert not (tmp_path / "hub" / "tweeling.toml").exists()


def test_a_demo_keeps_out_of_an_installation_and_an_installation_out_of_a_demo(tmp_path: Path, made: Made) -> None:
    assert "an installation lives here" in made.run("demo", code=2)
    (tmp_path / "demo.json").write_text("{}")
    assert "a demo lives here" in tweeling("init", "--data", tmp_path, code=2)


def test_a_hub_and_its_broker_run_after_two_commands(made: Made, tmp_path: Path) -> None:
    with notify_socket(tmp_path / "notify") as manager:
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
        with made.up(environment) as hub:
            heard = [manager.recv(4096).decode()]
            while "READY" not in heard[-1]:
                heard.append(manager.recv(4096).decode())
            assert heard.pop() == f"READY=1\nSTATUS=at http://127.0.0.1:{made.http_port}"
            assert set(heard) <= {"WATCHDOG=1"}
            assert manager.recv(4096) == b"WATCHDOG=1"  # from the thread that answers requests
            with made.client() as client:
                until(
                    lambda: {"part": "broker", "ok": True, "detail": "connected"} in client.status()["parts"], "broker"
                )
            assert hub.terminate() == 0
        while heard != ["STOPPING=1"]:
            heard = [manager.recv(4096).decode()]
    assert nats.running(made.installation.broker) is None


def test_a_broker_that_dies_is_started_again_and_told_of_once(made: Made) -> None:
    with made.up() as hub:
        pid = nats.running(made.installation.broker)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        hub.wait_line("broker.ended how='ended by SIGKILL'")
        hub.wait_line("broker.restarted")
        hub.wait_line("broker.back")
        assert nats.running(made.installation.broker) not in {None, pid}
        assert sum("broker.ended" in line for line in hub.lines) == 1
        assert hub.terminate() == 0


def test_a_broker_dies_with_a_hub_that_is_killed(made: Made) -> None:
    with made.up() as hub:
        assert nats.running(made.installation.broker) is not None
        hub.process.kill()
        hub.process.wait()
        until(lambda: nats.running(made.installation.broker) is None, "the broker is gone")
    with made.up():
        pass


def test_a_taken_port_is_named_with_its_setting(made: Made) -> None:
    with made.up():
        said = made.run("up", code=2)
    assert f"broker.port: port {made.mqtt_port} (broker) is taken by nats-server" in said


def test_a_broker_that_does_not_start_says_why(tmp_path: Path) -> None:
    settings = BrokerSettings(embedded=True, port=free_port(), folder=tmp_path / "broker")
    nats.write_config(settings.folder, [], port=settings.port)
    (settings.folder / "jetstream" / "jetstream").write_text("no folder")
    with pytest.raises(UnavailableError, match=r"did not start: .*storage directory"), EmbeddedBroker(settings):
        pass
    with pytest.raises(ConfigError, match="no place to listen"):
        EmbeddedBroker(settings.model_copy(update={"host": "192.0.2.1"}))


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_is_logged_or_shown_in_a_command_line_even_to_who_debugs(made: Made, form: str) -> None:
    made.configure('#level = "info"', 'level = "debug"')
    made.configure('#format = "text"', f'format = "{form}"')
    held = secrets_of(made)
    with made.up() as hub:
        pid = nats.running(made.installation.broker)
        for process in (hub.process.pid, pid):
            assert not any(secret in Path(f"/proc/{process}/cmdline").read_text() for secret in held)
        made.run("node", "renew", "H1/gateway")  # the broker tells of the refused one
        hub.wait_line("authentication error")
        with made.client() as client:
            client.status()
        assert hub.terminate() == 0
        lines = list(hub.lines)
    assert len(lines) > 10
    held |= secrets_of(made)
    assert not [line for line in lines if any(secret in line for secret in held)]
    if form == "json":
        events = [json.loads(line) for line in lines]
        assert {"hub.ready", "hub.stopped", "broker.started", "broker.says"} <= {event["event"] for event in events}
        assert all(event["level"] in {"debug", "info", "warning", "error"} for event in events)


def _readings(client: HubClient) -> int:
    return int(client.status()["counts"]["readings_in"])


def _more_readings(client: HubClient, agent: subprocess.Popen[str]) -> None:
    """Wait until the agent is connected again, which may take it a minute, and some of its readings are committed."""
    before = _readings(client)
    until(lambda: _readings(client) > before or agent.poll() is not None, "readings", seconds=90)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hub_that_is_stopped_in_mid_flow_loses_and_repeats_nothing(made: Made, tmp_path: Path) -> None:
    rows = 60_000
    table = tmp_path / "fill.csv"
    lines = [f"c{row % 20},{1_760_000_000 + row},{row % 97}" for row in range(rows)]
    table.write_text("\n".join(["sensor,time,value", *lines]) + "\n")
    edge = made.installation.node("H1", "gateway") / "edge.toml"
    command = [sys.executable, "-m", "tweeling_edge", "replay", str(table), "--config", str(edge), "--unit", "%"]
    agent = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stops = 0
    try:
        while agent.poll() is None and stops < 3:
            with made.up() as hub, made.client() as client:
                _more_readings(client, agent)
                assert hub.terminate() == 0
                stops += 1
        with made.up() as hub, made.client() as client:
            answer = json.loads(agent.communicate(timeout=200)[0])
            kept = _readings(client)
            assert hub.terminate() == 0
    finally:
        agent.kill()
        agent.communicate()
    assert stops >= 2
    assert (answer["committed"], answer["settled"], kept) == (rows, True, rows)
    assert json.loads(made.run("fsck", "--json"))["ok"]
