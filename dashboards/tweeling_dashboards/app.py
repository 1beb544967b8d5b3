"""The Dash app, on a server of its own that any ASGI app can mount."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dash import ClientsideFunction, Dash, Input, Output, State, ctx, no_update, set_props
from dash.exceptions import WebsocketDisconnected
from fastapi import FastAPI

from tweeling.ports.view import TwinView
from tweeling_dashboards import capacity, figures, page
from tweeling_dashboards.snapshot import NOTHING, Snapshots, take
from tweeling_dashboards.words import Words, chosen

_INDEX = """<!DOCTYPE html>
<html>
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
{%css%}
</head>
<body>
{%app_entry%}
{%config%}
{%scripts%}
<script id="_dash-renderer" src="/assets/start.js"></script>
</body>
</html>"""

PROBE_S = 60
"""How often a page is asked whether it is still there: a worker shared by tabs does not tell when one is closed."""


def create(view: TwinView) -> FastAPI:
    """Build the screens of a twin as an app to mount at /."""
    silent: Any = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
    server: Any = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=silent)
    app = Dash(
        __name__,
        server=server,
        title="Tweeling",
        update_title="",
        index_string=_INDEX,
        assets_ignore=r"start\.js",  # the index names it, behind everything it needs
        serve_locally=True,
        add_log_handler=False,
        enable_mcp=False,
        websocket_inactivity_timeout=0,  # a quiet hub is no reason to hang up
    )
    app.layout = _layout(app, view)
    _follow(app, view)
    _forecast(app, view)
    _client(app)
    mounted: FastAPI = server
    return mounted


def _layout(app: Dash, view: TwinView) -> Callable[[], Any]:
    def layout() -> Any:
        # Dash asks for the layout beside the page; the page's own query stands in the referrer.
        if not app.backend.has_request_context():
            return page.layout(NOTHING, chosen(None), zone=None)  # Dash looks which elements there are
        headers = app.backend.request_adapter().headers
        query = _query(headers.get("referer", ""))
        words = chosen(query.get("lang", [None])[0], headers.get("accept-language", ""))
        return page.layout(take(view), words, zone=query.get("zone", [None])[0])

    return layout


def _query(url: str) -> Mapping[str, Sequence[str | None]]:
    try:
        return parse_qs(urlsplit(url).query)
    except ValueError:
        return {}  # no browser sends such a URL


def _follow(app: Dash, view: TwinView) -> None:
    snapshots = Snapshots(view)

    @app.callback(State("lang", "data"), State("drawn", "data"), websocket=True, persistent=True)
    async def follow(lang: str, drawn: str) -> None:
        channel = ctx.websocket
        if channel is None:
            # This browser has no shared worker, so no websocket: it asks again and again instead.
            set_props("poll", {"disabled": False})
            return
        before = page.loaded(drawn)
        gone = asyncio.ensure_future(_gone(channel))
        try:
            async with contextlib.aclosing(snapshots.follow()) as followed:
                async for snapshot in followed:
                    if gone.done():
                        return
                    now = await asyncio.to_thread(page.shown, snapshot, Words(lang))
                    for element, props in now.since(before):
                        set_props(element, dict(props))
                    set_props("pulse", {"data": snapshot.number})
                    before = now
        finally:
            gone.cancel()

    @app.callback(
        Input("poll", "n_intervals"), State("lang", "data"), State("drawn", "data"), prevent_initial_call=True
    )
    async def poll(_: int, lang: str, drawn: str) -> None:
        now = await asyncio.to_thread(page.shown, await snapshots.fresh(), Words(lang))
        for element, props in now.since(page.loaded(drawn)):
            set_props(element, dict(props))


async def _gone(channel: Any, *, every_s: float = PROBE_S) -> None:
    """Return when the page no longer answers."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await channel.get_prop("lang", "data", timeout=every_s / 2)
        except (TimeoutError, WebsocketDisconnected):
            return


def _forecast(app: Dash, view: TwinView) -> None:
    @app.callback(
        Output("chart", "figure"),
        Output("told", "children"),
        Output("chart", "relayoutData"),
        Input("zone", "value"),
        Input("drawn", "data"),
        State("lang", "data"),
        State("chart", "relayoutData"),
    )
    async def show(zone: str | None, _: str, lang: str, looked: dict[str, Any] | None) -> tuple[Any, Any, Any]:
        figure, told = await asyncio.to_thread(capacity.show, view, zone, Words(lang))
        if ctx.triggered_id != "drawn":
            return figure, told, None
        return figures.zoomed(figure, looked or {}), told, no_update


def _client(app: Any) -> None:
    app.clientside_callback(
        ClientsideFunction("tweeling", "route"),
        Output("url", "search"),
        Output("zone", "value"),
        Output("other-language", "href"),
        Input("zone", "value"),
        Input("url", "search"),
        State("lang", "data"),
    )
    app.clientside_callback(ClientsideFunction("tweeling", "pulse"), Input("pulse", "data"))
