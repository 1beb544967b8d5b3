"""Connections that ask for nothing are not kept, and nobody has all of them."""

from __future__ import annotations

import asyncio
import logging
from typing import NamedTuple

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from tweeling.domain.hosts import is_loopback

log = logging.getLogger(__name__)


class Limits(NamedTuple):
    """What connections may be. head_s: until a request's head is whole; each: of one address off this machine."""

    head_s: float
    total: int
    each: int


def protocol(limits: Limits) -> type[H11Protocol]:
    """A server's side of connections, within these limits."""

    class Limited(_Limited):
        _limits = limits

    return Limited


class _Limited(H11Protocol):
    """uvicorn's own timer runs between requests only: not before the first head, and not while one comes in pieces."""

    _limits: Limits
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        clients = (getattr(other, "client", None) for other in self.connections)  # websockets are among them
        of_it = sum(client is not None and client[0] == address for client in clients)
        if len(self.connections) > self._limits.total or (of_it > self._limits.each and not is_loopback(address)):
            log.debug("http.refused", extra={"address": address, "open": len(self.connections)})
            transport.abort()
            return
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_head()
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._head_timer = self.loop.call_later(self._limits.head_s, self.transport.abort)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
