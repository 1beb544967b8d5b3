"""Whether the server lives, for whoever restarts it: no details, these are open to all."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from tweeling.errors import UnavailableError
from tweeling.ports.view import TwinView

# Without these no reading is kept and no screen can answer; without broker or ledger both can.
_NEEDED = frozenset({"ingest", "store", "custody"})


def router(view: TwinView) -> APIRouter:
    """The routes under /health."""
    routes = APIRouter(prefix="/health", tags=["health"])

    @routes.get("/live")
    async def live() -> dict[str, str]:
        """The process answers."""
        return {"status": "live"}

    @routes.get("/ready")
    def ready() -> Response:
        """What readings and screens need is there."""
        try:
            ok = all(part.ok for part in view.health() if part.part in _NEEDED)
        except UnavailableError:
            ok = False
        return JSONResponse({"status": "ready" if ok else "not ready"}, 200 if ok else 503)

    return routes
