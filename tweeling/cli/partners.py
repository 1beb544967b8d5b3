"""The demo's partners: they ship under their own keys with their own masses, and the hubs' plants crush and sort.

A process of its own, so that everything it claims goes over the wire, as a stranger's claims would.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import NamedTuple

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling import config
from tweeling.adapters import secretfile
from tweeling.adapters.clock import ScaledClock
from tweeling.cli.configs import gateways, load_key, parties
from tweeling.cli.installation import Installation
from tweeling.domain.canonical import jcs
from tweeling.domain.vocabulary import BIZ_STEPS
from tweeling.ports.clock import Clock
from tweeling.services.claims import CONTEXT, event_time, kilograms, location, party
from tweeling.simulation import Load, Processing, Simulator
from tweeling.simulation.region import load as load_region

log = logging.getLogger("tweeling.partners")

_SPACE = uuid.UUID("1d0a9d4e-8c1f-4a53-9a75-7f0f0a4f9a11")
_ROAD_MS = 30 * 60_000  # a partner weighs and ships half an hour before the hub receives
_TICK_S = 0.5
_LATER = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})


class Signed(NamedTuple):
    """An event to send, and the party whose key signs it."""

    time_ms: int
    event: dict[str, object]
    by: str


def shipping(load: Load, hub: str) -> Signed:
    """Tell what the sender of a load claims: its own scale, within half a per cent of ours, read to ten kilograms."""
    scale = 1 + Random(load.tenant).uniform(-0.005, 0.005)  # noqa: S311  a scale's error, no secret
    mass_g = max(10_000, round(load.net_g * scale / 10_000) * 10_000) if load.net_g > 500_000 else load.net_g
    time_ms = load.time_ms - _ROAD_MS
    event: dict[str, object] = {
        "@context": [CONTEXT],
        "type": "ObjectEvent",
        "eventID": f"urn:uuid:{uuid.uuid5(_SPACE, load.ticket)}",
        **event_time(time_ms),
        "action": "OBSERVE",
        "bizStep": "shipping",
        "disposition": "in_transit",
        "readPoint": {"id": location(load.tenant)},
        "quantityList": [{"epcClass": load.lot, "quantity": kilograms(mass_g), "uom": "KGM"}],
        "bizTransactionList": [{"type": "desadv", "bizTransaction": f"urn:tweeling:ticket:{load.ticket}"}],
        "sourceList": [{"type": "possessing_party", "source": party(load.tenant)}],
        "destinationList": [{"type": "possessing_party", "destination": party(hub)}],
    }
    return Signed(time_ms, event, load.tenant)


def transformation(done: Processing, hub: str) -> Signed:
    """Tell what a hub's plant made of which lots."""
    first = done.inputs[0][0]
    event: dict[str, object] = {
        "@context": [CONTEXT],
        "type": "TransformationEvent",
        "eventID": f"urn:uuid:{uuid.uuid5(_SPACE, f'{done.zone}/{done.time_ms}/{first}')}",
        **event_time(done.time_ms),
        "inputQuantityList": [_quantity(lot, grams) for lot, grams in done.inputs],
        "outputQuantityList": [_quantity(lot, grams) for lot, _, grams in done.outputs],
        "transformationID": f"urn:uuid:{uuid.uuid5(_SPACE, f'transformation/{done.zone}/{done.time_ms}')}",
        # What the Core Business Vocabulary has no word for is named by a URI.
        "bizStep": done.step if done.step in BIZ_STEPS else f"urn:tweeling:bizstep-{done.step}",
        "readPoint": {"id": location(hub, done.zone)},
        "bizLocation": {"id": location(hub, done.zone)},
    }
    return Signed(done.time_ms, event, hub)


def _quantity(lot: str, grams: int) -> dict[str, object]:
    return {"epcClass": lot, "quantity": kilograms(grams), "uom": "KGM"}


class Partners:
    """Claims what happens in the simulated region, as it happens.

    keys: a private key per party. url and token: the hub's interface and a token that may capture.
    """

    def __init__(
        self,
        simulators: Mapping[str, Simulator],
        keys: Mapping[str, Ed25519PrivateKey],
        clock: Clock,
        *,
        url: str,
        token: str,
        cursor: Path,
    ) -> None:
        self._simulators = simulators
        self._keys = keys
        self._clock = clock
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=10)
        self._cursor = cursor

    def run(self, stop: threading.Event) -> None:
        """Claim until stopped. What the hub did not take is claimed again; what it knows already is no trouble."""
        at = int(self._cursor.read_text()) if self._cursor.exists() else self._clock.now_ms()
        lost = False
        while not stop.wait(_TICK_S):
            until = self._clock.now_ms()
            try:
                for signed in self._between(at, until):
                    self._send(signed)
            except httpx.TransportError as exc:
                if not lost:
                    log.warning("hub.lost", extra={"reason": type(exc).__name__})
                lost = True
                continue
            if lost:
                log.warning("hub.back")
                lost = False
            at = until
            self._remember(at)
        self._http.close()

    def _between(self, from_ms: int, to_ms: int) -> Iterator[Signed]:
        claims: list[Signed] = []
        for hub, simulator in self._simulators.items():
            arriving = simulator.observe(from_ms + _ROAD_MS, to_ms + _ROAD_MS, every_ms=7 * 86_400_000)
            claims += [
                shipping(event, hub) for event in arriving if isinstance(event, Load) and event.direction == "in"
            ]
            claims += [transformation(done, hub) for done in simulator.processing(from_ms, to_ms)]
        return iter(sorted(claims, key=lambda claim: claim.time_ms))

    def _send(self, signed: Signed) -> None:
        body = json.dumps(signed.event).encode()
        signature = base64.b64encode(self._keys[signed.by].sign(jcs(signed.event))).decode()
        header = f'keyid="{signed.by}", alg="ed25519", sig="{signature}"'
        answer = self._http.post(
            "/events",
            content=body,
            headers={
                "Content-Type": "application/json",
                "Tweeling-Signature": header,
            },
        )
        if answer.is_server_error or answer.status_code in _LATER:
            raise httpx.ReadError(f"the hub answers {answer.status_code}")
        if answer.status_code not in {httpx.codes.CREATED, httpx.codes.CONFLICT}:
            log.error("claim.refused", extra={"status": answer.status_code, "reason": answer.text[:300]})

    def _remember(self, at: int) -> None:
        secretfile.write(self._cursor, str(at))


def run_partners(folder: Path, stop: threading.Event) -> None:
    """Play the partners of the demo in this folder until stopped."""
    installation = Installation(folder)
    settings = config.load(installation.config)
    story = installation.story(seed=0, speed=settings.clock.speed)
    region = load_region()
    partners = Partners(
        {hub: Simulator(story.seed, hub, story.start_ms) for hub in gateways(region)},
        {party: load_key(installation.partner_key(party)) for party in parties(region)},
        ScaledClock(**settings.clock.model_dump()),
        url=f"http://127.0.0.1:{settings.http.port}",
        token=installation.token("partners").read_text().strip(),
        cursor=installation.folder / "partners.cursor",
    )
    partners.run(stop)
