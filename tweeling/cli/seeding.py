"""Three years of history for the demo region, through the interfaces that live data uses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from tweeling.domain.points import Points
from tweeling.domain.telemetry import FILLING_LEVEL, Direction, Identity, Movement, Quality, Series
from tweeling.ports.facts import Facts
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.services.claims import CURSOR
from tweeling.services.status import HISTORY
from tweeling.simulation import Fill, Load, Simulator, history
from tweeling.simulation.region import load as load_region

SOURCE = "history"
WEEK_MS = 7 * 86_400_000
HOUR_MS = 3_600_000


def seed(store: TimeSeriesStore, facts: Facts, *, seed: int, start_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """Load what happened in [start, end), hour by hour; yield (weeks done, weeks) after each.

    Weeks that are there already are told again and change nothing, so a run that was cut short is simply repeated.
    """
    region = load_region()
    facts.save_region(region)
    numbers = Numbers(seed)
    opening = [numbers.opening(hub.id, Simulator(seed, hub.id, start_ms), start_ms) for hub in region.hubs]
    facts.apply_movements([row for rows in opening for row in rows], source=SOURCE, through=1)
    hub_of = {zone.id: zone.hub for zone in region.zones}
    weeks = -(-(end_ms - start_ms) // WEEK_MS)
    for number, chunk in enumerate(history(seed, start_ms, end_ms, every_ms=HOUR_MS), start=1):
        store.apply(_points(chunk.fills, hub_of), source=SOURCE, through=number)
        facts.apply_movements([numbers.movement(row, hub_of) for row in chunk.loads], source=SOURCE, through=number + 1)
        yield number, weeks


def finish(store: TimeSeriesStore, facts: Facts) -> None:
    """Write down, once, where the past ends: how many points it has, and behind which weighing claims begin."""
    if facts.get(CURSOR) is not None:
        return
    facts.put(HISTORY, {"points": store.count()})
    last = 0
    while rows := facts.movements(after=last, limit=50_000):
        last = rows[-1][0]
    facts.put(CURSOR, {"row": last})


class Numbers:
    """Gives the weighings of the past their identity: the same for the same seed, so that a repeat is one."""

    def __init__(self, seed: int) -> None:
        self._epoch = f"{seed:016x}"
        self._next: Counter[str] = Counter()

    def _identity(self, hub: str) -> Identity:
        self._next[hub] += 1
        return Identity(hub, SOURCE, self._epoch, self._next[hub], 0)

    def opening(self, hub: str, simulator: Simulator, time_ms: int) -> list[Movement]:
        """Enter the stock of the first day as a weighing in, as a bookkeeper opens a ledger."""
        return [
            Movement(
                identity=self._identity(hub),
                time_ms=time_ms,
                zone=stock.zone,
                direction=Direction.IN,
                net_g=stock.grams,
                material=stock.material,
                ticket="opening",
            )
            for stock in simulator.opening()
        ]

    def movement(self, load: Load, hub_of: dict[str, str]) -> Movement:
        """Enter one weighed load."""
        return Movement(
            identity=self._identity(hub_of[load.zone]),
            time_ms=load.time_ms,
            zone=load.zone,
            direction=Direction(load.direction),
            net_g=load.net_g,
            gross_g=load.gross_g,
            tare_g=load.tare_g,
            material=load.material,
            partner=load.tenant,
            ticket=load.ticket,
            lot=load.lot,
        )


def _points(fills: Iterable[Fill], hub_of: dict[str, str]) -> Points:
    rows = list(fills)
    codes = {zone: code for code, zone in enumerate(hub_of)}
    return Points.columns(
        tuple(Series(hub, zone, FILLING_LEVEL).key for zone, hub in hub_of.items()),
        [codes[row.zone] for row in rows],
        [row.time_ms for row in rows],
        [row.level for row in rows],
        [Quality.GOOD] * len(rows),
    )
