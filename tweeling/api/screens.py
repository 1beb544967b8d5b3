"""Screens are strangers that announce themselves by entry point; the API never imports them by name."""

from __future__ import annotations

import importlib.metadata
import logging

from fastapi import FastAPI

from tweeling.ports.view import TwinView

log = logging.getLogger(__name__)

GROUP = "tweeling.screens"


def mount_screens(app: FastAPI, view: TwinView) -> list[str]:
    """Let every package with screens mount them, and return their names; they come behind the API's own routes."""
    mounted = []
    for entry in importlib.metadata.entry_points(group=GROUP):
        try:
            mount = entry.load()
        except ModuleNotFoundError as exc:
            # The extra `dashboards` was left out, as on a hub without people.
            log.warning("screens.missing", extra={"screens": entry.name, "missing": exc.name})
            continue
        mount(app, view)
        mounted.append(entry.name)
    return mounted
