"""The region: hubs, zones, materials, tenants and flows, with the limits that bind them."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel, Field

from tweeling.domain.ids import HubId, ZoneId


class Material(BaseModel, frozen=True, extra="forbid"):
    """A stream that is kept apart. density in kg/m3; eural is the waste code, None for a product."""

    id: str
    name: str
    eural: str | None
    density_kg_m3: float = Field(gt=0)
    r_strategy: str
    max_storage_days: int = Field(gt=0)
    indoor: bool


class Zone(BaseModel, frozen=True, extra="forbid"):
    """A place in a hub that holds material. capacity in m3, floor load in t/m2."""

    id: ZoneId
    hub: HubId
    name: str
    indoor: bool
    area_m2: float = Field(gt=0)
    capacity_m3: float = Field(gt=0)
    floor_load_t_m2: float = Field(gt=0)
    materials: tuple[str, ...]


class Hub(BaseModel, frozen=True, extra="forbid"):
    """A site. kind: `hub`, `terrain` (temporary) or `building` (vacant); open inside its window, where it has one."""

    id: HubId
    name: str
    kind: str = "hub"
    municipality: str = ""
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    opening_hours: str = ""
    permitted_stock_t: float | None = None
    permitted_stock_m3: float | None = None
    permitted_t_year: float | None = None
    valid_from: date | None = None
    valid_to: date | None = None
    condition: str = ""


class Tenant(BaseModel, frozen=True, extra="forbid"):
    """A company that brings or takes material. All of the demo region's are invented."""

    id: str
    name: str
    hub: HubId


class Flow(BaseModel, frozen=True, extra="forbid"):
    """A weekly stream of one tenant's material into one zone. dwell in weeks, inflow in tonnes a week."""

    zone: ZoneId
    material: str
    tenant: str
    inflow_t_week: float = Field(ge=0)
    season: str
    variation: float = Field(ge=0)
    dwell_weeks: float = Field(gt=0)


class Region(BaseModel, frozen=True, extra="forbid"):
    """Everything that stands still."""

    hubs: tuple[Hub, ...]
    zones: tuple[Zone, ...]
    materials: tuple[Material, ...]
    tenants: tuple[Tenant, ...]
    flows: tuple[Flow, ...]

    def zones_of(self, hub: HubId) -> tuple[Zone, ...]:
        """The zones of one hub, in file order."""
        return tuple(zone for zone in self.zones if zone.hub == hub)
