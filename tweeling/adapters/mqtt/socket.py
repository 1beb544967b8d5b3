"""paho on a buffered socket."""

from __future__ import annotations

import socket
from typing import Any

import paho.mqtt.client as paho

from tweeling.wire.bulk import BulkSocket


class Client(paho.Client):
    """A paho client on a `BulkSocket`, for a loop that calls `loop_read`, `loop_write` and `loop_misc` itself."""

    bulk: BulkSocket | None = None

    def _create_socket(self) -> Any:
        # The one method of paho's insides that is used here; a test fails should it ever be called otherwise.
        sock: Any = super()._create_socket()
        # Small packets go as they come: an ack held back for a fuller segment costs 40 ms.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bulk = BulkSocket(sock)
        return self.bulk
