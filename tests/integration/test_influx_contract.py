"""What we send to an InfluxDB 2 and how we read it, against a small server with answers recorded from InfluxDB 2.7.12.

It holds our requests to their form where no InfluxDB is given; that a real one takes them, the conformance suite tells.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support_store import T0, points

from tweeling.adapters.influx import InfluxStore
from tweeling.adapters.influx_server import Access
from tweeling.adapters.influx_setup import Kept, flux
from tweeling.adapters.victoria import VictoriaMetricsStore
from tweeling.adapters.victoria_server import Server
from tweeling.errors import ConfigError, RefusedError, TweelingError, UnavailableError
from tweeling.ports.timeseries import Aggregate

A = "H1/H1-A/fillingLevel"
_TOKEN = "s3cret-t0ken"
_POINT_LINE = re.compile(rb"tweeling,series=[A-Za-z0-9/._~%-]+ value=-?[0-9.]+(e[+-]?\d+)?,quality=\d+i \d+\n")
_PLACE_LINE = re.compile(rb"tweeling_applied,source=[A-Za-z0-9/._~%-]+ through=\d+i 0")
_NOTHING = b"\r\n"
_RAW = (
    b",result,table,_time,_value,_field,series\r\n"
    b",_result,0,2026-01-01T00:00:00.001Z,0,quality,H1%25/a\r\n"
    b",_result,1,2026-01-01T00:00:00Z,0,quality,H1/a\r\n"
    b",_result,1,2026-01-01T00:00:00.5Z,3,quality,H1/a\r\n"
    b",_result,2,2026-01-01T00:00:00.001Z,0.7,value,H1%25/a\r\n"
    b",_result,3,2026-01-01T00:00:00Z,0.5,value,H1/a\r\n"
    b",_result,3,2026-01-01T00:00:00.5Z,0.0000001,value,H1/a\r\n"
    b"\r\n"
)
_HALF = _RAW + b",error,reference\r\n,the query was stopped: out of memory,897\r\n\r\n"


class _Server(ThreadingHTTPServer):
    """Answers every query with `answer`, or everything with `status`; keeps what it was sent, in order."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.sent: list[tuple[str, bytes]] = []
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.answer, self.status, self.claims = _NOTHING, 200, 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class calls it so
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        address = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(address.query, strict_parsing=True).items()}
        if self.headers["Authorization"] != f"Token {_TOKEN}":
            self.server.wrong.append("no token")
        if address.path == "/api/v2/write":
            bucket = asked.get("bucket", "")
            form, whole = (_PLACE_LINE, body) if bucket.endswith("_places") else (_POINT_LINE, body)
            if {**asked, "bucket": ""} != {"org": "hubs", "bucket": "", "precision": "ms"} or form.sub(b"", whole):
                self.server.wrong.append(f"{asked} {body[:200]!r}")
            self.server.sent.append((bucket, body))
            self._say(self.server.status if self.server.status != 200 else 204, b"")
        elif address.path == "/api/v2/query" and asked == {"org": "hubs"}:
            query = json.loads(body)
            if query["dialect"]["annotations"] != [] or query["dialect"]["header"] is not True:
                self.server.wrong.append(f"{query['dialect']}")
            self.server.asked.append(query["query"])
            self._say(self.server.status, self.server.answer)
        else:
            self.server.wrong.append(self.path)
            self._say(self.server.status if self.server.status != 200 else 404, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body) + self.server.claims))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = bool(self.server.claims)


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server()
    thread = Thread(target=made.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()
        assert made.wrong == []


@pytest.fixture
def store(server: _Server) -> Iterator[InfluxStore]:
    access = Access(f"http://127.0.0.1:{server.server_port}", "hubs", "raw", _TOKEN, "secrets/influxdb-token")
    with closing(InfluxStore(access, raw_days=90, now_ms=lambda: T0)) as opened:
        yield opened


def test_points_are_sent_as_lines_and_how_far_they_go_only_behind_them_when_asked(
    server: _Server, store: InfluxStore
) -> None:
    store.apply(points((A, T0, 0.5, 3), ('a b,c=d\n"$', T0 + 1, 1e-7), (A, T0, 0.25)), source="j:1", through=7)
    assert server.sent == [
        (
            "raw",
            f"tweeling,series={A} value=0.25,quality=0i {T0}\n"
            f"tweeling,series=a%20b%2Cc%3Dd%0A%22%24 value=1e-7,quality=0i {T0 + 1}\n".encode(),
        )
    ]
    store.applied("j:1")
    assert server.sent[1:] == [("raw_places", b"tweeling_applied,source=j%3A1 through=7i 0")]


def test_many_lines_travel_in_requests_below_a_megabyte(server: _Server, store: InfluxStore) -> None:
    store.apply(points(*((A, T0 + n, n / 8) for n in range(45_000))), source="j", through=1)
    assert sum(body.count(b"\n") for _, body in server.sent) == 45_000
    assert all(900_000 < len(body) <= 1_000_000 for _, body in server.sent[:-1])
    assert len(server.sent[-1][1]) <= 1_000_000


def test_points_older_than_the_bucket_keeps_are_not_sent(server: _Server, store: InfluxStore) -> None:
    store.apply(points((A, T0 - 91 * 86_400_000, 0.5)), source="j", through=1)
    assert server.sent == []


def test_an_answer_is_read_into_columns(server: _Server, store: InfluxStore) -> None:
    server.answer = _RAW
    found = store.find(points(("H1/a", T0 + 500, 0), ("H1%/a", T0 + 1, 0), ("H1/a", T0 + 1, 0)))
    assert found.there.tolist() == [True, True, False]
    assert found.values.tolist() == [1e-7, 0.7, 0.0]
    assert found.quality.tolist() == [3, 0, 0]
    assert found.values.dtype == np.float64


def test_an_answer_without_rows_is_none(store: InfluxStore) -> None:
    assert store.raw(A, start_ms=0, end_ms=T0).rows() == []
    assert store.latest() == []
    assert store.count() == 0
    assert store.applied("j") == 0


def test_a_name_is_text_in_a_query(server: _Server, store: InfluxStore) -> None:
    store.window('a")/ or $.+', start_ms=T0 - 1000, end_ms=T0, step_ms=1000, aggregate=Aggregate.MEAN)
    assert "r.series =~ /^(a%22%29\\/%20or%20%24[.]%2B)$/" in server.asked[-1]


@pytest.mark.parametrize(("claims", "reason"), [(0, "out of memory"), (100, "does not answer")])
def test_half_an_answer_is_none(server: _Server, store: InfluxStore, claims: int, reason: str) -> None:
    server.answer, server.claims = (_RAW if claims else _HALF), claims
    with pytest.raises(UnavailableError, match=reason):
        store.raw("H1/a", start_ms=T0, end_ms=T0 + 1000)


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, RefusedError, "secrets/influxdb-token"),
        (403, RefusedError, "raw, raw_hourly and raw_places"),
        (404, RefusedError, "tweeling migrate"),
        (400, RefusedError, "said 400.* InfluxDB 2 itself"),
        (408, UnavailableError, "said 408"),
        (413, RefusedError, "said 413.*client_max_body_size"),
        (422, RefusedError, "said 422"),
        (429, UnavailableError, "said 429"),
        (500, UnavailableError, "said 500"),
        (503, UnavailableError, "said 503"),
    ],
)
def test_a_refusal_says_what_to_do_and_no_token(
    server: _Server, store: InfluxStore, status: int, kind: type[TweelingError], says: str
) -> None:
    store.apply(points((A, T0, 0.5)), source="j", through=1)
    server.status, server.answer = status, b"because"
    for ask in (store.count, lambda: store.apply(points((A, T0, 0.5)), source="j", through=2)):
        with pytest.raises(kind, match=says) as caught:
            ask()
        assert type(caught.value) is kind
        assert _TOKEN not in f"{caught.value!r} {caught.value.__cause__}"
    server.status = 200


def test_a_server_under_tls_must_show_a_certificate_of_the_named_authority(server: _Server, tmp_path: Path) -> None:
    certificate = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    for ca_file in (None, tmp_path / "missing.pem"):
        access = Access(f"https://127.0.0.1:{server.server_port}", "hubs", "raw", _TOKEN, ca_file=ca_file)
        with closing(InfluxStore(access, raw_days=90, now_ms=lambda: T0)) as store:
            with pytest.raises(ConfigError) as caught:
                store.count()
            assert caught.value.field == "store.ca_file"
    with closing(InfluxStore(replace(access, ca_file=certificate), raw_days=90, now_ms=lambda: T0)) as store:
        assert store.count() == 0


@pytest.mark.parametrize(("status", "says"), [(400, "single VictoriaMetrics"), (413, "client_max_body_size")])
def test_victoria_metrics_that_says_no_is_refused_with_a_remedy(server: _Server, status: int, says: str) -> None:
    server.status = status
    with closing(Server(f"http://127.0.0.1:{server.server_port}", ca_file=None, timeout_s=10)) as asked:
        for ask in (lambda: asked.write(b"a value=1 1"), lambda: asked.names("{}")):
            with pytest.raises(RefusedError, match=f"said {status}.*{says}") as caught:
                ask()
            assert caught.value.field == "store.url"
    server.wrong.clear()


def test_victoria_metrics_under_tls_must_show_one_too(server: _Server, tmp_path: Path) -> None:
    certificate = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_port}"
    with (
        closing(VictoriaMetricsStore(url)) as store,
        pytest.raises(UnavailableError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        store.count()
    with pytest.raises(ConfigError, match=r"missing\.pem") as caught:
        VictoriaMetricsStore(url, ca_file=tmp_path / "missing.pem")
    assert caught.value.field == "store.ca_file"
    with (
        closing(VictoriaMetricsStore(url, ca_file=certificate)) as store,
        pytest.raises(UnavailableError, match="said 501"),
    ):
        store.count()  # it spoke: this server knows none of its paths
    server.wrong.clear()


def _self_signed(folder: Path) -> Path:
    """A PEM file with a key and a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "influx")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(hours=1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "influx.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


def test_the_token_is_not_in_what_is_printed(store: InfluxStore) -> None:
    assert _TOKEN not in repr(store._server.access)


def test_tasks_compute_recent_hours_and_those_that_are_about_to_leave() -> None:
    access = Access("http://127.0.0.1:8086", "hubs", "raw", _TOKEN)
    recent, leaving = flux(access, Kept(raw_days=90)).values()
    assert "t: -48h" in recent
    assert "t: -2159h" in leaving, "all but an hour of 90 days"
    assert "t: -2087h" in leaving
    assert leaving.count('to(bucket: "raw_hourly")') == 1
    assert flux(access, Kept(raw_days=0)) == {}


def test_too_few_days_for_what_comes_late_are_refused() -> None:
    with pytest.raises(ConfigError, match="5 days at least") as caught:
        Kept(raw_days=2).check()
    assert caught.value.field == "store.raw_days"


def test_a_window_that_the_range_cuts_begins_at_its_step_all_the_same(server: _Server, store: InfluxStore) -> None:
    server.answer = (
        b",result,table,_time,_value,_field,series\r\n"
        b",_result,0,2026-01-01T00:00:00.25Z,4,value,H1/H1-A/fillingLevel\r\n\r\n"
    )
    found = store.window(A, start_ms=T0 + 250, end_ms=T0 + 1000, step_ms=1000, aggregate=Aggregate.COUNT)
    assert (found.times.tolist(), found.values.tolist()) == ([T0], [4.0])
