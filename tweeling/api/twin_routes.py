"""Reading the twin over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from tweeling.api import models
from tweeling.api.access import Reader
from tweeling.api.problems import Problem
from tweeling.errors import UnavailableError
from tweeling.ports.view import TwinView

Name = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f/]+$")]
Hours = Annotated[int, Query(ge=1, le=24 * 7 * 160, description="how far back")]
Limit = Annotated[int, Query(ge=1, le=500)]


def router(view: TwinView) -> APIRouter:
    """The routes under /api."""
    routes = APIRouter(prefix="/api", tags=["twin"], dependencies=[Reader])

    @routes.get("/status")
    def status() -> models.Status:
        """How every part is, and what went through."""
        parts = [models.Part.model_validate(part) for part in view.health()]
        nodes = [models.Node.model_validate(node) for node in view.nodes()]
        ok = all(part.ok for part in parts)
        return models.Status(
            now_ms=view.now_ms(), ok=ok, parts=parts, nodes=nodes, counts=view.counts(), vitals=_vitals(view)
        )

    @routes.get("/things")
    def things() -> list[models.Thing]:
        """Every zone of the region, then every other container that reports."""
        return [models.Thing.model_validate(thing) for thing in view.things()]

    @routes.get("/things/{hub}/{thing}/history")
    def history(hub: Name, thing: Name, hours: Hours = 24 * 14) -> models.History:
        """Hourly mean fillingLevel of the last hours."""
        _check_known(view, hub, thing)
        rows = view.history(hub, thing, hours=hours)
        return models.History(hub=hub, thing=thing, times_ms=[row[0] for row in rows], values=[row[1] for row in rows])

    @routes.get("/things/{hub}/{thing}/forecast")
    def forecast(hub: Name, thing: Name) -> models.ForecastAnswer:
        """The newest forecast of a thing's fillingLevel; 404 while its history is too short for one."""
        _check_known(view, hub, thing)
        newest = view.forecast(hub, thing)
        if newest is None:
            raise Problem(404, "no forecast yet", "the history of this thing is too short")
        return models.ForecastAnswer.of(newest)

    @routes.get("/events")
    def events(limit: Limit = 20) -> list[models.Event]:
        """The latest custody events, newest first."""
        return [models.Event.model_validate(event) for event in view.events(limit)]

    return routes


def _vitals(view: TwinView) -> models.Vitals | None:
    try:
        return models.Vitals.model_validate(view.vitals())
    except UnavailableError:
        return None


def _check_known(view: TwinView, hub: str, thing: str) -> None:
    if not any((known.hub, known.thing) == (hub, thing) for known in view.things()):
        raise Problem(404, "unknown thing", f"{hub}/{thing} has never reported and is no zone", field="thing")
