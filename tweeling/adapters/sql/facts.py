"""Facts in SQL: the region, every weighed load, and small settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from tweeling.adapters.sql import bulk
from tweeling.adapters.sql.engine import Records
from tweeling.adapters.sql.tables import APPLIED, FACT, MOVEMENT, REGION
from tweeling.domain.region import Region
from tweeling.domain.telemetry import Direction, Identity, Movement
from tweeling.ports.facts import Balance

_EMPTY = Region(hubs=(), zones=(), materials=(), tenants=(), flows=())
_IDENTITY = ("hub", "node", "epoch", "seq", "idx")


class SqlFacts:
    """Facts in the record store."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def save_region(self, region: Region) -> None:
        """Replace the region as one."""
        with self._records.write() as connection:
            connection.execute(sa.delete(REGION))
            connection.execute(sa.insert(REGION).values(id=1, body=region.model_dump_json()))

    def region(self) -> Region:
        """The region; an empty one before it is saved."""
        with self._records.read() as connection:
            body = connection.execute(sa.select(REGION.c.body)).scalar()
        return _EMPTY if body is None else Region.model_validate_json(body)

    def apply_movements(self, movements: Sequence[Movement], *, source: str, through: int) -> None:
        """Keep movements by identity and the source's cursor in one transaction."""
        with self._records.write() as connection:
            if through <= _applied(connection, source):
                return
            if movements:
                newest = connection.execute(sa.select(sa.func.max(MOVEMENT.c.number))).scalar() or 0
                rows = [_row(number, row) for number, row in enumerate(movements, start=newest + 1)]
                bulk.insert(connection, MOVEMENT, rows, unless=_IDENTITY)
            connection.execute(sa.delete(APPLIED).where(APPLIED.c.source == source))
            connection.execute(sa.insert(APPLIED).values(source=source, through=through))

    def movements_applied(self, source: str) -> int:
        """The number through which a source's movements are applied, 0 when never."""
        with self._records.read() as connection:
            return _applied(connection, source)

    def balances(self, *, until_ms: int | None = None) -> Sequence[Balance]:
        """Exact totals per hub, zone and material, in that order."""
        at, came = MOVEMENT.c, MOVEMENT.c.direction == Direction.IN.value
        query = sa.select(
            at.hub,
            at.zone,
            at.material,
            sa.func.sum(sa.case((came, at.net_g), else_=0)),
            sa.func.sum(sa.case((came, 0), else_=at.net_g)),
            sa.func.count(),
            sa.func.max(at.time_ms),
        ).group_by(at.hub, at.zone, at.material)
        if until_ms is not None:
            query = query.where(at.time_ms <= until_ms)
        with self._records.read() as connection:
            rows = connection.execute(query).all()
        return sorted(Balance(hub, zone, material, *map(int, sums)) for hub, zone, material, *sums in rows)

    def movements(self, *, after: int = 0, limit: int = 100, hub: str | None = None) -> Sequence[tuple[int, Movement]]:
        """Movements in the order they were applied, behind row number `after`."""
        query = sa.select(MOVEMENT).where(MOVEMENT.c.number > after).order_by(MOVEMENT.c.number)
        return self._movements(query, limit=limit, hub=hub)

    def last_movements(self, *, limit: int = 20, before: int | None = None) -> Sequence[tuple[int, Movement]]:
        """Movements with their row numbers, the last applied first."""
        query = sa.select(MOVEMENT).order_by(MOVEMENT.c.number.desc())
        if before is not None:
            query = query.where(MOVEMENT.c.number < before)
        return self._movements(query, limit=limit, hub=None)

    def newest_movements(self, *, limit: int = 20, hub: str | None = None) -> Sequence[Movement]:
        """The latest movements by their own time, newest first."""
        query = sa.select(MOVEMENT).order_by(MOVEMENT.c.time_ms.desc(), MOVEMENT.c.number.desc())
        return [movement for _, movement in self._movements(query, limit=limit, hub=hub)]

    def put(self, key: str, value: Mapping[str, object]) -> None:
        """Keep a small JSON fact under a key."""
        body = json.dumps(value, allow_nan=False)
        with self._records.write() as connection:
            connection.execute(sa.delete(FACT).where(FACT.c.key == key))
            connection.execute(sa.insert(FACT).values(key=key, body=body))

    def get(self, key: str) -> Mapping[str, object] | None:
        """Read a small fact back."""
        with self._records.read() as connection:
            body = connection.execute(sa.select(FACT.c.body).where(FACT.c.key == key)).scalar()
        fact: dict[str, object] | None = None if body is None else json.loads(body)
        return fact

    def _movements(
        self, query: sa.Select[tuple[object, ...]], *, limit: int, hub: str | None
    ) -> Sequence[tuple[int, Movement]]:
        if hub is not None:
            query = query.where(MOVEMENT.c.hub == hub)
        with self._records.read() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all()
        return [(row["number"], _movement(row)) for row in rows]


def _applied(connection: sa.Connection, source: str) -> int:
    through = connection.execute(sa.select(APPLIED.c.through).where(APPLIED.c.source == source)).scalar()
    return 0 if through is None else int(through)


def _row(number: int, movement: Movement) -> dict[str, object]:
    who = movement.identity
    return {
        "number": number,
        "hub": who.hub,
        "node": who.node,
        "epoch": who.epoch,
        "seq": who.seq,
        "idx": who.index,
        "time_ms": movement.time_ms,
        "zone": movement.zone,
        "direction": movement.direction.value,
        "net_g": movement.net_g,
        "gross_g": movement.gross_g,
        "tare_g": movement.tare_g,
        "material": movement.material,
        "partner": movement.partner,
        "ticket": movement.ticket,
        "lot": movement.lot,
    }


def _movement(row: sa.RowMapping) -> Movement:
    who = Identity(row["hub"], row["node"], row["epoch"], row["seq"], row["idx"])
    kept = ("time_ms", "zone", "direction", "net_g", "gross_g", "tare_g", "material", "partner", "ticket", "lot")
    return Movement(identity=who, **{name: row[name] for name in kept})
