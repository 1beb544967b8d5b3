"""Asking a running hub, over loopback, with the token that belongs to this folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from tweeling import config
from tweeling.cli.installation import Installation
from tweeling.errors import ConfigError, RejectedError, UnavailableError


class HubClient:
    """A hub's interface; use as a context manager. Raises UnavailableError when no hub answers."""

    def __init__(self, folder: Path) -> None:
        installation = Installation(folder)
        settings = config.load(installation.config)
        self.url = f"http://127.0.0.1:{settings.http.port}"
        try:
            token = installation.token("cli").read_text().strip()
        except OSError as exc:
            raise ConfigError("cannot be read", source=str(installation.token("cli"))) from exc
        self._http = httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token}"}, timeout=10)

    def status(self) -> dict[str, Any]:
        """Totals, health and nodes."""
        answer: dict[str, Any] = self._get("/api/status").json()
        return answer

    def events(self, limit: int = 20) -> list[dict[str, Any]]:
        """The latest custody events, newest first."""
        answer: list[dict[str, Any]] = self._get("/api/events", limit=limit).json()
        return answer

    def things(self) -> list[dict[str, Any]]:
        """Every zone and container, as it is now."""
        answer: list[dict[str, Any]] = self._get("/api/things").json()
        return answer

    def history(self, hub: str, thing: str, *, hours: int) -> dict[str, Any]:
        """Hourly means of a thing's fillingLevel."""
        answer: dict[str, Any] = self._get(f"/api/things/{quote(hub)}/{quote(thing)}/history", hours=hours).json()
        return answer

    def newest_anchored(self, *, within: float) -> str:
        """The id of the newest event that the chain holds; waits so many seconds for the first one."""
        deadline = time.monotonic() + within
        while True:
            for row in self.events(limit=500):
                if row["state"] == "anchored":
                    return str(row["event_id"])
            if time.monotonic() >= deadline:
                raise UnavailableError("no event is anchored yet; `tweeling status` says how the ledger is")
            time.sleep(0.5)

    def receipt(self, event_id: str) -> bytes:
        """The receipt of an event."""
        return self._get(f"/custody/{quote(event_id, safe='')}/receipt").content

    def forecast(self, hub: str, thing: str) -> dict[str, Any]:
        """The newest forecast of a thing."""
        answer: dict[str, Any] = self._get(f"/api/things/{quote(hub)}/{quote(thing)}/forecast").json()
        return answer

    def _get(self, path: str, **query: str | int) -> httpx.Response:
        try:
            answer = self._http.get(path, params=query)
        except httpx.TransportError as exc:
            raise UnavailableError(
                f"no hub answers at {self.url}; `tweeling demo` or `tweeling up` starts one"
            ) from exc
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise UnavailableError(_detail(answer))
        if answer.is_error:
            raise RejectedError(_detail(answer))
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return f"the hub answered {answer.status_code}"
    return str(problem.get("detail") or problem.get("title") or f"the hub answered {answer.status_code}")
