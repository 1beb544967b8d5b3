"""One ASGI app: interface and screens behind one door."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import version

from fastapi import FastAPI
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp

from tweeling.api import (
    audit_routes,
    custody_routes,
    docs,
    health_routes,
    log_routes,
    login,
    metrics_routes,
    movement_routes,
    problems,
    quarantine_routes,
    twin_routes,
    upkeep_routes,
)
from tweeling.api.auth import Auth
from tweeling.api.guard import LOOPBACK, BodyLimit, Guard, Headers
from tweeling.api.problems import Problem
from tweeling.api.screens import mount_screens
from tweeling.ports.audit import PointsAudit
from tweeling.ports.backup import PointsCopy
from tweeling.ports.custody_api import CustodyApi
from tweeling.ports.view import TwinView
from tweeling.services.corrections import Corrections
from tweeling.services.publishing import PublishedLog
from tweeling.services.quarantine import Quarantine


def create_app(
    view: TwinView,
    custody: CustodyApi,
    auth: Auth,
    *,
    log: PublishedLog | None = None,
    points: PointsAudit | None = None,
    quarantine: Quarantine | None = None,
    corrections: Corrections | None = None,
    copy: PointsCopy | None = None,
    hosts: Collection[str] = LOOPBACK,
    screens: bool = True,
) -> FastAPI:
    """Build the whole app.

    log: what anyone may read of the custody log; None shows nothing of it. points: what an auditor may ask about.
    quarantine: what may be seen and replayed. corrections: of weighings. copy: of the points, for a backup.
    hosts: names under which browsers and machines may call it, without port.
    """
    # FastAPI's own documentation pages load their scripts from a CDN, and its telemetry is no part of our promise.
    app = _App(
        title="Tweeling",
        version=version("tweeling"),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    problems.install(app)
    app.include_router(health_routes.router(view))
    app.include_router(metrics_routes.router(view))
    app.include_router(login.router(auth))
    app.include_router(docs.router(app))
    app.include_router(twin_routes.router(view))
    app.include_router(custody_routes.router(custody))
    app.include_router(log_routes.router(log))
    if points is not None:
        app.include_router(audit_routes.router(points))
    if quarantine is not None:
        app.include_router(quarantine_routes.router(quarantine))
    if corrections is not None:
        app.include_router(movement_routes.router(corrections))
    if copy is not None:
        app.include_router(upkeep_routes.router(copy))
    # What screens are mounted at / never hears of a mistyped interface.
    app.add_api_route("/api/{rest:path}", _unknown, include_in_schema=False)
    if screens:
        mount_screens(app, view)
    # The last one added is the outermost: the door, then what is inside.
    app.add_middleware(
        GZipMiddleware,
        minimum_size=1000,
        compresslevel=6,
        exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream"),  # hashes get no shorter
    )
    app.add_middleware(BodyLimit)
    app.add_middleware(Guard, auth=auth, hosts=hosts)
    return app


class _App(FastAPI):
    """Headers go around everything, for what Starlette answers to a failure comes from outside all its middleware."""

    def build_middleware_stack(self) -> ASGIApp:
        return Headers(super().build_middleware_stack())


async def _unknown(rest: str) -> None:
    raise Problem(404, "no such resource", f"/api/{rest}")
