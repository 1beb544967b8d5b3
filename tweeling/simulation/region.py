"""The demo region, read from the files packaged beside this module."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files

from tweeling.domain.region import Flow, Hub, Material, Region, Tenant, Zone


@cache
def load() -> Region:
    """Seven hubs, a temporary terrain and a vacant building, with all that is kept there."""
    windows = {row["object"]: row for row in _rows("validity_windows")}
    return Region(
        hubs=tuple(_hub(row, windows.get(row["id"])) for row in _rows("hubs")),
        zones=tuple(_zone(row) for row in _rows("zones")),
        materials=tuple(_material(row) for row in _rows("materials")),
        tenants=tuple(Tenant(id=row["id"], name=row["naam_fictief"], hub=row["thuishub"]) for row in _rows("tenants")),
        flows=tuple(_flow(row) for row in _rows("flows")),
    )


@cache
def seasons() -> Mapping[str, tuple[float, ...]]:
    """Factor on a flow per kind of season, for ISO weeks 1 to 52."""
    factors: dict[str, list[float]] = {}
    for row in _rows("seasonality"):
        factors.setdefault(row["soort"], []).append(float(row["factor"]))
    return {kind: tuple(weeks) for kind, weeks in factors.items()}


def _rows(name: str) -> list[dict[str, str]]:
    text = files(__package__).joinpath("demo_region", f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _number(text: str) -> float | None:
    return float(text) if text else None


def _hub(row: Mapping[str, str], window: Mapping[str, str] | None) -> Hub:
    return Hub(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        municipality=row["gemeente"],
        lat=float(row["lat"]),
        lon=float(row["lon"]),
        opening_hours=row["openingstijden"],
        permitted_stock_t=_number(row["vergund_opslag_ton"]),
        permitted_stock_m3=_number(row["vergund_opslag_m3"]),
        permitted_t_year=_number(row["vergund_ton_jaar"]),
        valid_from=date.fromisoformat(window["van"]) if window else None,
        valid_to=date.fromisoformat(window["tot"]) if window else None,
        condition=window["voorwaarden"] if window else "",
    )


def _zone(row: Mapping[str, str]) -> Zone:
    return Zone(
        id=row["id"],
        hub=row["hub"],
        name=row["name"],
        indoor=row["indoor"] == "1",
        area_m2=float(row["m2"]),
        capacity_m3=float(row["capaciteit_m3"]),
        floor_load_t_m2=float(row["vloerlast_t_m2"]),
        materials=tuple(row["materialen"].split("|")),
    )


def _material(row: Mapping[str, str]) -> Material:
    return Material(
        id=row["id"],
        name=row["naam"],
        eural=None if row["eural"].startswith("(") else row["eural"],
        density_kg_m3=float(row["dichtheid_kg_m3"]),
        r_strategy=row["r_ladder"],
        max_storage_days=int(row["max_opslag_dagen"]),
        indoor=row["binnen"] == "1",
    )


def _flow(row: Mapping[str, str]) -> Flow:
    return Flow(
        zone=row["zone"],
        material=row["materiaal"],
        tenant=row["huurder"],
        inflow_t_week=float(row["in_t_week"]),
        season=row["seizoen"],
        variation=float(row["cv"]),
        dwell_weeks=float(row["verblijf_weken"]),
    )
