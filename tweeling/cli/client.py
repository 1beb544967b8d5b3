"""Asking a running hub, over loopback, with the token that belongs to this folder."""

from __future__ import annotations

import ssl
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from tweeling import config
from tweeling.adapters.tls import Trust
from tweeling.cli.installation import Installation
from tweeling.domain.correction import Instead
from tweeling.domain.hosts import in_url
from tweeling.errors import ConfigError, RejectedError, UnavailableError
from tweeling.services.quarantine import ANY, Progress, Words


class HubClient:
    """A hub's interface; use as a context manager. Raises UnavailableError when no hub answers.

    bearer: whose token is shown.
    """

    def __init__(self, folder: Path, *, bearer: str = "cli") -> None:
        installation = Installation(folder)
        settings = config.load(installation.config)
        http = settings.http
        self.url = f"{'https' if http.tls else 'http'}://{in_url(config.reachable(http.host))}:{http.port}"
        self.log_url = settings.log_url
        try:
            token = installation.token(bearer).read_text().strip()
        except OSError as exc:
            raise ConfigError("cannot be read", source=str(installation.token(bearer))) from exc
        verify = _pinned(http.tls.cert_file) if http.tls else True
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=10, verify=verify, trust_env=False)

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

    def points_held(self, source: str) -> dict[str, Any]:
        """How many points the hub's store holds, and how far it has followed a source."""
        answer: dict[str, Any] = self._get("/api/audit/points", source=source).json()
        return answer

    def find_points(self, asked: bytes, media_type: str) -> bytes:
        """What the hub's store holds at some series and times; both are Arrow streams."""
        headers = {"Content-Type": media_type, "Accept-Encoding": "identity"}
        return self._ask("POST", "/api/audit/points", content=asked, headers=headers).content

    def messages(self, limit: int, *, before: int | None, words: Words) -> list[dict[str, Any]]:
        """Messages in quarantine, the newest first; fewer where they are large."""
        query = {"limit": limit, **words._asdict(), **({} if before is None else {"before": before})}
        answer: list[dict[str, Any]] = self._get("/api/quarantine", **query).json()
        return answer

    def message(self, id_: int) -> dict[str, Any]:
        """One message in quarantine, with its bytes in base64."""
        answer: dict[str, Any] = self._get(f"/api/quarantine/{id_}").json()
        return answer

    def movements(self, limit: int, *, before: int | None = None) -> list[dict[str, Any]]:
        """Weighings, the last applied first."""
        query = {"limit": limit, **({} if before is None else {"before": before})}
        answer: list[dict[str, Any]] = self._get("/api/movements", **query).json()
        return answer

    def correct(self, number: int, *, by: str, reason: str, instead: Instead) -> None:
        """Take a weighing back, and enter what it should have been where that is said."""
        told = {"by": by, "reason": reason, **instead._asdict()}
        self._ask("POST", f"/api/movements/{number}/correction", json=told)

    def replay(self, id_: int | None = None, *, before: int | None = None, words: Words = ANY) -> Progress:
        """Replay one message, or a page of those below an id."""
        which = {"id": id_, "before": before, **words._asdict()}
        return Progress(**self._ask("POST", "/api/quarantine/replay", json=which, timeout=120).json())

    def copy_points(self) -> None:
        """Have the hub copy its points, for a backup."""
        self._ask("POST", "/api/upkeep/points-copy", timeout=3600)

    def _get(self, path: str, **query: str | int) -> httpx.Response:
        return self._ask("GET", path, params=query)

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TransportError as exc:
            if "CERTIFICATE_VERIFY_FAILED" in str(exc):
                raise UnavailableError(
                    f"who answers at {self.url} does not show this folder's certificate: {exc}"
                ) from exc
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


def _pinned(certificate: Path) -> ssl.SSLContext:
    """The hub is this machine's, and its certificate a file here: what shows that is our hub, under whatever name."""
    trust = Trust(pinned_file=certificate)
    trust.check(field="http.tls")
    return trust.context()


def _detail(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return f"the hub answered {answer.status_code}"
    said = str(problem.get("detail") or problem.get("title") or f"the hub answered {answer.status_code}")
    field = str(problem.get("field") or "")
    return said if not field or field in said else f"{field}: {said}"
