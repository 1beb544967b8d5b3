"""The hub's own custody events, made from its weighings: received on the way in, shipped on the way out."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from tweeling.domain.telemetry import Direction, Movement
from tweeling.errors import AlreadyCapturedError, InvariantError, UnavailableError
from tweeling.ports.custody_api import CustodyApi
from tweeling.ports.facts import Facts

log = logging.getLogger("tweeling.claims")

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
_LOCAL = ZoneInfo("Europe/Amsterdam")
_SUBMITTER = "hub"
CURSOR = "claims.cursor"
"""The fact that says how far claims follow the weighings: {row: number}."""
_SPACE = uuid.UUID("6f1c2a52-53c3-4c83-9a3e-0d5d1c9a7f10")  # names our event ids, version 5


def location(hub: str, zone: str | None = None) -> str:
    """Name a hub or one of its zones in an event; a hub with a GLN may use a Digital Link instead."""
    return f"urn:tweeling:location:{hub}" + (f":{zone}" if zone else "")


def party(name: str) -> str:
    """Name a partner in an event."""
    return f"urn:tweeling:party:{name}"


def kilograms(grams: int) -> int | float:
    """Grams as the KGM of EPCIS: a whole number where it is one, else three decimals."""
    return grams // 1000 if grams % 1000 == 0 else round(grams / 1000, 3)


def event_time(time_ms: int) -> dict[str, str]:
    """The two time members of every event: UTC, and the offset that the clock on the wall showed."""
    moment = datetime.fromtimestamp(time_ms / 1000, UTC)
    offset = moment.astimezone(_LOCAL).strftime("%z")
    return {
        "eventTime": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "eventTimeZoneOffset": f"{offset[:3]}:{offset[3:]}",
    }


def from_weighing(movement: Movement) -> dict[str, object]:
    """The event that a weighing of a lot proves; the same weighing always gives the same event."""
    who = movement.identity
    arriving = movement.direction is Direction.IN
    partner = movement.partner or "unknown"
    here = {"type": "possessing_party", "source" if not arriving else "destination": party(who.hub)}
    there = {"type": "possessing_party", "source" if arriving else "destination": party(partner)}
    event: dict[str, object] = {
        "@context": [CONTEXT],
        "type": "ObjectEvent",
        "eventID": f"urn:uuid:{uuid.uuid5(_SPACE, f'{who.hub}/{who.node}/{who.epoch}/{who.seq}/{who.index}')}",
        **event_time(movement.time_ms),
        "action": "OBSERVE",
        "bizStep": "receiving" if arriving else "shipping",
        "disposition": "in_progress" if arriving else "in_transit",
        "readPoint": {"id": location(who.hub, movement.zone)},
        "bizLocation": {"id": location(who.hub, movement.zone)},
        "quantityList": [{"epcClass": movement.lot, "quantity": kilograms(movement.net_g), "uom": "KGM"}],
        "sourceList": [there if arriving else here],
        "destinationList": [here if arriving else there],
    }
    if movement.ticket:
        transaction = f"urn:tweeling:ticket:{movement.ticket}"
        event["bizTransactionList"] = [{"type": "recadv" if arriving else "desadv", "bizTransaction": transaction}]
    return event


class Claims:
    """Follows the weighings and captures an event for each that names a lot; a cursor keeps it from repeating."""

    def __init__(self, facts: Facts, custody: CustodyApi, *, batch: int = 200) -> None:
        self._facts = facts
        self._custody = custody
        self._batch = batch
        self._wake = threading.Event()

    def wake(self) -> None:
        """Say that there may be new weighings."""
        self._wake.set()

    def step(self) -> int:
        """Capture what is new; return how many weighings were looked at."""
        at = int(str((self._facts.get(CURSOR) or {}).get("row", 0)))
        rows = self._facts.movements(after=at, limit=self._batch)
        for row, movement in rows:
            if movement.lot:
                self._claim(movement)
            at = row
        if rows:
            self._facts.put(CURSOR, {"row": at})
        return len(rows)

    def _claim(self, movement: Movement) -> None:
        body = json.dumps(from_weighing(movement)).encode()
        try:
            self._custody.capture(body, token_id=_SUBMITTER, signature=None)
        except AlreadyCapturedError:
            pass  # a crash came between this event and the cursor
        except InvariantError as exc:
            log.warning("claims.refused", extra={"ticket": movement.ticket, "reason": str(exc)})

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped; what is unavailable is tried again at the next wake or after a second."""
        lost = False
        while True:
            self._wake.clear()  # before the look at `stop`, or a wake to stop could be wiped away
            if stop.is_set():
                return
            try:
                while self.step() == self._batch and not stop.is_set():
                    pass
            except UnavailableError as exc:
                if not lost:
                    log.warning("claims.lost", extra={"reason": str(exc)})
                lost, pause = True, 1.0
            else:
                if lost:
                    log.info("claims.back")
                lost, pause = False, 60.0
            self._wake.wait(pause)
