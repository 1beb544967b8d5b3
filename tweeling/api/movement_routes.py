"""Weighings: readers see them, and only a machine that maintains the hub corrects one."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from tweeling.api import models
from tweeling.api.access import Maintainer, Reader
from tweeling.api.principals import Principal
from tweeling.domain.correction import Instead
from tweeling.services.corrections import Corrections

Limit = Annotated[int, Query(ge=1, le=500)]
Before = Annotated[int | None, Query(ge=1, le=2**63 - 1, description="weighings with a smaller number only")]
Number = Annotated[int, Path(ge=1, lt=2**63 - 1)]


class Correct(BaseModel, frozen=True, extra="forbid"):
    """Why a weighing is taken back, who says so, and what it should have been where the load was real."""

    reason: str = Field(min_length=3, max_length=500)
    by: str = Field(min_length=1, max_length=100)
    net_g: int | None = Field(default=None, ge=0, le=10**12, description="grams")
    zone: str | None = Field(default=None, min_length=1, max_length=64)
    material: str | None = Field(default=None, max_length=64)


def router(corrections: Corrections) -> APIRouter:
    """The routes under /api/movements."""
    routes = APIRouter(prefix="/api/movements", tags=["movements"])

    @routes.get("", dependencies=[Reader])
    def page(limit: Limit = 20, before: Before = None) -> list[models.Weighing]:
        """The last applied first."""
        return [models.Weighing.of(each) for each in corrections.page(limit, before=before)]

    @routes.post("/{number}/correction", status_code=201)
    def correct(number: Number, told: Correct, who: Annotated[Principal, Maintainer]) -> models.Corrected:
        """Take a weighing back by an entry of its own; 409 where that is done already."""
        instead = Instead(told.net_g, told.zone, told.material)
        corrections.correct(number, by=told.by, token=who.name, reason=told.reason, instead=instead)
        return models.Corrected(number=number)

    return routes
