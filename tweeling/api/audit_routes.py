"""What an auditor beside a running hub asks of its time-series store, whose file no second process can open."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from tweeling.api import arrow, models
from tweeling.api.access import Reader
from tweeling.ports.audit import PointsAudit

Source = Annotated[str, Query(min_length=1, max_length=200)]


def router(points: PointsAudit) -> APIRouter:
    """The routes under /api/audit."""
    routes = APIRouter(prefix="/api/audit", tags=["audit"], dependencies=[Reader])

    @routes.get("/points")
    def held(source: Source) -> models.PointsHeld:
        """How many points the store holds, and then how far it has followed a source."""
        count, kept = points.count(), points.kept()
        return models.PointsHeld(
            count=count,
            applied=points.applied(source),
            precision=points.precision,
            kept_from_ms=kept.from_ms,
            removed=kept.removed,
        )

    @routes.post("/points", response_class=Response)
    async def find(request: Request) -> Response:
        """What stands at the series and times of an Arrow stream (series, t): a stream of there, value, quality."""
        asked = arrow.decode_points(await request.body())
        found = await run_in_threadpool(points.find, asked)
        return Response(arrow.encode_found(found), media_type=arrow.MEDIA_TYPE)

    return routes
