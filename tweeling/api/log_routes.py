"""The custody log for anyone to read, as public tools for transparency logs read it (C2SP tlog-tiles)."""

from __future__ import annotations

from functools import partial

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from tweeling.api.guard import OPEN_LOG
from tweeling.api.problems import Problem
from tweeling.api.sessions import Attempts
from tweeling.domain import tile
from tweeling.domain.hosts import is_loopback
from tweeling.services.publishing import PublishedLog

_AT_ONCE = 2
_BURST, _A_SECOND = 2000, 100  # of one address: a log of ten million is read whole in a quarter of an hour
_NEWEST = {"Cache-Control": "public, max-age=1"}  # one is signed at most once a second
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}


def router(log: PublishedLog | None, *, budget: Attempts | None = None) -> APIRouter:
    """The routes under /log, open to all; where there is no log to show, strangers learn no more than that.

    budget: of each address that is not this machine.
    """
    routes = APIRouter(prefix=OPEN_LOG.rstrip("/"), tags=["log"])
    if log is not None:
        _add(routes, log, budget or Attempts(burst=_BURST, every_s=1 / _A_SECOND))

    @routes.head("/{rest:path}", include_in_schema=False)
    @routes.get("/{rest:path}", include_in_schema=False)
    async def unknown(rest: str) -> None:
        raise Problem(404, "no such part of the log", rest[:200])

    return routes


def _add(routes: APIRouter, log: PublishedLog, budget: Attempts) -> None:
    # Whoever reads a whole log leaves to the hub's own people the threads and connections that they need.
    few = CapacityLimiter(_AT_ONCE)

    async def admitted(request: Request) -> None:
        address = request.client.host if request.client else ""
        if not is_loopback(address) and (wait := budget.take(address)):
            raise Problem(429, "too many requests", headers={"Retry-After": str(int(wait) + 1)})

    admission = [Depends(admitted)]

    @routes.head("/checkpoint", dependencies=admission, include_in_schema=False)
    @routes.get("/checkpoint", dependencies=admission, response_class=Response)
    async def checkpoint() -> Response:
        """The log's newest checkpoint, a signed note; 404 before the first."""
        note = await to_thread.run_sync(log.checkpoint, limiter=few)
        if note is None:
            raise Problem(404, "nothing is signed yet")
        return Response(note, media_type="text/plain; charset=utf-8", headers=_NEWEST)

    @routes.head("/tile/{path:path}", dependencies=admission, include_in_schema=False)
    @routes.get("/tile/{path:path}", dependencies=admission, response_class=Response)
    async def part(path: str, request: Request) -> Response:
        """A tile of hashes (`0/x001/234`), or a bundle of entries (`entries/005.p/17`), under the newest checkpoint."""
        # The path as it came: an encoded one would be another name for the same bytes.
        named = None if b"%" in request.scope["raw_path"] else tile.parse(path)
        if named is None:
            raise Problem(404, "no name of a tile", path[:200])
        content = await to_thread.run_sync(partial(log.read, named), limiter=few)
        if content is None:
            raise Problem(404, "the newest checkpoint does not cover it", path)
        return Response(content, media_type="application/octet-stream", headers=_FOR_EVER)
