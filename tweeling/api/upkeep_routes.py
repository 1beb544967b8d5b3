"""What a maintainer has a running hub do."""

from __future__ import annotations

from fastapi import APIRouter

from tweeling.api.access import Maintainer
from tweeling.ports.backup import PointsCopy


def router(copy: PointsCopy) -> APIRouter:
    """The routes under /api/upkeep."""
    routes = APIRouter(prefix="/api/upkeep", tags=["upkeep"], dependencies=[Maintainer])

    @routes.post("/points-copy", status_code=204)
    def copy_points() -> None:
        """Copy the points into the hub's own folder, for a backup; nothing of them is shown."""
        copy.make()

    return routes
