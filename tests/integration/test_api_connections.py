"""Connections that ask for nothing keep nobody out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from support_broker import until

from tweeling.api import connections
from tweeling.api.server import serve

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def opened(port: int, number: int, sent: bytes = b"") -> Iterator[list[socket.socket]]:
    with ExitStack() as closing:
        made = [closing.enter_context(socket.create_connection(("127.0.0.1", port), 30)) for _ in range(number)]
        for each in made:
            each.sendall(sent)
        yield made


def status(port: int) -> int:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=30).status_code
    except httpx.TransportError:
        return 0


def ask(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        answer += (more := connection.recv(1000))
        assert more, "it is still open"


def is_closed(connection: socket.socket) -> bool:
    """Wait for the other end to close."""
    try:
        while connection.recv(1000):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("sent", [b"", REQUEST[:20], REQUEST + REQUEST[:20]])
def test_connections_without_a_whole_request_are_closed_and_others_answered_again(sent: bytes) -> None:
    with serve(app, "127.0.0.1", 0, most=8, head_s=0.5) as port, opened(port, 8, sent) as silent:
        assert all(is_closed(each) for each in silent)
        until(lambda: status(port) == 200, "requests are answered again")


def test_a_connection_that_goes_on_asking_is_kept() -> None:
    with serve(app, "127.0.0.1", 0, head_s=0.5) as port, opened(port, 1) as (line,), opened(port, 1) as (silent,):
        silent.settimeout(0.1)
        for _ in range(100):
            ask(line)
            try:
                assert is_closed(silent)
                break
            except TimeoutError:
                continue
        ask(line)


def test_more_connections_than_can_be_are_not_taken() -> None:
    with serve(app, "127.0.0.1", 0, most=8, head_s=60) as port, opened(port, 9), opened(port, 1) as (refused,):
        assert is_closed(refused)


def test_one_address_off_this_machine_cannot_have_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    with serve(app, "127.0.0.1", 0, most=8, head_s=60) as port:
        with opened(port, 2), opened(port, 1) as (refused,):
            assert is_closed(refused)
        until(lambda: status(port) == 200, "there is room for it again")
