"""Everything encrypted, with certificates of the installation's own: gateway, broker, hub, browser, command line."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from support_broker import until
from support_edge import Process
from support_installation import Made, RunningHub, init

from tweeling.adapters import certificates
from tweeling.adapters.certificates import CertificateFiles
from tweeling.cli.installation import toml
from tweeling.errors import ConfigError, UnavailableError

REPLAY = [sys.executable, "-m", "tweeling_edge", "replay"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return init(tmp_path_factory.mktemp("tls") / "hub", "--host", "localhost", "--node", "H1/n1")


@pytest.fixture(scope="module")
def hub(made: Made) -> Iterator[RunningHub]:
    with made.up() as running:
        yield running


def url(made: Made) -> str:
    return f"https://localhost:{made.http_port}"


def browser(made: Made) -> httpx.Client:
    """One that trusts the installation's authority, as its user told it to."""
    context = ssl.create_default_context(cafile=made.installation.certificates.authority)
    return httpx.Client(base_url=url(made), verify=context)


def shown(made: Made, port: int) -> bytes:
    """The certificate that a port shows to who trusts the authority."""
    context = ssl.create_default_context(cafile=made.installation.certificates.authority)
    with (
        socket.create_connection(("127.0.0.1", port)) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as t,
    ):
        return t.getpeercert(binary_form=True) or b""


def test_a_reading_travels_encrypted_from_the_gateway_to_the_hub(made: Made, hub: RunningHub, tmp_path: Path) -> None:
    table = tmp_path / "fill.csv"
    table.write_text("sensor,time,value\nc1,1760000000,40\n")
    edge = made.installation.node("H1", "n1") / "edge.toml"
    assert 'ca_file = "ca.pem"' in edge.read_text()
    subprocess.run([*REPLAY, str(table), "--config", str(edge), "--unit", "%"], check=True, timeout=60)
    with made.client() as client:
        assert client.url.startswith("https://")
        status = client.status()
    assert status["counts"]["readings_in"] == 1
    assert [part["ok"] for part in status["parts"] if part["part"] in {"broker", "certificate"}] == [True, True]
    assert hub.process.poll() is None


def test_an_audit_of_a_running_hub_asks_it_over_tls(made: Made, hub: RunningHub) -> None:
    assert json.loads(made.run("fsck", "--json"))["ok"]
    assert hub.process.poll() is None


def test_a_gateway_that_trusts_another_authority_sends_nothing(made: Made, hub: RunningHub, tmp_path: Path) -> None:
    folder = made.installation.node("H1", "n1")
    other = CertificateFiles(tmp_path / "ca.pem", tmp_path / "ca.key", tmp_path / "hub.pem", tmp_path / "hub.key")
    certificates.make(other, ["localhost"], now=datetime.now(UTC))
    text = (folder / "edge.toml").read_text().replace('"credentials.json"', f'"{folder / "credentials.json"}"')
    (tmp_path / "edge.toml").write_text(text)
    with Process("run", tmp_path / "edge.toml") as agent:
        assert "certificate verify failed" in agent.wait_line("broker.lost")
        assert agent.terminate() == 0
    assert hub.process.poll() is None


def test_a_browser_logs_in_over_tls_with_a_cookie_that_stays_there(made: Made, hub: RunningHub) -> None:
    password = made.installation.password.read_text().strip()
    with browser(made) as person:
        answer = person.post("/login", data={"password": password}, headers={"Origin": url(made)})
        assert answer.status_code == 303
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"__Host-tweeling_session_{made.http_port}=")
        assert {"secure", "httponly", "samesite=strict", "path=/"} <= {
            part.strip().lower() for part in cookie.split(";")
        }
        assert person.get("/login/session").json() == {"open": True}
    assert hub.process.poll() is None


def test_plain_text_gets_no_answer_on_an_encrypted_port(made: Made, hub: RunningHub) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://localhost:{made.http_port}/health/live")
    client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    answers: list[object] = []
    client.on_connect = lambda *told: answers.append(told)
    client.connect("127.0.0.1", made.mqtt_port)
    until(lambda: client.loop(0.1) != paho.MQTT_ERR_SUCCESS, "the broker hangs up")
    assert answers == []
    assert hub.process.poll() is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.parametrize("port", ["http_port", "mqtt_port"])
def test_old_versions_of_tls_are_refused(made: Made, hub: RunningHub, port: str, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=made.installation.certificates.authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", getattr(made, port))) as raw,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(raw, server_hostname="localhost")
    assert hub.process.poll() is None


def test_a_name_that_is_not_the_hubs_is_sent_away(made: Made, hub: RunningHub) -> None:
    with browser(made) as person:
        assert person.get("/health/live", headers={"Host": f"evil.example:{made.http_port}"}).status_code == 421
        assert person.get("/health/live").status_code == 200
    assert hub.process.poll() is None


def test_a_renewed_certificate_is_shown_at_once_by_hub_and_broker(made: Made, hub: RunningHub) -> None:
    files = made.installation.certificates
    before = {port: shown(made, port) for port in (made.http_port, made.mqtt_port)}
    assert len(set(before.values())) == 1
    made.run("certificate", "renew")
    renewed = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())
    for port in before:
        until(lambda port=port: shown(made, port) == renewed, "the new certificate is shown")  # type: ignore[misc]
    with made.client() as client:  # which holds the hub to the file as it is now
        assert client.status()["counts"]
    assert hub.process.poll() is None


def test_a_renewal_that_does_not_fit_together_changes_nothing(made: Made, hub: RunningHub) -> None:
    key = made.installation.certificates.key
    before, good = shown(made, made.http_port), key.read_bytes()
    key.write_bytes(made.installation.certificates.authority_key.read_bytes())
    try:
        hub.wait_line("certificate.unusable")
        assert shown(made, made.http_port) == before
    finally:
        key.write_bytes(good)


def test_a_certificate_that_ends_soon_is_told_of_in_status(made: Made, hub: RunningHub) -> None:
    files = made.installation.certificates
    certificates.make(files, ["localhost"], now=datetime.now(UTC) - timedelta(days=380))
    said = made.run("certificate", "show")
    assert "16 days" in said
    with made.client() as client:
        until(lambda: shown(made, made.http_port) == ssl.PEM_cert_to_DER_cert(files.certificate.read_text()), "taken")
        [part] = [part for part in client.status()["parts"] if part["part"] == "certificate"]
    assert not part["ok"]
    assert "renew it" in part["detail"]
    made.run("certificate", "renew")
    assert hub.process.poll() is None


def test_a_command_line_believes_nobody_but_the_hub_of_its_folder(made: Made, hub: RunningHub, tmp_path: Path) -> None:
    files = made.installation.certificates
    other = CertificateFiles(files.authority, files.authority_key, tmp_path / "other.pem", tmp_path / "other.key")
    certificates.make(other, ["localhost"], now=datetime.now(UTC))  # even one that the same authority signed
    text = made.installation.config.read_text()
    head, tail = text.split("[http.tls]")
    made.installation.config.write_text(f"{head}[http.tls]{tail.replace('tls/hub.pem', str(other.certificate))}")
    try:
        with made.client() as client, pytest.raises(UnavailableError, match="does not show this folder's certificate"):
            client.status()
    finally:
        made.installation.config.write_text(text)
    assert hub.process.poll() is None


def test_a_gateway_is_told_of_a_name_that_the_certificate_does_not_hold(made: Made) -> None:
    said = made.run("node", "add", "H2/n2", "--host", "hub.example.org", code=2)
    assert "the broker's certificate is not for hub.example.org" in said


def test_a_hub_opens_to_others_by_a_certificate_and_what_it_says_to_write(tmp_path: Path) -> None:
    plain = init(tmp_path / "hub")
    assert "nothing is encrypted" in plain.run("certificate", "show")
    said = plain.run("certificate", "make", "--host", "hub.example.org", "--host", "192.0.2.7")
    asked = tomllib.loads(said.split("tweeling.toml:\n")[1])
    settings = tomllib.loads(plain.installation.config.read_text())
    tables = {name: {**settings[name], **asked.get(name, {})} for name in settings}
    tables |= {f"{name}.tls": tables[name].pop("tls") for name in ("broker", "http")}
    assert [tables[name]["host"] for name in ("broker", "http")] == ["0.0.0.0"] * 2  # noqa: S104
    text = toml(tables, "As it was told").replace("0.0.0.0", "127.0.0.1")  # noqa: S104  a test stays on loopback
    plain.installation.config.write_text(text)
    assert "396 days" in plain.run("certificate", "show")
    with plain.up() as hub:
        assert hub.wait_line("hub.ready").endswith(f"url='https://hub.example.org:{plain.http_port}'")
        assert hub.terminate() == 0


@pytest.mark.parametrize("table", ["broker", "http"])
def test_a_hub_that_would_speak_plain_text_to_a_network_does_not_start(tmp_path: Path, table: str) -> None:
    plain = init(tmp_path / "hub")
    plain.configure(f"[{table}]", f'[{table}]\nhost = "0.0.0.0"')
    plain.configure("#host", "# was")
    said = plain.run("up", code=2)
    assert f"{table}.tls: 0.0.0.0 is more than this machine" in said
    assert "certificate make" in said


def test_without_names_a_certificate_is_for_nobody(tmp_path: Path) -> None:
    plain = init(tmp_path / "hub")
    assert "--host" in plain.run("certificate", "make", code=2)
    with pytest.raises(ConfigError, match="certificate make"):
        certificates.look(plain.installation.certificates.certificate)
