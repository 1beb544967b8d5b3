"""The door: pure ASGI, so that a websocket passes through it as well as a request."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tweeling.api import problems
from tweeling.api.auth import Auth
from tweeling.api.principals import Principal
from tweeling.api.problems import Problem

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""Names under which a browser on this machine reaches us."""

OPEN = frozenset({"/login", "/login/code", "/login/session", "/logout", "/health/live", "/health/ready"})
"""What may be asked by anyone, beside the login page's own files."""
OPEN_FILES = "/login/files/"
OPEN_LOG = "/log/"
"""Where anyone reads the custody log, which holds commitments only."""

MACHINES = ("/api/", "/events", "/custody/", "/metrics")
"""Where a token is worth something."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_GONE = 4001  # Dash's worker takes this code as final and does not call again


class Guard:
    """Lets through who is known, from a page of ours, under a name of ours; puts `principal` into the scope's state."""

    def __init__(self, app: ASGIApp, *, auth: Auth, hosts: Collection[str] = LOOPBACK) -> None:
        self._app = app
        self._auth = auth
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            principal = self._admit(connection)
        except Problem as problem:
            await _refuse(problem, connection, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        if scope["type"] == "websocket":
            receive = self._while_known(connection, receive, send)
        await self._app(scope, receive, send)

    def _admit(self, connection: HTTPConnection) -> Principal | None:
        # (1) the name we are called by is ours: a foreign name that resolves to us is DNS rebinding
        _check_host(connection, self._hosts)
        # (2) a machine shows its token, where tokens count; who reads the log may show whatever its program sends along
        authorization = connection.headers.get("authorization")
        if authorization is not None and not _reads_log(connection.scope):
            return self._bearer(authorization, connection.scope)
        # (3) what changes something, or holds a channel open, comes from a page of ours
        if connection.scope["type"] == "websocket" or connection.scope["method"] not in _SAFE:
            _check_origin(connection)
        # (4) a person has a session
        principal = self._auth.sessions.find(connection.cookies.get(self._auth.cookie, ""))
        if principal is None and not _is_open(connection.scope):
            raise Problem(401, "log in first", headers={"WWW-Authenticate": "Bearer"})
        return principal

    def _bearer(self, authorization: str, scope: Scope) -> Principal:
        scheme, _, token = authorization.partition(" ")
        principal = self._auth.tokens.find(token.strip()) if scheme.lower() == "bearer" else None
        if principal is None:
            raise Problem(401, "unknown token", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        if not scope["path"].startswith(MACHINES) and not _is_open(scope):
            raise Problem(403, "a token opens no screens")
        return principal

    def _while_known(self, connection: HTTPConnection, receive: Receive, send: Send) -> Receive:
        """End a websocket with its session; what the page sends (a heartbeat, too) keeps the session from idling."""

        async def known() -> Message:
            message = await receive()
            key = connection.cookies.get(self._auth.cookie, "")
            if message["type"] == "websocket.receive" and self._auth.sessions.find(key) is None:
                await send({"type": "websocket.close", "code": _GONE, "reason": "session ended"})
                return {"type": "websocket.disconnect", "code": _GONE}
            return message

        return known


class BodyLimit:
    """Refuses a request body beyond a size before anyone reads it; what strangers may send is smaller."""

    def __init__(self, app: ASGIApp, *, most: int = 1 << 20, strangers: int = 4096) -> None:
        self._app = app
        self._most = most
        self._strangers = strangers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._strangers if _is_open(scope) else self._most
        declared = HTTPConnection(scope).headers.get("content-length", "0")
        if not declared.isdecimal() or int(declared) > most:
            await problems.response(_too_large(most))(scope, receive, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _too_large(most)
            return message

        await self._app(scope, limited, send)


class Headers:
    """Puts the headers on every answer that tell a browser what it must not do."""

    # Plotly and Dash's inputs write style elements. No script runs but from our own files, and nothing comes from
    # elsewhere.
    POLICY = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI's
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self.POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
                # A page and its data are for now and for this person; files with an ETag may be asked after.
                headers.setdefault("Cache-Control", "no-cache" if "etag" in headers else "no-store")
            await send(message)

        await self._app(scope, receive, sealed if scope["type"] == "http" else send)


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    return path in OPEN or path.startswith(OPEN_FILES) or _reads_log(scope)


def _reads_log(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["type"] == "http" and scope["method"] in {"GET", "HEAD"} and path.startswith(OPEN_LOG)


def _check_host(connection: HTTPConnection, hosts: Collection[str]) -> None:
    host = connection.headers.get("host", "")
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name.lower() not in hosts:
        raise Problem(421, "this server does not answer to that name")


def _check_origin(connection: HTTPConnection) -> None:
    # Compared as it came: what is not parsed cannot be parsed in two ways.
    host = connection.headers.get("host", "")
    if connection.headers.get("origin") not in {f"http://{host}", f"https://{host}"}:
        raise Problem(403, "not from a page of this server", field="Origin")


def _too_large(most: int) -> Problem:
    return Problem(413, "too large", f"at most {most} bytes")


async def _refuse(problem: Problem, connection: HTTPConnection, receive: Receive, send: Send) -> None:
    scope = connection.scope
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": problem.title})
        return
    answer: Response = problems.response(problem)
    reader = "text/html" in connection.headers.get("accept", "") and not scope["path"].startswith(MACHINES)
    if problem.status == 401 and reader and scope["method"] == "GET":
        wanted = scope["path"] + (f"?{query}" if (query := scope["query_string"].decode("latin-1")) else "")
        answer = RedirectResponse(f"/login?next={quote(wanted, safe='')}", 303)
    await answer(scope, receive, send)
