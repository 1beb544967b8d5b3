"""A whole small twin in memory, and a log of custody events, for screens and interfaces to show."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tweeling.api import passwords
from tweeling.api.app import create_app
from tweeling.api.auth import Auth
from tweeling.api.passwords import Cost
from tweeling.api.server import serve
from tweeling.domain.forecast import Forecast, Score
from tweeling.domain.now import EventNow, NodeNow, PartNow, ProofState, ThingNow
from tweeling.domain.region import Hub, Material, Region, Zone
from tweeling.domain.telemetry import Quality
from tweeling.domain.vitals import Disk, Distribution, Gaps, LedgerSigns, Vitals
from tweeling.errors import InvariantError, RejectedError, Trouble, UnavailableError, WireError
from tweeling.ports.custody_api import Captured, DetachedSignature

HOUR = 3_600_000
NOW = 1_764_054_000_000  # Tuesday 25 November 2025, 08:00 in Amsterdam
HOSTILE = "<script>window.hacked=1</script>\u202e=cmd|' /C calc'!A0"
PASSWORD = "vuur-werk-kade"
CHEAP = Cost(n=2**4, r=8, p=1)
HOSTILE_NUMBERS: tuple[Any, ...] = (
    *(10**30, -(10**30), 10**314, 10**400, -(10**400)),
    *(-62_135_596_800_000, 253_402_300_799_000),  # year 1 and the end of 9999
    *(math.inf, -math.inf, math.nan, 1e300, -1e300),
)
"""Numbers where no type checker expects them, and where no calendar and no column ends."""

_ZONES = (
    ("H1-A", "H1", "Puinbult", 10725, "beton_puin", 0.71),
    ("H1-B", "H1", "Grondvak", 5280, "grond", 0.88),
    ("H1-C", "H1", "Metaalvak", 1620, "staal", 0.42),
    ("H2-A", "H2", "Houtvak A/B", 4680, "hout_ab", 0.97),
    ("H2-B", "H2", "Gipsloods", 900, "gips", 0.33),
    ("H4-A", "H4", "Witgoed", 420, "witgoed", 0.56),
    ("T1-A", "T1", "Vak noord", 2100, "beton_puin", None),
)
_HUBS = (
    ("H1", "Havenkade West", "hub", "Amsterdam"),
    ("H2", "Zaanoever", "hub", "Zaanstad"),
    ("H4", "Stadsloods Oost", "hub", "Amsterdam"),
    ("T1", "Braakland Zuid", "terrain", "Ouder-Amstel"),
)


def small_region() -> Region:
    """Four sites and seven zones, invented."""
    return Region(
        hubs=tuple(Hub(id=i, name=n, kind=k, municipality=m, lat=52.4, lon=4.9) for i, n, k, m in _HUBS),
        zones=tuple(
            Zone(
                id=i,
                hub=h,
                name=n,
                indoor=False,
                area_m2=c / 2,
                capacity_m3=c,
                floor_load_t_m2=5,
                materials=(material,),
            )
            for i, h, n, c, material, _ in _ZONES
        ),
        materials=tuple(
            Material(
                id=material,
                name=material,
                eural=None,
                density_kg_m3=500,
                r_strategy="R8",
                max_storage_days=365,
                indoor=False,
            )
            for material in sorted({row[4] for row in _ZONES})
        ),
        tenants=(),
        flows=(),
    )


class SmallTwin:
    """A TwinView whose every value a test may set; a part may be made unavailable by its method's name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = threading.Condition(self._lock)
        self._followers: dict[int, tuple[asyncio.AbstractEventLoop, asyncio.Event]] = {}
        self._revision = 0
        self._now = NOW
        self.down: set[str] = set()
        self._things = {
            (hub, zone): ThingNow(
                hub, zone, name, fill, None if fill is None else NOW - 240_000, 0, {material: 2_345_678_000}, capacity
            )
            for zone, hub, name, capacity, material, fill in _ZONES
        }
        self._things["praag", "C0001"] = ThingNow(
            "praag", "C0001", HOSTILE, 0.61, NOW - 90 * 24 * HOUR, Quality.HISTORICAL, {}, None
        )
        self._events = [_event(index) for index in range(12)]
        self._parts = {
            "broker": PartNow("broker", True, "127.0.0.1:18830"),
            "ingest": PartNow("ingest", True, "41 readings/s"),
            "store": PartNow("store", True, "0 batches behind"),
            "ledger": PartNow("ledger", True, "block 412"),
        }
        self._nodes = [
            NodeNow("H1", "H1-gw", True, NOW - 3 * HOUR, 0),
            NodeNow("H2", "H2-gw", True, NOW - 3 * HOUR, 12),
            NodeNow("H4", "H4-gw", False, NOW - HOUR, 0),
        ]

        self.now_vitals = Vitals(
            readings_per_s=41.5,
            readings_per_s_minute=None,
            lag_batches=2,
            lag_s=0.25,
            gaps=Gaps(3, 1, 90.0),
            quarantined=1,
            quarantine_reason=f"unit {HOSTILE}",
            journal_batches=7,
            journal_bytes=4096,
            pending=2,
            anchor_age_s=4.5,
            anchors_left=None,
            ledger=LedgerSigns(Trouble.FEE, 2, 3, 12, 1, 35 * 10**9, 30 * 10**9),
            disk=Disk(10_000, 2_000_000_000),
            disk_growth=1e6,
            disk_days=2000.0,
            commit_s=Distribution((0.01, 0.1), (5, 2, 1), 0.9),
            commit_messages=Distribution((1, 10), (8, 0, 0), 8.0),
        )

    # ------------------------------------------------------------ what a test does

    def set_fill(self, hub: str, thing: str, fill: float) -> None:
        """A reading arrives."""
        with self._lock:
            self._things[hub, thing] = self._things[hub, thing]._replace(fill=fill, time_ms=self._now)
        self._changed()

    def add(self, thing: ThingNow) -> None:
        """A container nobody knew reports."""
        with self._lock:
            self._things[thing.hub, thing.thing] = thing
        self._changed()

    def forget_things(self) -> None:
        """Nothing has reported yet."""
        with self._lock:
            self._things.clear()
        self._changed()

    def add_hostile(self, name: str, number: Any) -> None:
        """A node, a container and an event, each with this number in all its fields."""
        with self._lock:
            thing = ThingNow("praag", f"X{name}", name, number, number, Quality.GOOD, {"grond": number}, number)
            old = thing._replace(thing=f"Y{name}", fill=0.5, quality=Quality.HISTORICAL)
            self._things |= {(one.hub, one.thing): one for one in (thing, old)}
            self._nodes = [*self._nodes, *(NodeNow("praag", name, on, number, number) for on in (True, False))]
            event = replace(_event(0), time_ms=number, mass_g=number, state=ProofState.ANCHORED, block=number)
            self._events = [*self._events, event]
        self._changed()

    def anchor(self) -> None:
        """The chain takes every event so far."""
        with self._lock:
            self._events = [replace(one, state=ProofState.ANCHORED, block=412) for one in self._events]
        self._changed()

    def set_part(self, part: PartNow) -> None:
        """A part fails or comes back."""
        with self._lock:
            self._parts[part.part] = part
        self._changed()

    def set_down(self, *methods: str) -> None:
        """These methods raise UnavailableError from now on, and no others."""
        with self._lock:
            self.down = set(methods)
        self._changed()

    def set_nodes(self, nodes: list[NodeNow]) -> None:
        """Other nodes are there."""
        with self._lock:
            self._nodes = nodes
        self._changed()

    def pass_time(self, hours: float) -> None:
        """The twin's clock goes on."""
        with self._lock:
            self._now += int(hours * HOUR)
        self._changed()

    def followed_by_nobody(self, *, timeout_s: float) -> bool:
        """Whether every follower has left by then."""
        with self._left:
            return self._left.wait_for(lambda: not self._followers, timeout_s)

    # ------------------------------------------------------------ TwinView

    def now_ms(self) -> int:
        return self._now

    def region(self) -> Region:
        self._check("region")
        return small_region()

    def things(self) -> list[ThingNow]:
        self._check("things")
        with self._lock:
            return list(self._things.values())

    def history(self, hub: str, thing: str, *, hours: int) -> list[tuple[int, float]]:
        self._check("history")
        fill = self._things[hub, thing].fill
        if fill is None:
            return []
        return [(self._now - back * HOUR, _shape(fill, -back)) for back in range(hours, -1, -1)]

    def forecast(self, hub: str, thing: str) -> Forecast | None:
        self._check("forecast")
        fill = self._things[hub, thing].fill
        return None if fill is None else small_forecast(f"{hub}/{thing}/fillingLevel", fill, self._now)

    def events(self, limit: int = 20) -> list[EventNow]:
        self._check("events")
        with self._lock:
            return list(reversed(self._events))[:limit]

    def nodes(self) -> list[NodeNow]:
        return self._nodes

    def health(self) -> list[PartNow]:
        self._check("health")
        with self._lock:
            return list(self._parts.values())

    def counts(self) -> dict[str, int]:
        return {
            "readings_in": 123_456,
            "readings_stored": 123_450,
            "events_captured": len(self._events),
            "forecasts": 7,
        }

    def vitals(self) -> Vitals:
        self._check("vitals")
        return self.now_vitals

    async def changes(self) -> AsyncIterator[int]:
        ready = asyncio.Event()
        with self._lock:
            self._followers[id(ready)] = (asyncio.get_running_loop(), ready)
        try:
            while True:
                await ready.wait()
                ready.clear()
                yield self._revision
        finally:
            with self._left:
                del self._followers[id(ready)]
                self._left.notify_all()

    def _changed(self) -> None:
        with self._lock:
            self._revision += 1
            followers = list(self._followers.values())
        for loop, ready in followers:
            with contextlib.suppress(RuntimeError):  # a loop that has closed follows no more
                loop.call_soon_threadsafe(ready.set)

    def _check(self, method: str) -> None:
        if method in self.down:
            raise UnavailableError(f"{method} does not answer")


class SmallCustody:
    """A CustodyApi that keeps bodies in a dict: `{"eventID": …}` is all it asks of an event."""

    def __init__(self) -> None:
        self.captured: list[tuple[bytes, str, DetachedSignature | None]] = []
        self.down = False

    def capture(self, body: bytes, *, token_id: str, signature: DetachedSignature | None) -> Captured:
        if self.down:
            raise UnavailableError("the log does not answer")
        if not body.startswith(b"{"):
            raise WireError("not a JSON object")
        if b"eventID" not in body:
            raise InvariantError("is required", field="eventID")
        if any(body == known for known, _, _ in self.captured):
            raise RejectedError("the log has this event at 0")
        self.captured.append((body, token_id, signature))
        return Captured("urn:event/1?x", len(self.captured) - 1)

    def receipt(self, event_id: str) -> bytes:
        if event_id != "urn:event/1?x" or not self.captured:
            raise InvariantError("the log knows no such event", field="event_id")
        return b"\xa0"


def small_forecast(series: str, fill: float, now_ms: int, *, hours: int = 336) -> Forecast:
    """Quantiles that widen with time."""
    steps = range(1, hours + 1)
    middle = [_shape(fill, step) + 0.0009 * step for step in steps]
    width = [0.012 * math.sqrt(step) for step in steps]
    return Forecast(
        series=series,
        cutoff_ms=now_ms,
        step_ms=HOUR,
        times_ms=tuple(now_ms + step * HOUR for step in steps),
        quantiles={
            0.1: tuple(max(0.0, m - w) for m, w in zip(middle, width, strict=True)),
            0.5: tuple(middle),
            0.9: tuple(m + w for m, w in zip(middle, width, strict=True)),
        },
        full=1.0,
        p_full=0.62,
        hours_to_full=(76.0, 211.0, None),
        served="seasonal",
        scores=(Score("seasonal", 0.0214, 0.81, 26), Score("last-week", 0.0342, 0.77, 26)),
    )


def cheap_auth(folder: Path) -> Auth:
    """The operator's login with PASSWORD, hashed at a cost that tests can pay."""
    passwords.save(folder / "login.json", {passwords.OPERATOR: PASSWORD}, cost=CHEAP)
    return Auth.load(folder / "login.json", folder / "tokens.json")


@contextlib.contextmanager
def small_server(folder: Path, *, twin: SmallTwin | None = None, auth: Auth | None = None) -> Iterator[str]:
    """Serve a twin with its screens on a free loopback port; yields the URL."""
    app = create_app(twin or SmallTwin(), SmallCustody(), auth or cheap_auth(folder))
    with serve(app, "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


def _shape(fill: float, hour: int) -> float:
    return max(
        0.0, min(1.2, fill + 0.05 * math.sin(hour / 24 * 2 * math.pi) + 0.04 * math.sin(hour / 168 * 2 * math.pi))
    )


def _event(index: int) -> EventNow:
    kinds = (("ObjectEvent", "receiving"), ("TransformationEvent", "commissioning"), ("ObjectEvent", "shipping"))
    kind, step = kinds[index % 3]
    return EventNow(
        index=index,
        event_id=f"urn:uuid:00000000-0000-4000-8000-{index:012d}",
        type=kind,
        biz_step=step,
        time_ms=NOW - (12 - index) * HOUR // 2,
        lots=(f"urn:epc:class:lgtin:8712345.012345.L{index:04d}",),
        mass_g=12_340_000 + 100_000 * index,
        submitter="unsigned, by token P01" if index % 2 else "did:key:z6Mk…Noordkade",
        state=ProofState.ANCHORED if index < 9 else ProofState.PENDING,
        block=400 + index if index < 9 else None,
    )
