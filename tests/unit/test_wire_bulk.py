from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tweeling.adapters.mqtt.socket import Client
from tweeling.wire.bulk import BulkSocket

Pair = tuple[BulkSocket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield BulkSocket(ours), theirs


def test_many_small_reads_cost_one_of_the_kernel(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"abcdef")
    assert not ours.ready
    ours.fill()
    assert (ours.ready, ours.recv(1), ours.recv(2)) == (True, b"a", b"bc")
    theirs.sendall(b"gh")
    ours.fill()
    assert ours.recv(99) == b"defgh"
    assert not ours.ready
    with pytest.raises(BlockingIOError):
        ours.recv(1)


def test_the_end_of_the_stream_comes_behind_what_was_sent(pair: Pair) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")
    theirs.close()
    ours.fill()
    ours.fill()
    assert ours.recv(9) == b"x"
    assert ours.ready
    with pytest.raises(ConnectionResetError):
        ours.recv(9)


def test_what_is_sent_waits_for_the_flush_and_for_the_kernel(pair: Pair) -> None:
    ours, theirs = pair
    much = bytes(range(256)) * 4000  # more than a socket holds
    assert ours.send(much) == len(much)
    ours.flush()
    assert ours.unsent > 0
    assert ours.full
    with pytest.raises(BlockingIOError):
        ours.send(b"more")
    got = b""
    while len(got) < len(much):
        got += theirs.recv(1 << 20)
        ours.flush()
    assert got == much
    assert (ours.unsent, ours.full) == (0, False)


def test_a_write_to_nobody_ends_the_connection(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    ours.send(b"x")
    ours.flush()
    assert isinstance(ours.end, BrokenPipeError)


def test_closing_sends_what_is_left_first(pair: Pair) -> None:
    ours, theirs = pair
    ours.send(b"goodbye")
    ours.close()
    assert theirs.recv(99) == b"goodbye"
    assert theirs.recv(99) == b""


def test_paho_makes_its_socket_where_ours_takes_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = Client(CallbackAPIVersion.VERSION2, client_id="x")
        client.connect("127.0.0.1", server.getsockname()[1])
        assert client.socket() is client.bulk
        client.disconnect()
        client.loop_write()
