"""Gateways are let in, renewed and shut out while the hub runs, and each change is seen at the broker at once."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_broker import Broker, Client, Server, until
from support_edge import Process
from support_installation import Made, RunningHub, copied, init

from tweeling.adapters import nats
from tweeling.cli import nodes
from tweeling.errors import ConfigError, UnavailableError

OWN = "tweeling/v1/H1/n1"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return init(tmp_path_factory.mktemp("fresh") / "hub", "--node", "H1/n1", "--node", "H1/n2")


@pytest.fixture
def made(fresh: Made, tmp_path: Path) -> Made:
    return copied(fresh, tmp_path / "hub")


@pytest.fixture
def hub(made: Made) -> Iterator[RunningHub]:
    with made.up() as running:
        yield running


def broker(made: Made) -> Broker:
    return Broker(Server([], ready=""), made.mqtt_port, None, made.folder)


def carried(made: Made, hub: str, node: str) -> nats.Credentials:
    """What a gateway got."""
    return nats.Credentials.load(made.installation.node(hub, node) / "credentials.json")


def test_a_new_gateway_brings_readings_without_a_restart(made: Made, hub: RunningHub, tmp_path: Path) -> None:
    made.run("node", "add", "H2/yard-1")
    folder = made.installation.node("H2", "yard-1")
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    table = tmp_path / "fill.csv"
    table.write_text("sensor,time,value\nc1,1760000000,40\nc1,1760000060,41\n")
    command = [sys.executable, "-m", "tweeling_edge", "replay", str(table), "--config", str(folder / "edge.toml")]
    subprocess.run([*command, "--unit", "%"], check=True, capture_output=True, timeout=60)
    with made.client() as client:
        assert client.status()["counts"]["readings_in"] == 2
        assert [(node["hub"], node["node"]) for node in client.status()["nodes"]] == [("H2", "yard-1")]
    assert not [line for line in hub.lines if "NOT" in line]


def test_a_removed_gateway_is_cut_off_and_refused_within_five_seconds(made: Made, hub: RunningHub) -> None:
    old, other = carried(made, "H1", "n1"), carried(made, "H1", "n2")
    with Client(broker(made), old) as gone, Client(broker(made), other) as stays:
        assert gone.connected
        began = time.monotonic()
        nodes.remove(made.installation, nats.NodeName("H1", "n1"))
        until(gone.lost.is_set, "the live connection is cut")
        assert time.monotonic() - began < 5
        with Client(broker(made), old) as again:
            assert again.answer == "Not authorized"
        stays.published("tweeling/v1/H1/n2/up", b"still here")
        assert stays.connected
    assert not made.installation.node("H1", "n1").exists()
    assert [row["node"] for row in json.loads(made.run("node", "list", "--json"))] == ["n2"]
    assert hub.process.poll() is None


def test_a_renewed_gateway_comes_in_with_the_new_password_and_not_with_the_old(made: Made, hub: RunningHub) -> None:
    old = carried(made, "H1", "n1")
    edge = made.installation.node("H1", "n1") / "edge.toml"
    edge.write_text(edge.read_text() + "# drivers of mine\n")
    with Client(broker(made), old) as before:
        file = nodes.renew(made.installation, nats.NodeName("H1", "n1"))
        assert nats.Credentials.load(file) == carried(made, "H1", "n1")
        assert "drivers of mine" in edge.read_text()
        until(before.lost.is_set, "the live connection is cut")
    with Client(broker(made), old) as refused, Client(broker(made), carried(made, "H1", "n1")) as admitted:
        assert refused.answer == "Not authorized"
        assert admitted.subscribe(f"{OWN}/ack") == 0
    assert hub.process.poll() is None


def test_what_is_changed_while_no_hub_runs_holds_at_the_next_start(made: Made) -> None:
    old = carried(made, "H1", "n1")
    made.run("node", "remove", "H1/n1")
    made.run("node", "add", "H3/n3")
    with made.up(), Client(broker(made), old) as gone, Client(broker(made), carried(made, "H3", "n3")) as new:
        assert gone.answer == "Not authorized"
        assert new.connected


def test_a_broker_that_did_not_take_a_change_is_told_of(made: Made, hub: RunningHub) -> None:
    made.configure(f"port = {made.mqtt_port}", "port = 1")  # an edit that waits for a restart
    with pytest.raises(UnavailableError, match=r"the files are written, but .* restart the hub"):
        nodes.remove(made.installation, nats.NodeName("H1", "n1"))
    assert hub.process.poll() is None


def test_a_removed_agent_says_why_it_waits(made: Made, hub: RunningHub) -> None:
    folder = made.installation.node("H1", "n1")
    with Process("run", folder / "edge.toml") as agent:
        agent.wait_line("broker.connected")
        made.run("node", "renew", "H1/n1")
        assert "not authori" in agent.wait_line("broker.lost").lower()
        assert agent.terminate() == 0
    with Process("run", folder / "edge.toml") as agent:  # with what was written anew
        agent.wait_line("broker.connected")
        assert agent.terminate() == 0
    assert hub.process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["node", "add", "H1/n1"], "exists already.*node renew"),
        (["node", "add", "H1"], "Write H1/gateway-1"),
        (["node", "add", "H1/*"], "is no node"),
        (["node", "remove", "H9/n9"], "is not known.*node list"),
        (["node", "renew", "H9/n9"], "is not known.*node list"),
        (["node", "add", "H9/n9", "--host", "hub.example.org"], "certificate make"),
    ],
)
def test_what_cannot_be_is_refused_with_its_remedy_and_changes_nothing(
    made: Made, arguments: list[str], said: str
) -> None:
    before = (made.installation.broker / "nats.conf").read_bytes()
    with pytest.raises(AssertionError, match=f"exit 2: .*{said}"):
        made.run(*arguments)
    assert (made.installation.broker / "nats.conf").read_bytes() == before


def test_the_users_of_another_broker_are_not_ours(made: Made) -> None:
    made.configure("embedded = true", "embedded = false")
    assert "broker.embedded" in made.run("node", "add", "H9/n9", code=2)


def test_another_user_is_sent_to_the_right_one(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    with pytest.raises(ConfigError, match=r"belongs to the user .*sudo -u"):
        nodes.add(made.installation, nats.NodeName("H9", "n9"))
