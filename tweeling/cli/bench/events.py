"""Custody events as partners send them: about 900 bytes each, and each lot touched four times."""

from __future__ import annotations

import json
import uuid

_SPACE = uuid.UUID("0f0b6f0e-6c52-4c8f-9d5e-2a4f64b6a5f1")
_TOUCHED = 4


def event(number: int) -> bytes:
    """The shipping event of this number; the same number always gives the same bytes."""
    lot = f"https://id.gs1.org/01/08712345000014/10/LOT-{number // _TOUCHED:08}"
    hub = f"https://id.gs1.org/414/87123450000{number % 90 + 10}"
    body = {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"],
        "type": "ObjectEvent",
        "eventID": f"urn:uuid:{uuid.uuid5(_SPACE, str(number))}",
        "eventTime": f"2026-11-{number % 28 + 1:02}T08:{number % 60:02}:00.000Z",
        "eventTimeZoneOffset": "+01:00",
        "action": "OBSERVE",
        "bizStep": "shipping",
        "disposition": "in_transit",
        "readPoint": {"id": f"{hub}/254/gate-1"},
        "bizLocation": {"id": hub},
        "quantityList": [{"epcClass": lot, "quantity": 1000 + number % 9000 + 0.5, "uom": "KGM"}],
        "sourceList": [{"type": "possessing_party", "source": "https://id.gs1.org/417/8712345000021"}],
        "destinationList": [{"type": "possessing_party", "destination": "https://id.gs1.org/417/8712345000038"}],
        "bizTransactionList": [
            {"type": "desadv", "bizTransaction": f"urn:tweeling:ticket:{number:08}"},
            {"type": "po", "bizTransaction": f"urn:tweeling:order:{number % 500:06}"},
        ],
    }
    return json.dumps(body, separators=(",", ":")).encode()
