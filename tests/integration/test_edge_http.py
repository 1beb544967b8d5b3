from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support_certificates import server_pair
from support_edge import Process, write_config
from support_http import Device
from support_servers import free_port

from tweeling.errors import ConfigError, UnavailableError
from tweeling_edge import config
from tweeling_edge.clock import Clock
from tweeling_edge.drivers import Look, Site
from tweeling_edge.drivers.http_get import Getter
from tweeling_edge.drivers.http_poll import HttpPoll, HttpPollSettings
from tweeling_edge.outbox_file import connect
from tweeling_edge.sample import from_body

LEVEL = {"name": "H1-A/fillingLevel", "path": "$.level", "unit": "%"}
BASIC = f"Basic {base64.b64encode(b'u:secret-word').decode()}"
HEADERS = 'url = "http://x/"\nheaders = { Authorization = "Bearer x" }'
TWICE = 'url = "http://x/"\nreadings = [{ name = "a/b", path = "$" }, { name = "a/b", path = "$" }]'
SITE = Site("H1", "gw1", Clock())


def poll(url: str, *readings: dict[str, Any], **more: Any) -> HttpPoll:
    raw = {"kind": "http-poll", "url": url, "readings": readings or (LEVEL,), **more}
    return HttpPoll(HttpPollSettings.model_validate(raw), SITE)


def failure(url: str, **more: Any) -> str:
    with pytest.raises(UnavailableError) as caught:
        list(poll(url, **more).look())
    return str(caught.value)


def test_one_answer_yields_several_readings_converted_and_with_the_devices_time() -> None:
    document = {"at": "2026-03-01T12:00:00", "sensors": [{"id": "a", "cm": "120"}, {"id": "b", "cm": 7}], "t": 23}
    readings = [
        {"name": "H1-A/distance", "path": "$.sensors[?@.id=='a'].cm", "time": "$.at", "unit": "m", "scale": 0.01},
        {"name": "H1-B/distance", "path": "$.sensors[?@.id=='b'].cm", "unit": "cm"},
        {"name": "H1/temperature", "path": "$.t", "unit": "Cel", "scale": 0.1, "offset": -1},
        {"name": "H1-C/distance", "path": "$.sensors[?@.id=='c'].cm"},
    ]
    with Device(lambda _: document) as device:
        looks = list(poll(device.url(), *readings, zone="Europe/Amsterdam").look())
    assert looks[:3] == [
        Look("H1-A/distance", "120", 1.2, "m", 1_772_362_800_000),
        Look("H1-B/distance", "7", 7, "cm"),
        Look("H1/temperature", "23", 1.3, "Cel"),
    ]
    assert looks[3].value is None
    assert looks[3].wrong == "$['sensors'] has 2 elements, none of them with @.id=='c'"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((401, {}, b""), "answers 401 Unauthorized; see `credentials`"),
        ((500, {}, b""), "answers 500"),
        ((204, {}, b""), "answers 204"),
        ((200, {}, b"<html>"), "the answer is no JSON"),
        ((200, {}, b"[" * 40 + b"]" * 40), "nested deeper than 32"),
        ((200, {}, b" " * 2000 + b"{}"), "answers more than 1 KB"),
        ((200, {"Content-Length": "500"}, b"{}"), "the answer breaks off after 2 bytes"),
        ((302, {"Location": "/round"}, b""), "redirects without end"),
        ((302, {"Location": "http://localhost:1/x"}, b""), "redirects to another place, http://localhost:1"),
        ((302, {"Location": "http://[x"}, b""), "redirects to what is no address"),
        ((302, {"Location": "/\xe9 x"}, b""), "URL can't contain control characters"),
        ((302, {"Location": "https://127.0.0.1/"}, b""), "redirects to another place"),
        (lambda connection: connection.sendall(b"SSH-2.0-OpenSSH\r\n"), "SSH-2.0"),
        (lambda connection: connection.close(), ""),
    ],
)  # fmt: skip
def test_an_answer_of_no_use_says_what_came_instead(answer: Any, reason: str) -> None:
    with Device(lambda _: answer) as device:
        told = failure(device.url("/state?key=hidden-word"), max_kb=1, timeout_s=5)
    assert reason in told
    assert f"http://127.0.0.1:{device.port}/" in told
    assert "hidden-word" not in told


def trickle(connection: socket.socket) -> None:
    connection.settimeout(0.05)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for _ in range(400):  # a line at a time, for ever
        connection.sendall(b"X-Slow: 1\r\n")
        try:
            if connection.recv(1) == b"":
                return
        except TimeoutError:
            continue


@pytest.mark.parametrize("how", [trickle, lambda connection: connection.recv(1)])
def test_an_answer_that_trickles_in_is_given_up_in_time(how: Callable[[socket.socket], None]) -> None:
    with Device(lambda _: how) as device:
        began = time.monotonic()
        told = failure(device.url(), timeout_s=0.5)
        assert time.monotonic() - began < 3
    assert how is not trickle or "no whole answer within 0.5 s" in told


def slow(seconds: float) -> Callable[..., socket.socket]:
    """Connect as where a name server takes so long."""
    connect = socket.create_connection

    def connected(*args: Any) -> socket.socket:
        time.sleep(seconds)
        return connect(*args)

    return connected


def test_a_connection_that_is_made_too_late_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(path: str) -> Any:
        asked.append(path)
        return {"level": 5}

    with Device(answer) as device:
        monkeypatch.setattr(socket, "create_connection", slow(0.3))
        assert "no whole answer within 0.1 s" in failure(device.url(), timeout_s=0.1)
    assert asked == []


def test_a_handshake_that_trickles_in_has_only_what_is_left_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", slow(1.5))
    ending = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle_on() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 KB begins
                for _ in range(200):
                    connection.sendall(b"\0")
                    if ending.wait(0.05):
                        return

        thread = threading.Thread(target=trickle_on)
        thread.start()
        began = time.monotonic()
        told = failure(f"https://127.0.0.1:{server.getsockname()[1]}/", timeout_s=2)
        took = time.monotonic() - began
        ending.set()
        thread.join()
    assert "no whole answer within 2 s" in told
    assert took < 3


def test_nobody_there_is_said_so() -> None:
    assert "Connection refused" in failure(f"http://127.0.0.1:{free_port()}/")


def test_a_redirect_on_the_same_host_is_followed() -> None:
    def answer(path: str) -> Any:
        return {"level": 5} if path == "/new?x=1" else (307, {"Location": "/new?x=1"}, b"")

    with Device(answer) as device:
        assert [look.value for look in poll(device.url("/old")).look()] == [5]


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ({"token": "secret-word"}, "Authorization", "Bearer secret-word"),
        ({"username": "u", "password": "secret-word"}, "Authorization", BASIC),
        ({"headers": {"X-Api-Key": "secret-word"}}, "X-Api-Key", "secret-word"),
    ],
)  # fmt: skip
def test_credentials_come_from_a_file_of_the_owner_alone(
    tmp_path: Path, content: dict[str, Any], name: str, value: str
) -> None:
    path = tmp_path / "device.json"
    path.write_text(json.dumps(content))
    path.chmod(0o644)
    with Device(lambda _: {"level": 5}) as device:
        with pytest.raises(ConfigError, match="chmod 600"):
            poll(device.url(), credentials=path)
        path.chmod(0o600)
        driver = poll(device.url(), credentials=path, headers={"X-Site": "H1"})
        assert "secret-word" not in repr(vars(driver)["_readings"])
        assert [look.value for look in driver.look()] == [5]
        ((_, headers),) = device.asked
    assert headers[name] == value
    assert headers["X-Site"] == "H1"


@pytest.mark.parametrize(
    "content", ["{}", '{"token": "a\\nb"}', '{"token": "x", "username": "u", "password": "p"}', "x"]
)
def test_a_credential_file_that_says_nothing_or_too_much_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "device.json"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(ConfigError, match="is no credential file"):
        poll("http://127.0.0.1:1/", credentials=path)


def test_https_is_verified_with_the_authority_given(tmp_path: Path) -> None:
    authority, pair = server_pair(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    with Device(lambda _: {"level": 5}, tls=context) as device:
        url = device.url().replace("http:", "https:")
        assert [look.value for look in poll(url, ca_file=authority).look()] == [5]
        assert "certificate verify failed" in failure(url)


def test_plain_http_leaves_the_local_network_only_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    with Device(lambda _: {"level": 5}) as device:
        monkeypatch.setattr(socket.socket, "getpeername", lambda _: ("8.8.8.8", 80))
        assert "8.8.8.8 is outside the local network" in failure(device.url())
        monkeypatch.setattr(socket.socket, "getpeername", lambda _: ("::ffff:8.8.8.8", 80, 0, 0))
        assert "8.8.8.8 is outside" in failure(device.url())
        assert device.asked == [], "nothing was said to it"
        assert [look.value for look in poll(device.url(), allow_plaintext=True).look()] == [5]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        (HEADERS, "drivers[0].headers", "belongs in `credentials`"),
        (TWICE, "drivers[0]", "one name"),
        ('url = "ftp://x/"', "drivers[0].url", "no http:// or https://"),
        ('url = "http://u:p@x/"', "drivers[0].url", "belong in `credentials`"),
        ('url = "http://x/\\r\\n"', "drivers[0].url", "characters"),
        ('url = "http://x/"\nzone = "Mars"', "drivers[0].zone", "no time zone"),
        ('url = "http://x/"\nevery_s = 0', "drivers[0].every_s", "greater than"),
        ('url = "http://x/"\nreadings = [{ name = "a/b", path = "$..c" }]', "drivers[0].readings[0].path", "at 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_settings_is_named(tmp_path: Path, line: str, field: str, reason: str) -> None:
    readings = "" if "readings" in line else 'readings = [{ name = "a/b", path = "$" }]'
    path = write_config(tmp_path, broker=None, extra=f'[[drivers]]\nkind = "http-poll"\n{line}\n{readings}')
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert (caught.value.field, reason in str(caught.value)) == (field, True), str(caught.value)


def test_the_agent_polls_into_its_outbox_and_tells_once_of_a_device_that_went_away(tmp_path: Path) -> None:
    levels = iter(range(10**6))
    with Device(lambda _: {"level": next(levels), "t": "warm"}) as device:
        driver = (
            f'[[drivers]]\nkind = "http-poll"\nurl = "{device.url()}"\nevery_s = 0.05\n'
            '[[drivers.readings]]\nname = "H1-A/level"\npath = "$.level"\n'
            '[[drivers.readings]]\nname = "H1-A/temperature"\npath = "$.t"\n'
        )
        agent = Process("run", write_config(tmp_path, broker=None, extra=driver))
        agent.__enter__()
        agent.wait_line("sensor.lost")
    try:
        agent.wait_line("driver.lost")
        assert agent.terminate() == 0
    finally:
        agent.__exit__()
    assert sum("sensor.lost" in line for line in agent.lines) == 1
    assert sum("driver.lost" in line for line in agent.lines) == 1
    with connect(tmp_path / "outbox.sqlite3") as database:
        samples = [from_body(body)[0] for (body,) in database.execute("SELECT body FROM reading ORDER BY seq")]
    database.close()
    assert [sample.value for sample in samples] == list(range(len(samples)))
    assert {sample.name for sample in samples} == {"H1-A/level"}
    assert len(samples) == len(device.asked)


def test_a_getter_asks_for_a_root_with_a_query() -> None:
    with Device(lambda _: {}) as device:
        Getter(f"http://127.0.0.1:{device.port}?a=1#there", headers={}, timeout_s=5, max_bytes=100).get()
        assert [path for path, _ in device.asked] == ["/?a=1"]
