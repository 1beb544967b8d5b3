"""What goes wrong, told as RFC 9457 (once 7807) problems; the one place where errors become status codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from tweeling.errors import InvariantError, RejectedError, TweelingError, UnavailableError, WireError

log = logging.getLogger(__name__)

RETRY_AFTER_S = 5

_STATUS: tuple[tuple[type[TweelingError], int, str], ...] = (
    (WireError, 400, "not understood"),
    (InvariantError, 400, "impossible"),
    (RejectedError, 409, "refused"),
    (UnavailableError, 503, "not available now"),
)


class Problem(Exception):  # noqa: N818 - the RFC's word
    """An answer that says what is wrong; `field` names the part of the request."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        *,
        field: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field
        self.headers = dict(headers or {})


def response(problem: Problem) -> Response:
    """The problem as application/problem+json."""
    content: dict[str, object] = {"type": "about:blank", "title": problem.title, "status": problem.status}
    content |= {name: text for name in ("detail", "field") if (text := getattr(problem, name))}
    return JSONResponse(content, problem.status, problem.headers, media_type="application/problem+json")


def of(error: TweelingError) -> Problem:
    """An error of the core as a problem."""
    field = str(getattr(error, "field", ""))
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
            return Problem(status, title, str(error), field=field, headers=headers)
    # What else the core raises is the operator's to mend; the caller learns no more than that.
    log.error("api.failed", extra={"error": repr(error)})
    return Problem(500, "failed")


def install(app: FastAPI) -> None:
    """Let every failure of an app answer as a problem."""

    @app.exception_handler(Problem)
    async def _problem(_: Request, error: Problem) -> Response:
        return response(error)

    @app.exception_handler(TweelingError)
    async def _core(_: Request, error: TweelingError) -> Response:
        return response(of(error))

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> Response:
        return response(Problem(error.status_code, str(error.detail), headers=error.headers))

    @app.exception_handler(RequestValidationError)
    async def _request(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return response(Problem(400, "not understood", str(first["msg"]), field=field))

    @app.exception_handler(Exception)
    async def _bug(_: Request, error: Exception) -> Response:
        log.error("api.failed", exc_info=error)
        return response(Problem(500, "failed"))
