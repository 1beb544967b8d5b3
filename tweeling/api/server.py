"""Serving an app from a thread."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from tweeling.api.connections import Limits, protocol
from tweeling.errors import ConfigError, UnavailableError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    grace_s: int = 3,
    most: int = 512,
    head_s: float = 15,
    tls: ssl.SSLContext | None = None,
    beat: Callable[[], None] | None = None,
) -> Iterator[int]:
    """Serve while the block runs and yield the port (0 asks for a free one).

    Raises ConfigError when the port is taken. Leaving closes every connection, websockets too, within the grace.
    most: with so many connections open, requests are answered 503, and a few more are not taken at all; one address
    off this machine may have a quarter. Websockets count, and are never cut off by it.
    head_s: a connection that has not sent a whole request's head by then is closed.
    tls: what is shown; without it, plain text. beat: called about once a second, as long as requests can be answered.
    """

    async def beating() -> None:
        if beat is not None:
            beat()

    with _listen(host, port) as listener:
        server = _Server(
            uvicorn.Config(
                app,
                http=protocol(Limits(head_s, total=most + most // 8, each=most // 4)),
                ws="websockets-sansio",  # the other implementation rests on a deprecated part of websockets
                ws_max_size=256 * 1024,
                limit_concurrency=most,  # below the 1024 files that a process may commonly have open
                lifespan="off",
                log_config=None,  # logging is the process's own business
                access_log=False,
                server_header=False,
                proxy_headers=False,  # an X-Forwarded-For from anyone would empty the bucket of login attempts
                timeout_graceful_shutdown=grace_s,
                ssl_context_factory=None if tls is None else lambda *_: tls,
                callback_notify=beating,
                timeout_notify=1,
            )
        )
        thread = threading.Thread(target=server.run_on, args=(listener,), name="http", daemon=True)
        thread.start()
        try:
            server.await_start()
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(grace_s + 5)
            if thread.is_alive():
                log.error("http.stuck")


class _Server(uvicorn.Server):
    """uvicorn that tells when it listens, and why it does not."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._settled = threading.Event()

    def run_on(self, listener: socket.socket) -> None:
        try:
            self.run(sockets=[listener])
        finally:
            self._settled.set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._settled.set()

    def await_start(self, timeout_s: float = 30) -> None:
        if not self._settled.wait(timeout_s) or not self.started:
            raise UnavailableError("the HTTP server did not start")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as exc:
        remedy = "Choose another port, or stop who holds it"
        raise ConfigError(f"{host}:{port}: {exc.strerror}", field="http.port", remedy=remedy) from exc
