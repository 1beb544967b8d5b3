"""A wire between a hub and its chain, on which a test sees each question and its answer, and may stop either."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

Watch = Callable[[str, str, Any], bool]
"""Asked with (moment, method, result): the moment is `asked` or `answered`. True: nothing more comes of it."""


class Wire:
    """Passes JSON-RPC on to a node; use as a context manager. A node that is down is answered by hanging up."""

    def __init__(self, rpc: str) -> None:
        self.watch: Watch = lambda *_: False
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                method = json.loads(body)["method"]
                self.close_connection = True
                if wire.watch("asked", method, None):
                    return
                try:
                    answer = wire._node.post(rpc, content=body, headers={"Content-Type": "application/json"})
                except httpx.HTTPError:
                    return
                if wire.watch("answered", method, answer.json().get("result")):
                    return
                self.close_connection = False
                self.send_response(answer.status_code)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:  # who asked was killed
                    self.close_connection = True

        self._node = httpx.Client(timeout=10, trust_env=False)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.rpc = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._node.close()
