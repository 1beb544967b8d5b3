"""A node of a chain that misbehaves as it is told: a loopback server between a hub and anvil."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Answer:
    """What it says in place of the chain's answer."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0
    """Pause between two bytes, of head and body alike."""


Misbehaviour = Callable[[str, Any, Callable[[], dict[str, Any]]], "Answer | dict[str, Any] | None"]
"""Takes method, params, and what asks the chain; gives what to answer. None: the connection is cut."""


class Node:
    """Passes everything on until it is told how to misbehave. asked: every method since start."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.asked: list[str] = []
        self.over = threading.Event()
        self.hanging = threading.Event()
        self._how: Misbehaviour | None = None
        self._client = httpx.Client(trust_env=False, timeout=30)

    def behave(self) -> None:
        """As the chain does."""
        self._how = None

    def misbehave(self, how: Misbehaviour) -> None:
        """From the next question on."""
        self._how = how

    def always(self, answer: Answer) -> None:
        """The same to every question."""
        self._how = lambda *_: answer

    def hang(self) -> None:
        """Take questions, and never answer."""
        self.hanging.clear()

        def hang(*_: object) -> None:
            self.hanging.set()
            self.over.wait(60)

        self._how = hang

    def change(self, method: str, change: Callable[[Any], Any]) -> None:
        """Change the result of one method."""

        def changed(asked: str, _: object, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
            answer = ask()
            return answer | {"result": change(answer["result"])} if asked == method and "result" in answer else answer

        self._how = changed

    def answer(self, request: dict[str, Any]) -> Answer | dict[str, Any] | None:
        """Ask the chain, or not."""

        def ask() -> dict[str, Any]:
            answer: dict[str, Any] = self._client.post(self.upstream, json=request).json()
            return answer

        self.asked.append(request["method"])
        how = self._how
        return ask() if how is None else how(request["method"], request["params"], ask)

    def upstream_answer(self, method: str, params: Any) -> dict[str, Any]:
        """What the chain says to another question."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer: dict[str, Any] = self._client.post(self.upstream, json=request).json()
        return answer

    def close(self) -> None:
        """Let go of those who wait."""
        self.over.set()
        self._client.close()


@contextmanager
def misbehaving(upstream: str) -> Iterator[Node]:
    """Stand between."""
    node = Node(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            told = node.answer(request)
            if told is None:
                self.close_connection = True
                return
            answer = Answer(json.dumps(told).encode()) if isinstance(told, dict) else told
            head = [f"HTTP/1.1 {answer.status} said", f"Content-Length: {len(answer.body)}"]
            head += [f"{name}: {value}" for name, value in answer.headers.items()]
            self._say("\r\n".join([*head, "", ""]).encode() + answer.body, answer.drip_s)

        def _say(self, said: bytes, drip_s: float) -> None:
            try:
                for piece in (said,) if not drip_s else (said[at : at + 1] for at in range(len(said))):
                    self.wfile.write(piece)
                    if drip_s and node.over.wait(drip_s):
                        break
            except OSError:
                self.close_connection = True  # the asker has had enough

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        node.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield node
        finally:
            node.close()
            server.shutdown()
            thread.join()
