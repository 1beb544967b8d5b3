from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from support_screens import HOSTILE_NUMBERS, PASSWORD, SmallCustody, SmallTwin, cheap_auth
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tweeling.api import tokens
from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.principals import Role
from tweeling.api.server import serve
from tweeling.errors import ConfigError


class Served:
    """A running server and what is behind it."""

    def __init__(self, url: str, auth: Auth, twin: SmallTwin, custody: SmallCustody, bearers: dict[Role, str]) -> None:
        self.url, self.auth, self.twin, self.custody, self.bearers = url, auth, twin, custody, bearers

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False)

    @contextlib.contextmanager
    def person(self) -> Iterator[httpx.Client]:
        with self.client(Origin=self.url) as client:
            assert client.post("/login", data={"password": PASSWORD, "next": "/"}).status_code == 303
            yield client

    def machine(self, role: Role) -> httpx.Client:
        return self.client(Authorization=f"Bearer {self.bearers[role]}")

    def socket(self, *, origin: str | None, cookie: str = "") -> ClientConnection:
        headers = {"Cookie": f"{self.auth.cookie}={cookie}"} if cookie else {}
        url = f"ws://{urlsplit(self.url).netloc}/_dash-ws-callback"
        return connect(url, origin=origin, additional_headers=headers, proxy=None)  # type: ignore[arg-type] # a NewType


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    bearers = {role: tokens.issue(tmp_path / "tokens.json", str(role), role) for role in (Role.QUERY, Role.CAPTURE)}
    auth, twin, custody = cheap_auth(tmp_path), SmallTwin(), SmallCustody()
    with serve(create_app(twin, custody, auth), "127.0.0.1", 0) as port:
        yield Served(f"http://127.0.0.1:{port}", auth, twin, custody, bearers)


PROTECTED = (
    *("/", "/_dash-layout", "/_dash-dependencies", "/assets/screens.css", "/nothing", "/health/x", "/login/codes"),
    *("/api/status", "/api/things", "/api/events", "/api/docs", "/api/openapi.json", "/custody/x/receipt"),
)


def test_a_stranger_sees_nothing(served: Served) -> None:
    with served.client() as stranger:
        for path in PROTECTED:
            answer = stranger.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert set(answer.json()) == {"type", "title", "status"}


def test_a_strangers_browser_is_led_to_the_login_and_back(served: Served) -> None:
    with served.client(Accept="text/html") as stranger:
        answer = stranger.get("/?lang=en&zone=H1-A")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=%2F%3Flang%3Den%26zone%3DH1-A"
        assert "Password" in stranger.get(answer.headers["location"]).text


def test_the_password_opens_a_session_in_a_strict_cookie(served: Served) -> None:
    with served.client(Origin=served.url) as client:
        answer = client.post("/login", data={"password": PASSWORD, "next": "/?lang=en"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/?lang=en")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert client.get("/api/status").status_code == 200


def test_a_wrong_password_opens_nothing(served: Served) -> None:
    with served.client(Origin=served.url) as client:
        answer = client.post("/login", data={"password": "guess", "next": "/"})
        assert answer.status_code == 401
        assert "Dit wachtwoord klopt niet" in answer.text
        assert "set-cookie" not in answer.headers
        assert client.get("/api/status").status_code == 401


def test_guessing_is_slowed_down(served: Served) -> None:
    with served.client(Origin=served.url) as client:
        answers = [client.post("/login", data={"password": str(guess)}) for guess in range(12)]
        assert answers[0].status_code == 401
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) > 0
        assert client.post("/login", data={"password": PASSWORD}).status_code == 429


def test_a_code_from_one_session_opens_another_once(served: Served) -> None:
    with served.person() as person, served.client(Origin=served.url) as phone:
        issued = person.post("/login/codes")
        path = issued.json()["path"]
        assert issued.status_code == 201
        assert path.startswith("/login#code=")
        code = path.partition("=")[2]
        assert phone.post("/login/code", json={"code": code}).status_code == 204
        assert phone.get("/api/status").status_code == 200
        assert phone.post("/login/code", json={"code": code}).status_code == 401


def test_logging_out_ends_the_session_on_the_server(served: Served) -> None:
    with served.person() as person:
        key = person.cookies[served.auth.cookie]
        assert person.post("/logout").status_code == 303
        with served.client(Cookie=f"{served.auth.cookie}={key}") as thief:
            assert thief.get("/api/status").status_code == 401


@pytest.mark.parametrize("origin", [None, "null", "http://[x", "http://evil.example", "http://127.0.0.1:1"])
def test_no_foreign_page_changes_anything(served: Served, origin: str | None) -> None:
    with served.person() as person:
        del person.headers["Origin"]
        headers = {} if origin is None else {"Origin": origin}
        for path in ("/logout", "/login", "/login/code", "/login/codes", "/_dash-update-component", "/events"):
            assert person.post(path, headers=headers).status_code == 403
        assert person.get("/api/status").status_code == 200


def test_a_foreign_name_for_this_machine_is_refused(served: Served) -> None:
    with served.person() as person:
        for host in ("evil.example", "evil.example:8050", "", "127.0.0.1.evil.example", "[::1].evil", "[::1"):
            assert person.get("/api/status", headers={"Host": host}).status_code == 421
            assert person.get("/login", headers={"Host": host}).status_code == 421
        port = urlsplit(served.url).port
        for host in (f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}", "127.0.0.1"):
            assert person.get("/health/live", headers={"Host": host}).status_code == 200


def test_every_answer_tells_the_browser_what_it_must_not_do(served: Served) -> None:
    with served.person() as person:
        for path in ("/", "/login", "/api/status", "/nothing", "/health/live"):
            headers = person.get(path).headers
            policy = headers["content-security-policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "script-src" not in policy
            assert "unsafe-eval" not in policy
            assert "http" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "server" not in headers
        assert person.get("/api/status").headers["cache-control"] == "no-store"


def test_a_failure_of_our_own_carries_the_same_headers_and_tells_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(key: str) -> None:
        raise ZeroDivisionError(key)

    # The door itself and what is behind it: whatever breaks, the headers are put on outside of it.
    monkeypatch.setattr(served.auth.sessions, "find", broken)
    with served.client(Cookie=f"{served.auth.cookie}=secret") as stranger:
        answer = stranger.get("/login")
    assert answer.status_code == 500
    assert answer.json() == {"type": "about:blank", "title": "failed", "status": 500}
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_login_that_should_lead_to_no_address_at_all_leads_home(served: Served) -> None:
    with served.client() as stranger:
        answer = stranger.get("/login", params={"next": "http://["})
    assert answer.status_code == 200
    assert 'name="next" id="next" value="/"' in answer.text


@pytest.mark.parametrize("path", ["/login", "/login/code"])
def test_what_anyone_may_send_is_small(served: Served, path: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b"&a=b" * 1024

    with served.client(Origin=served.url) as stranger:
        assert stranger.post(path, content=b"a" * 4097).status_code == 413
        assert stranger.post(path, content=endless()).status_code == 413


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/login", b"&".join([b"a=b"] * 9), 401),
        ("/login", b"&".join([b"password=" + PASSWORD.encode()] * 9), 401),
        ("/login/code", b"[" * 4000, 400),
        ("/login/code", b'{"code": "\\ud800"}', 400),
    ],
)
def test_a_login_that_is_not_understood_costs_an_attempt(
    served: Served, path: str, content: bytes, status: int
) -> None:
    with served.client(Origin=served.url) as stranger:
        statuses = [stranger.post(path, content=content).status_code for _ in range(12)]
    assert (statuses[0], statuses[-1]) == (status, 429)


def test_the_login_speaks_the_browsers_language_unless_the_url_names_one(served: Served) -> None:
    with served.client() as stranger:
        for accepted, lang, word in (
            ("", "", "Wachtwoord"),
            ("en-GB,en;q=0.9,nl;q=0.8", "", "Password"),
            ("nl-NL,nl;q=0.9,en;q=0.8", "", "Wachtwoord"),
            ("de-DE,de;q=0.9,en;q=0.8", "", "Password"),
            ("fr", "", "Wachtwoord"),
            ("en", "?lang=nl", "Wachtwoord"),
            ("en", "?next=/%3Flang%3Dnl", "Wachtwoord"),
        ):
            assert word in stranger.get(f"/login{lang}", headers={"Accept-Language": accepted}).text, accepted


def test_the_screens_speak_the_browsers_language_unless_the_url_names_one(served: Served) -> None:
    with served.person() as person:
        for accepted, page, word in (
            ("", "/", "Voorraad"),
            ("en-US,en;q=0.9", "/", "Stock"),
            ("nl,en;q=0.8", "/", "Voorraad"),
            ("en", "/?lang=nl", "Voorraad"),
            ("nl", "/?lang=en", "Stock"),
            ("nl", "http://[x", "Voorraad"),
        ):
            headers = {"Accept-Language": accepted, "Referer": f"{served.url}{page}" if page[0] == "/" else page}
            answer = person.get("/_dash-layout", headers=headers)
            assert answer.status_code == 200, page
            assert word in answer.text, page


def test_one_hostile_value_leaves_the_screens_standing(served: Served) -> None:
    for place, value in enumerate(HOSTILE_NUMBERS):
        served.twin.add_hostile(str(place), value)
    with served.person() as person:
        answer = person.get("/_dash-layout")
    assert answer.status_code == 200
    assert "Voorraad" in answer.text


def test_health_is_open_and_tells_no_details(served: Served) -> None:
    with served.client() as stranger:
        assert stranger.get("/health/live").json() == {"status": "live"}
        assert stranger.get("/health/ready").json() == {"status": "ready"}
        served.twin.set_down("health")
        answer = stranger.get("/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"status": "not ready"})


def test_the_twin_is_read_over_http(served: Served) -> None:
    with served.machine(Role.QUERY) as machine:
        status = machine.get("/api/status").json()
        assert status["ok"]
        assert status["counts"]["readings_in"] == 123_456
        things = machine.get("/api/things").json()
        assert {"hub": "H1", "thing": "H1-A"}.items() <= things[0].items()
        history = machine.get("/api/things/H1/H1-A/history", params={"hours": 24}).json()
        assert len(history["times_ms"]) == len(history["values"]) == 25
        forecast = machine.get("/api/things/H1/H1-A/forecast").json()
        assert list(forecast["quantiles"]) == ["0.1", "0.5", "0.9"]
        assert forecast["hours_to_full"] == [76, 211, None]
        assert machine.get("/api/events", params={"limit": 3}).json()[0]["state"] == "pending"


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/api/things/H1/H9-Z/history", 404, "thing"),
        ("/api/things/H1/H9-Z/forecast", 404, "thing"),
        ("/api/things/T1/T1-A/forecast", 404, None),
        ("/api/things/H1/H1-A/history?hours=x", 400, "hours"),
        ("/api/things/H1/H1-A/history?hours=0", 400, "hours"),
        ("/api/events?limit=100000", 400, "limit"),
        ("/api/nothing", 404, None),
    ],
)
def test_a_request_that_cannot_be_answered_names_its_part(
    served: Served, path: str, status: int, field: str | None
) -> None:
    with served.machine(Role.QUERY) as machine:
        answer = machine.get(path)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json().get("field")) == (status, field)


def test_a_store_that_is_down_is_told_with_when_to_ask_again(served: Served) -> None:
    served.twin.set_down("things")
    with served.machine(Role.QUERY) as machine:
        answer = machine.get("/api/things")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0


EVENT = {"eventID": "1", "type": "ObjectEvent"}


def test_an_event_is_captured_with_its_signature_and_yields_a_receipt(served: Served) -> None:
    signature = 'keyid="did:key:z6Mk", alg="ed25519", sig="AAEC"'
    with served.machine(Role.CAPTURE) as machine:
        answer = machine.post("/events", json=EVENT, headers={"Tweeling-Signature": signature})
        assert answer.status_code == 201
        assert answer.json() == {
            "eventID": "urn:event/1?x",
            "index": 0,
            "receipt": "/custody/urn%3Aevent%2F1%3Fx/receipt",
        }
        body, token, kept = served.custody.captured[0]
        assert (json.loads(body), token) == (EVENT, "capture")
        assert kept == ("did:key:z6Mk", "ed25519", b"\x00\x01\x02")
        assert machine.post("/events", json=EVENT).status_code == 409
    with served.machine(Role.QUERY) as machine:
        receipt = machine.get(answer.headers["location"])
        assert (receipt.status_code, receipt.headers["content-type"]) == (200, "application/cbor")
        assert machine.get("/custody/unknown/receipt").status_code == 404


def test_who_only_brings_events_reads_no_receipt(served: Served) -> None:
    with served.machine(Role.CAPTURE) as writer, served.person() as person:
        where = writer.post("/events", json=EVENT).headers["location"]
        assert writer.get(where).status_code == 403
        assert person.get(where).status_code == 200


@pytest.mark.parametrize(
    ("content", "headers", "status", "field"),
    [
        (b"[]", {}, 400, None),
        (b"{}", {}, 400, "eventID"),
        (b'{"eventID": 1}', {"Content-Type": "text/plain"}, 415, "Content-Type"),
        (b'{"eventID": 1}', {"Tweeling-Signature": "sig=x"}, 400, "Tweeling-Signature"),
        (b'{"eventID": 1}', {"Tweeling-Signature": 'keyid="a", alg="b", sig="A"'}, 400, "Tweeling-Signature"),
        (b"{" + b" " * (1 << 20), {}, 413, None),
    ],
)
def test_a_bad_event_is_refused_with_its_reason(
    served: Served, content: bytes, headers: dict[str, str], status: int, field: str | None
) -> None:
    with served.machine(Role.CAPTURE) as machine:
        answer = machine.post("/events", content=content, headers={"Content-Type": "application/json"} | headers)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json().get("field")) == (status, field)
    assert served.custody.captured == []


def test_a_body_without_a_length_is_cut_off_at_the_limit(served: Served) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    with served.machine(Role.CAPTURE) as machine:
        answer = machine.post("/events", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_log_that_is_down_is_no_fault_of_the_event(served: Served) -> None:
    served.custody.down = True
    with served.machine(Role.CAPTURE) as machine:
        assert machine.post("/events", json=EVENT).status_code == 503


def test_each_role_does_its_own_and_no_more(served: Served) -> None:
    with served.machine(Role.QUERY) as reader, served.machine(Role.CAPTURE) as writer, served.person() as person:
        assert reader.post("/events", json=EVENT).status_code == 403
        assert person.post("/events", json=EVENT).status_code == 403
        assert writer.get("/api/things").status_code == 403
        for machine in (reader, writer):
            assert machine.get("/").status_code == 403
            assert machine.post("/login/codes").status_code == 403
    with served.client(Authorization="Bearer nothing") as stranger:
        assert stranger.get("/api/status").status_code == 401
        assert stranger.get("/login").status_code == 401


def test_the_interface_describes_itself_without_anything_from_elsewhere(served: Served) -> None:
    with served.person() as person:
        page = person.get("/api/docs").text
        assert "/custody/{event_id}/receipt" in page
        assert "http" not in page.replace("http-equiv", "")
        paths = person.get("/api/openapi.json").json()["paths"]
    assert {"/events", "/api/status", "/api/things/{hub}/{thing}/forecast"} <= set(paths)
    assert "/login" not in paths


def test_a_websocket_without_a_session_is_refused(served: Served) -> None:
    with pytest.raises(InvalidStatus) as refused, served.socket(origin=served.url):
        pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("origin", [None, "http://[x", "http://evil.example"])
def test_a_websocket_from_a_foreign_page_is_refused(served: Served, origin: str | None) -> None:
    with served.person() as person:
        key = person.cookies[served.auth.cookie]
    with pytest.raises(InvalidStatus) as refused, served.socket(origin=origin, cookie=key):
        pass
    assert refused.value.response.status_code == 403


def test_a_websocket_ends_with_its_session(served: Served) -> None:
    with served.person() as person:
        key = person.cookies[served.auth.cookie]
        with served.socket(origin=served.url, cookie=key) as channel:
            channel.send('{"type": "heartbeat"}')
            assert json.loads(channel.recv(timeout=10)) == {"type": "heartbeat_ack"}
            person.post("/logout")
            channel.send('{"type": "heartbeat"}')
            with pytest.raises(ConnectionClosed) as closed:
                channel.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001


def test_a_crowd_is_turned_away_while_open_pages_go_on(tmp_path: Path) -> None:
    auth = cheap_auth(tmp_path)
    with serve(create_app(SmallTwin(), SmallCustody(), auth), "127.0.0.1", 0, most=3) as port:
        served = Served(f"http://127.0.0.1:{port}", auth, SmallTwin(), SmallCustody(), {})
        with served.person() as person, served.socket(origin=served.url, cookie=person.cookies[auth.cookie]) as channel:
            with socket.create_connection(("127.0.0.1", port)) as idle:
                _await_status(person, 503)
                channel.send('{"type": "heartbeat"}')
                assert json.loads(channel.recv(timeout=10)) == {"type": "heartbeat_ack"}
                idle.shutdown(socket.SHUT_RDWR)
            _await_status(person, 200)


def _await_status(client: httpx.Client, status: int) -> None:
    deadline = time.monotonic() + 10
    while client.get("/health/live").status_code != status:
        assert time.monotonic() < deadline, status


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port}"), serve(_nothing, "127.0.0.1", port):
            pass


async def _nothing(scope: object, receive: object, send: object) -> None:
    """An app that never answers."""
