"""What docs/operations.md says to write for a broker elsewhere, taken from the page and run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support_broker import Server, until
from support_installation import Made, init
from support_servers import ROOT, free_port, need

from tweeling.adapters import certificates
from tweeling.adapters.certificates import CertificateFiles
from tweeling.cli.installation import toml

PAGE = (ROOT / "docs" / "operations.md").read_text()
PASSWORD = "a long random one"


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    place = tmp_path / "etc"
    made = CertificateFiles(place / "ca.pem", place / "ca.key", place / "hub.pem", place / "hub.key")
    certificates.make(made, ["localhost"], now=datetime.now(UTC))
    return made


@contextmanager
def mosquitto(files: CertificateFiles) -> Iterator[int]:
    """The page's Mosquitto, with two users, on loopback."""
    place, port = files.certificate.parent, free_port()
    text = (
        block("mosquitto").replace("/etc/mosquitto", str(place)).replace("listener 8883", f"listener {port} 127.0.0.1")
    )
    (place / "mosquitto.conf").write_text(f"user root\npersistence_location {place}/\n{text}")
    (place / "acl").write_text(block("acl"))
    for option, user in (("-c", "hub"), ("", "H1/gateway-1")):
        words = [need("mosquitto_passwd"), *filter(None, [option]), "-b", str(place / "passwd"), user, PASSWORD]
        subprocess.run(words, check=True, capture_output=True)
    server = Server([need("mosquitto"), "-c", str(place / "mosquitto.conf")], ready="running")
    server.start()
    try:
        yield port
    finally:
        server.kill()


@contextmanager
def nats_cluster(files: CertificateFiles) -> Iterator[int]:
    """The page's NATS, three servers on loopback; the port of the last for MQTT."""
    place = files.certificate.parent
    routes = {f"broker-{number}.example.org": free_port() for number in (1, 2, 3)}
    with ExitStack() as closing:
        for number, (name, route) in enumerate(routes.items(), 1):
            text = block("nats").replace('broker-1"', f'broker-{number}"').replace("/etc/nats", str(place))
            for other, port in routes.items():
                text = text.replace(f"{other}:6222", f"localhost:{port}")
            text = text.replace("0.0.0.0:6222", f"127.0.0.1:{route}").replace("127.0.0.1:4222", "127.0.0.1:-1")
            text = text.replace("0.0.0.0:8883", f"127.0.0.1:{(mqtt := free_port())}")
            text = text.replace("/var/lib/nats", str(place / name)).replace('"another"', f'"{PASSWORD}"')
            conf = place / f"{name}.conf"
            conf.write_text(text)
            subprocess.run([need("nats-server"), "-t", "-c", str(conf)], check=True, capture_output=True)
            server = Server([need("nats-server"), "-c", str(conf)], ready="Server is ready")
            server.start()
            closing.callback(server.kill)
        until(lambda: any("JetStream cluster" in line and "leader" in line for line in server.lines), "a leader")
        yield mqtt


def deliver(made: Made, files: CertificateFiles, port: int, folder: Path) -> None:
    """Point the hub at a broker elsewhere as the page says, and send a reading through it."""
    who = {"username": "hub", "password": PASSWORD, "client_id": "hub-0f1e2d3c"}
    (folder / "hub.json").write_text(json.dumps(who))
    (folder / "node.json").write_text(json.dumps({"username": "H1/gateway-1", "password": PASSWORD}))
    (folder / "node.json").chmod(0o600)
    broker = {"host": "localhost", "port": port}
    tls = {"broker.tls": {"ca_file": str(files.authority)}}
    of_hub = {**broker, "embedded": False, "credentials": str(folder / "hub.json")}
    made.installation.config.write_text(toml({"broker": of_hub, **tls, "http": {"port": made.http_port}}, "Of a test"))
    of_edge = {**broker, "credentials": str(folder / "node.json")}
    top = {"": {"hub": "H1", "node": "gateway-1"}}
    (folder / "edge.toml").write_text(toml({**top, "broker": of_edge, **tls, "outbox": {"path": "o.db"}}, "Of a test"))
    table = folder / "fill.csv"
    table.write_text("sensor,time,value\nc1,1760000000,40\n")
    with made.up() as hub, made.client() as client:
        hub.wait_line("broker.connected")
        command = [sys.executable, "-m", "tweeling_edge", "replay", str(table), "--config", str(folder / "edge.toml")]
        subprocess.run([*command, "--unit", "%"], check=True, capture_output=True, timeout=60)
        assert client.status()["counts"]["readings_in"] == 1
        assert hub.terminate() == 0


def test_mosquitto_as_the_page_has_it_carries_readings(tmp_path: Path, files: CertificateFiles) -> None:
    made = init(tmp_path / "hub")
    with mosquitto(files) as port:
        deliver(made, files, port, tmp_path)


def test_a_cluster_of_nats_as_the_page_has_it_carries_readings(tmp_path: Path, files: CertificateFiles) -> None:
    made = init(tmp_path / "hub")
    with nats_cluster(files) as port:
        deliver(made, files, port, tmp_path)


def test_every_file_and_event_the_page_names_is_one() -> None:
    named = set(re.findall(r"`((?:broker|certificate|hub)\.[a-z]+)`", PAGE))
    assert {"broker.ended", "broker.restarted", "certificate.unusable"} <= named
    sources = "".join(path.read_text() for path in [*ROOT.glob("tweeling/**/*.py"), *ROOT.glob("edge/**/*.py")])
    assert not {name for name in named if f'"{name}"' not in sources and name.split(".")[1] not in sources}
