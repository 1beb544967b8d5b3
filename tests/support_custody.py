"""A log, its keys and its events, for tests of custody and verification."""

from __future__ import annotations

import json
from functools import cache
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling.adapters.memory_facts import MemoryFacts
from tweeling.adapters.memory_ledger import MemoryLedger
from tweeling.adapters.memory_log import MemoryLogStore
from tweeling.domain.canonical import jcs
from tweeling.domain.note import Signer
from tweeling.domain.partners import Partners
from tweeling.ports.custody_api import DetachedSignature
from tweeling.ports.logstore import LogStore
from tweeling.services.custody import Custody
from tweeling.services.gate import Gate
from tweeling.verify.trust import TrustedContract, TrustedLog

ORIGIN = "tweeling.example/log"
LOT = "urn:epc:class:lgtin:4012345.011111.0042"
LOG_ID = bytes(range(32))


class HandClock:
    """A clock that a test moves."""

    def __init__(self, now_ms: int = 1_795_000_000_000) -> None:
        self.ms = now_ms

    def now_ms(self) -> int:
        return self.ms


@cache
def private_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(Random(name).randbytes(32))


def public_key(name: str) -> bytes:
    return private_key(name).public_key().public_bytes_raw()


def signer(name: str = "log", origin: str = ORIGIN) -> Signer:
    return Signer(origin, public_key(name), private_key(name).sign)


def shipping(number: int = 1, *, lot: str = LOT, **changes: Any) -> dict[str, Any]:
    """A shipping event; a change to None takes a member away."""
    event = {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "ObjectEvent",
        "eventID": f"urn:uuid:6b1c0000-0000-4000-8000-{number:012d}",
        "eventTime": "2026-11-24T08:00:00.000Z",
        "eventTimeZoneOffset": "+01:00",
        "action": "OBSERVE",
        "bizStep": "shipping",
        "disposition": "in_transit",
        "readPoint": {"id": "urn:tweeling:location:H1:H1-A"},
        "bizLocation": {"id": "urn:tweeling:location:H1:H1-A"},
        "quantityList": [{"epcClass": lot, "quantity": 1234.5, "uom": "KGM"}],
        "sourceList": [{"type": "possessing_party", "source": "urn:tweeling:party:T1"}],
        "destinationList": [{"type": "possessing_party", "destination": "urn:tweeling:party:H1"}],
        "bizTransactionList": [{"type": "desadv", "bizTransaction": f"urn:tweeling:ticket:{number}"}],
    }
    return {name: value for name, value in (event | changes).items() if value is not None}


def encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def signed(event: dict[str, Any], party: str = "T1") -> DetachedSignature:
    return DetachedSignature(party, "ed25519", private_key(party).sign(jcs(event)))


def partners(*names: str) -> Partners:
    return Partners({name: {"Ed25519": public_key(name).hex()} for name in names})


class Bench:
    """A log with its clock and ledger at hand; what is random in it is the same in every run."""

    def __init__(
        self, store: LogStore | None = None, *, seed: int = 7, key: str = "log", gate: Gate | None = None
    ) -> None:
        self.store = store or MemoryLogStore()
        self.clock = HandClock()
        self.ledger = MemoryLedger(LOG_ID)
        self.facts = MemoryFacts()
        self.custody = Custody(
            self.store,
            signer(key),
            clock=self.clock,
            random=Random(seed).randbytes,
            partners=partners("T1", "T2"),
            gate=gate,
        )

    def capture(self, *events: dict[str, Any]) -> None:
        for event in events:
            self.custody.capture(encode(event), token_id="test", signature=signed(event))

    def integrate(self) -> None:
        self.clock.ms += 1000
        self.custody.checkpoint()

    @property
    def trust(self) -> TrustedLog:
        place = TrustedContract(
            chain_id=self.ledger.chain_id, contract=self.ledger.contract, log_id="0x" + LOG_ID.hex()
        )
        return self.custody.trust_file(place)
