"""Logging in and out, by password or by a code that never travels in a request line."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from tweeling.api import login_page, passwords
from tweeling.api.auth import Auth
from tweeling.api.guard import OPEN_FILES
from tweeling.api.principals import Principal, Role
from tweeling.api.problems import Problem


class Code(BaseModel, extra="forbid"):
    """A one-time code, as the login page took it out of the fragment."""

    code: str = Field(min_length=20, max_length=100)


class IssuedCode(BaseModel):
    """A code to open in a browser within its time."""

    path: str
    expires_s: float


def router(auth: Auth) -> APIRouter:
    """The routes under /login, and /logout."""
    routes = APIRouter(include_in_schema=False)
    _by_password(routes, auth)
    _by_code(routes, auth)
    _session(routes, auth)
    return routes


def _by_password(routes: APIRouter, auth: Auth) -> None:
    @routes.get("/login")
    async def page(
        request: Request,
        target: Annotated[str, Query(alias="next", max_length=2000)] = "/",
        lang: Annotated[str, Query(max_length=8)] = "",
    ) -> Response:
        return login_page.render(target, login_page.language(lang, target, _accepted(request)))

    @routes.get(OPEN_FILES + "{name}")
    async def file(name: str) -> Response:
        if name not in login_page.FILES:
            raise Problem(404, "no such file")
        media, content = login_page.FILES[name]
        return Response(content, media_type=media, headers={"Cache-Control": "max-age=3600"})

    @routes.post("/login")
    async def log_in(request: Request) -> Response:
        wait = auth.attempts.take(_address(request))
        given, target, lang = await _form(request)
        if wait:
            return login_page.render(target, lang, problem="wait", status=429, seconds=int(wait) + 1)
        if not await run_in_threadpool(auth.passwords.check, passwords.OPERATOR, given):
            return login_page.render(target, lang, problem="wrong", status=401)
        auth.attempts.forgive(_address(request))
        answer = RedirectResponse(login_page.local(target), 303)
        return _opened(auth, Principal(passwords.OPERATOR, Role.OPERATOR), answer)


def _by_code(routes: APIRouter, auth: Auth) -> None:
    @routes.post("/login/codes", status_code=201)
    async def issue(request: Request) -> IssuedCode:
        code = auth.codes.issue(request.state.principal)
        return IssuedCode(path=f"/login#code={code}", expires_s=auth.codes.lasts_s)

    @routes.post("/login/code")
    async def redeem(request: Request) -> Response:
        if wait := auth.attempts.take(_address(request)):
            raise Problem(429, "too many attempts", headers={"Retry-After": str(int(wait) + 1)})
        try:
            code = Code.model_validate_json(await request.body()).code
        except ValidationError as exc:
            raise Problem(400, "not understood", field="code") from exc
        principal = auth.codes.redeem(code)
        if principal is None:
            raise Problem(401, "this code is spent, too old or none of ours", field="code")
        auth.attempts.forgive(_address(request))
        return _opened(auth, principal, Response(status_code=204))


def _session(routes: APIRouter, auth: Auth) -> None:
    @routes.get("/login/session")
    async def session(request: Request) -> dict[str, bool]:
        # A strict cookie stays at home when a link from elsewhere is followed; this request brings it along.
        return {"open": request.state.principal is not None}

    @routes.post("/logout")
    async def log_out(request: Request) -> Response:
        auth.sessions.close(request.cookies.get(auth.cookie, ""))
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(auth.cookie, httponly=True, samesite="strict", secure=auth.secure)
        return answer


def _opened(auth: Auth, principal: Principal, answer: Response) -> Response:
    answer.set_cookie(
        auth.cookie,
        auth.sessions.open(principal),
        max_age=int(auth.sessions.longest_s),
        httponly=True,
        samesite="strict",
        secure=auth.secure,
    )
    return answer


async def _form(request: Request) -> tuple[str, str, str]:
    """Password, next and language, empty where they are not given."""
    body = await request.body()
    try:
        form = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except ValueError:
        form = {}  # more fields than our page has: no password of anyone's
    given, target, lang = (form.get(name, [""])[0] for name in ("password", "next", "lang"))
    return given, target, login_page.language(lang, target, _accepted(request))


def _accepted(request: Request) -> str:
    return request.headers.get("accept-language", "")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
