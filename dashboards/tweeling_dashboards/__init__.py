"""Screens of the twin, in Dash; a server finds them by the entry-point group `tweeling.screens`."""

from __future__ import annotations

from fastapi import FastAPI

from tweeling.ports.view import TwinView

__all__ = ["mount"]


def mount(app: FastAPI, view: TwinView) -> None:
    """Mount the screens at / of an app; whoever serves the app guards its door."""
    from tweeling_dashboards.app import create

    app.mount("/", create(view))
