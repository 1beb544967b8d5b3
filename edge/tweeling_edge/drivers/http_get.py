"""GET, as a gateway does it: bounded in time and size, to one host, and in the clear only on the local network.

The standard library is enough for that, and takes nothing of a gateway's memory that is not there already.
"""

from __future__ import annotations

import base64
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from tweeling.errors import ConfigError, UnavailableError

_REDIRECTS = 3
_REDIRECTED = frozenset({301, 302, 303, 307, 308})
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_REMEDIES = {401: "see `credentials`", 403: "see `credentials`", 404: "see `url`"}


class Getter:
    """One address to ask, again and again."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        timeout_s: float,
        max_bytes: int,
        ca_file: Path | None = None,
        allow_plaintext: bool = False,
    ) -> None:
        """timeout_s: for the whole answer, whatever trickles in. Raises ConfigError where ca_file cannot be used."""
        self._url = url
        self._headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tweeling-edge"}
        self._headers |= headers
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._allow_plaintext = allow_plaintext
        self._context: ssl.SSLContext | None = None
        if urlsplit(url).scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=ca_file)
            except (OSError, ssl.SSLError) as exc:
                raise ConfigError(
                    f"cannot be used: {exc}", field="drivers.ca_file", remedy="It should name a PEM file"
                ) from exc
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2

    @property
    def place(self) -> str:
        """The address as it may be told."""
        return _place(urlsplit(self._url))

    def get(self) -> bytes:
        """The body of a 200; raise UnavailableError saying what came instead."""
        url = self._url
        for _ in range(_REDIRECTS + 1):
            answer = self._once(urlsplit(url))
            if isinstance(answer, bytes):
                return answer
            here = urlsplit(url)
            try:
                there = urlsplit(urljoin(url, answer))
            except ValueError as exc:
                raise self._unavailable(here, "redirects to what is no address") from exc
            if (there.scheme, there.netloc) != (here.scheme, here.netloc):
                raise self._unavailable(here, f"redirects to another place, {there.scheme}://{there.netloc}")
            url = there.geturl()
        raise self._unavailable(urlsplit(url), "redirects without end")

    def _once(self, parts: SplitResult) -> bytes | str:
        """The body, or where it redirects to."""
        connection = self._connection(parts)
        late_reason = f"no whole answer within {self._timeout_s:g} s"
        try:
            with _within(self._timeout_s, connection) as late:
                try:
                    self._connect(connection, late)
                    self._check_near(parts, connection)
                    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
                    connection.request("GET", target, headers=self._headers)
                    with connection.getresponse() as response:
                        answer = self._read(parts, response)
                except (OSError, HTTPException, ValueError) as exc:  # the last: a target that cannot be written
                    raise self._unavailable(parts, late_reason if late.is_set() else _told(exc)) from exc
                if late.is_set():  # hung up on, headers end as if that were their end
                    raise self._unavailable(parts, late_reason)
                return answer
        finally:
            connection.close()

    def _connect(self, connection: HTTPConnection, late: threading.Event) -> None:
        # By ourselves, so that there is something to hang up on as soon as it is there: a handshake may trickle, too.
        sock = connection.sock = socket.create_connection((connection.host, connection.port), self._timeout_s)
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_hostname=connection.host, do_handshake_on_connect=False)
            connection.sock = sock
        if late.is_set():  # while a name was looked up, or the other end was slow to answer
            raise TimeoutError
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()

    def _connection(self, parts: SplitResult) -> HTTPConnection:
        host = parts.hostname or ""
        if self._context is not None:
            return HTTPSConnection(host, parts.port, timeout=self._timeout_s, context=self._context)
        return HTTPConnection(host, parts.port, timeout=self._timeout_s)

    def _check_near(self, parts: SplitResult, connection: HTTPConnection) -> None:
        # By the address that was really reached, before anything is said.
        if self._context is None and not self._allow_plaintext:
            peer = ipaddress.ip_address(connection.sock.getpeername()[0].partition("%")[0])
            if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
                peer = peer.ipv4_mapped
            if not (peer.is_private or peer.is_loopback or peer.is_link_local):
                raise self._unavailable(
                    parts, f"{peer} is outside the local network; write https://, or allow_plaintext = true"
                )

    def _read(self, parts: SplitResult, answer: HTTPResponse) -> bytes | str:
        if answer.status in _REDIRECTED and (location := answer.getheader("Location")):
            return location
        if answer.status != 200:
            remedy = _REMEDIES.get(answer.status)
            raise self._unavailable(
                parts, f"answers {answer.status} {answer.reason}" + (f"; {remedy}" if remedy else "")
            )
        body = answer.read(self._max_bytes + 1)
        if len(body) > self._max_bytes:
            raise self._unavailable(parts, f"answers more than {self._max_bytes >> 10} KB; see `max_kb`")
        if answer.length:
            raise HTTPException(f"the answer breaks off after {len(body)} bytes")
        return body

    @staticmethod
    def _unavailable(parts: SplitResult, reason: str) -> UnavailableError:
        return UnavailableError(f"{_place(parts)}: {reason}")


def basic(username: str, password: str) -> str:
    """The Authorization header of RFC 7617."""
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"


def check_headers(headers: Mapping[str, str]) -> None:
    """Raise ValueError for a header that cannot be sent; its value is not told."""
    for name, value in headers.items():
        if not _HEADER.fullmatch(name) or not value.isprintable() or not value.isascii():
            raise ValueError(f"{name[:60]!r} is no header, or its value holds characters that none may have")


@contextmanager
def _within(seconds: float, connection: HTTPConnection) -> Iterator[threading.Event]:
    """Hang up after so long, whatever happens meanwhile; the event says that it was done."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        if (sock := connection.sock) is not None:
            with suppress(OSError):  # gone already
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, whose own way is not for two threads

    timer = threading.Timer(seconds, hang_up)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _place(parts: SplitResult) -> str:
    return f"{parts.scheme}://{parts.netloc}{parts.path}"  # a query may hold a key


def _told(exc: Exception) -> str:
    return str(exc) or type(exc).__name__
