"""The interface's own page, without a script and without anything from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse

from tweeling.api.access import Reader


def router(app: FastAPI) -> APIRouter:
    """GET /api/docs and the OpenAPI document beside it."""
    routes = APIRouter(prefix="/api", include_in_schema=False, dependencies=[Reader])

    @routes.get("/openapi.json")
    def document() -> dict[str, Any]:
        return app.openapi()

    @routes.get("/docs")
    def page() -> HTMLResponse:
        rows = "".join(_rows(app.openapi()))
        return HTMLResponse(
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Tweeling API</title>'
            '<link rel="stylesheet" href="/login/files/login.css"></head><body><main class="wide"><h1>Tweeling API</h1>'
            '<p class="claim">Machine-readable: <a href="/api/openapi.json">openapi.json</a>. '
            "Machines send <code>Authorization: Bearer</code> and their token.</p>"
            f"<table>{rows}</table></main></body></html>"
        )

    return routes


def _rows(document: Mapping[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            told = html.escape(operation.get("description", operation.get("summary", "")))
            call = f"<code>{method.upper()}</code></td><td><code>{html.escape(path)}</code>"
            yield f"<tr><td>{call}</td><td>{told}</td></tr>"
