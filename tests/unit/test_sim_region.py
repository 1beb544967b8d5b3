"""The demo region as packaged."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

from tweeling.simulation.parameters import HANDLING, PROCESSES
from tweeling.simulation.region import load, seasons


def test_the_region_has_the_parts_it_is_known_for() -> None:
    region = load()
    kinds = [hub.kind for hub in region.hubs]
    assert (kinds.count("hub"), kinds.count("terrain"), kinds.count("building")) == (7, 1, 1)
    assert (len(region.zones), len(region.materials), len(region.tenants), len(region.flows)) == (18, 15, 18, 23)


def test_every_name_in_the_region_refers_to_something() -> None:
    region = load()
    hubs, tenants = {hub.id for hub in region.hubs}, {tenant.id for tenant in region.tenants}
    zones, materials = {zone.id: zone for zone in region.zones}, {material.id for material in region.materials}
    assert {zone.hub for zone in region.zones} <= hubs
    assert {tenant.hub for tenant in region.tenants} <= hubs
    assert {name for zone in region.zones for name in zone.materials} <= materials
    for flow in region.flows:
        assert flow.material in zones[flow.zone].materials
        assert flow.tenant in tenants
        assert flow.season in seasons()
        assert flow.material in HANDLING
    assert set(PROCESSES) <= {(flow.zone, flow.material) for flow in region.flows}
    assert all(len(factors) == 52 for factors in seasons().values())


def test_limits_and_windows_are_read() -> None:
    hubs = {hub.id: hub for hub in load().hubs}
    assert hubs["H1"].permitted_stock_t == 16_000
    assert (hubs["H1"].valid_from, hubs["H1"].valid_to) == (None, None)
    assert (hubs["T1"].valid_from, hubs["T1"].valid_to) == (date(2026, 4, 1), date(2026, 10, 31))
    assert (hubs["T1"].lat, hubs["T1"].lon) == (52.345, 4.905)
    assert "vloerlast 2 t/m2" in hubs["T2"].condition
    assert hubs["H7"].valid_to == date(2028, 2, 29)


def test_a_product_has_no_waste_code() -> None:
    codes = {material.id: material.eural for material in load().materials}
    assert codes["gips"] == "17 08 02"
    assert codes["retour_ecom"] is None


def test_a_gateway_can_simulate_with_what_its_base_install_has() -> None:
    heavy = "import sys, tweeling.simulation; print({'numpy', 'pandas', 'duckdb'} & {*sys.modules})"
    told = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "set()"
