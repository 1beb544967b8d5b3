"""Who may read the log over HTTP, and how much at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from support_custody import Bench, shipping
from support_screens import SmallCustody, SmallTwin, cheap_auth

from tweeling.api import log_routes, problems, tokens
from tweeling.api.app import create_app
from tweeling.api.principals import Role
from tweeling.api.server import serve
from tweeling.api.sessions import Attempts
from tweeling.services.publishing import PublishedLog


def _log(entries: int = 3) -> PublishedLog:
    bench = Bench()
    bench.capture(*(shipping(number) for number in range(entries)))
    bench.integrate()
    return PublishedLog(bench.store)


def test_the_log_is_open_to_strangers_partners_and_browsers_and_to_nothing_but_reading(tmp_path: Path) -> None:
    bearer = tokens.issue(tmp_path / "tokens.json", "partner", Role.CAPTURE)
    app = create_app(SmallTwin(), SmallCustody(), cheap_auth(tmp_path), log=_log())
    with (
        serve(app, "127.0.0.1", 0) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        strange = [{"Authorization": word} for word in (f"Bearer {bearer}", "Bearer of-another-server", "Basic eDp5")]
        for headers in ({}, *strange, {"Accept": "text/html"}):
            assert client.get("/log/checkpoint", headers=headers).status_code == 200
            assert client.get("/log/tile/entries/000.p/3", headers=headers).status_code == 200
            assert client.get("/log/", headers=headers).status_code == 404
        for path in ("/log", "/logs/checkpoint", "/events", "/api/status"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, headers=strange[-1]).status_code == 401, path
        assert client.get("/log/checkpoint", headers={"Host": "evil.example"}).status_code == 421
        assert client.post("/log/checkpoint").status_code == 403
        assert client.post("/log/checkpoint", headers={"Origin": f"http://127.0.0.1:{port}"}).status_code == 401
        head = client.head("/log/tile/0/000.p/3")
        assert (head.status_code, head.headers["content-length"], head.content) == (200, "96", b"")
        assert client.head("/log/tile/0/000").status_code == 404


@pytest.mark.parametrize("path", ["checkpoint", "tile/0/000.p/1", "", "anything"])
def test_a_log_that_is_not_public_shows_nothing_and_neither_do_the_screens_in_its_place(
    tmp_path: Path, path: str
) -> None:
    app = create_app(SmallTwin(), SmallCustody(), cheap_auth(tmp_path))
    with serve(app, "127.0.0.1", 0) as port:
        answer = httpx.get(f"http://127.0.0.1:{port}/log/{path}", trust_env=False)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


def _asked(log: PublishedLog, *questions: tuple[str, str]) -> list[httpx.Response]:
    """What each address is answered, one after the other; an address can ask for three things an hour."""
    app = FastAPI()
    problems.install(app)
    app.include_router(log_routes.router(log, budget=Attempts(burst=3, every_s=1200)))

    async def ask() -> list[httpx.Response]:
        answers = []
        for address, path in questions:
            transport = httpx.ASGITransport(app, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://hub.example/log") as client:
                answers.append(await client.get(path))
        return answers

    return asyncio.run(ask())


def test_before_the_first_checkpoint_there_is_none_to_read() -> None:
    (answer,) = _asked(PublishedLog(Bench().store), ("127.0.0.1", "checkpoint"))
    assert (answer.status_code, answer.json()["title"]) == (404, "nothing is signed yet")


def test_an_address_elsewhere_has_a_budget_and_is_told_when_to_come_again() -> None:
    one, other, here = "203.0.113.7", "2001:db8::8", "127.0.0.1"
    answers = _asked(
        _log(),
        *[(one, "checkpoint")] * 3,
        (one, "tile/0/000.p/1"),
        (other, "checkpoint"),
        *[(here, "checkpoint")] * 5,
    )
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 200, *[200] * 5]
    assert 1100 < int(answers[3].headers["retry-after"]) <= 1201
