from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tweeling.adapters.mqtt.socket import BufferedSocket, Client


@pytest.fixture
def pair() -> Iterator[tuple[BufferedSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield BufferedSocket(ours), theirs


def test_many_small_reads_cost_one_of_the_kernel(pair: tuple[BufferedSocket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"abcdef")
    assert ours.recv(1) == b"a"
    assert ours.pending() == 5
    assert ours.recv(2) == b"bc"
    assert ours.recv(99) == b"def"
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_the_end_of_the_stream_is_no_bytes(pair: tuple[BufferedSocket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")
    theirs.close()
    assert (ours.recv(9), ours.recv(9)) == (b"x", b"")


def test_what_is_sent_waits_for_the_flush_and_for_the_kernel(pair: tuple[BufferedSocket, socket.socket]) -> None:
    ours, theirs = pair
    much = bytes(range(256)) * 20_000  # more than a socket holds
    assert ours.send(much) == len(much)
    ours.flush()
    assert ours.unsent > 0
    got = b""
    while len(got) < len(much):
        got += theirs.recv(1 << 20)
        ours.flush()
    assert got == much
    assert ours.unsent == 0


def test_closing_sends_what_is_left_first(pair: tuple[BufferedSocket, socket.socket]) -> None:
    ours, theirs = pair
    ours.send(b"goodbye")
    ours.close()
    assert theirs.recv(99) == b"goodbye"
    assert theirs.recv(99) == b""


def test_paho_makes_its_socket_where_ours_takes_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(CallbackAPIVersion.VERSION2, client_id="x")
        client.connect("127.0.0.1", server.getsockname()[1])
        assert client.socket() is client.buffered
        client.disconnect()
        client.loop_write()
