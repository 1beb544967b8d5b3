"""The quarantine: readers see it, and only a machine that maintains the hub replays it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from tweeling.api import models
from tweeling.api.access import Maintainer, Reader
from tweeling.api.problems import Problem
from tweeling.services.quarantine import Progress, Quarantine, Words

Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="messages with a smaller id only")]
Word = Annotated[str, Query(max_length=200)]
Id = Annotated[int, Path(ge=1, lt=2**63 - 1)]


class Replay(BaseModel, frozen=True, extra="forbid"):
    """Which messages: this one, or a page of those below `before` whose reason and topic contain these words."""

    id: int | None = Field(default=None, ge=1, lt=2**63 - 1)
    before: int | None = Field(default=None, ge=1, le=2**63 - 1)
    reason: str = Field(default="", max_length=200)
    topic: str = Field(default="", max_length=200)


def router(quarantine: Quarantine) -> APIRouter:
    """The routes under /api/quarantine."""
    routes = APIRouter(prefix="/api/quarantine", tags=["quarantine"])

    @routes.get("", dependencies=[Reader])
    def page(limit: Limit = 20, before: Before = None, reason: Word = "", topic: Word = "") -> list[models.Message]:
        """The newest messages first; fewer where they are large."""
        return [models.Message.of(each) for each in quarantine.page(limit, before=before, words=Words(reason, topic))]

    @routes.get("/{id}", dependencies=[Reader])
    def one(id: Id) -> models.WholeMessage:  # noqa: A002 - the interface's word
        """One message with its bytes."""
        found = quarantine.find(id)
        if found is None:
            raise _absent(id)
        return models.WholeMessage.of(found)

    @routes.post("/replay", dependencies=[Maintainer])
    def replay(which: Replay) -> models.ReplayAnswer:
        """Read messages again by today's rules, in one transaction."""
        done: Progress | None
        if which.id is None:
            done = quarantine.replay_page(before=which.before, words=Words(which.reason, which.topic))
        else:
            done = quarantine.replay(which.id)
            if done is None:
                raise _absent(which.id)
        return models.ReplayAnswer.model_validate(done)

    return routes


def _absent(id_: int) -> Problem:
    return Problem(404, "no such message", f"message {id_} is not in quarantine", field="id")
