"""The largest events that are taken, each with a receipt that verifies; and those just beyond."""

from __future__ import annotations

from typing import Any

import pytest
from support_custody import Bench, encode, shipping

from tweeling.domain import epcis
from tweeling.errors import InvariantError
from tweeling.verify import verify


def long_lot(number: int, length: int = 40) -> dict[str, Any]:
    return {"epcClass": f"urn:lot:{number:04}".ljust(length, "x"), "quantity": 1.5, "uom": "KGM"}


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return {"ex:deep": value}


def noted(count: int) -> dict[str, Any]:
    """`1e20` comes in four characters, and is 21 digits in canonical form."""
    return {"ex:numbers": [1e20] * count}


MOST = 1 + (epcis.MAX_EVENT_BYTES - len(epcis.parse(encode(shipping(1, ilmd=noted(1))))[0].canonical)) // 22


@pytest.mark.parametrize(
    "event",
    [
        shipping(1, quantityList=[long_lot(number) for number in range(1000)]),
        shipping(1, quantityList=[long_lot(number, 1000) for number in range(1000)]),
        shipping(1, ilmd=noted(MOST)),
        shipping(1, ilmd=nested(62)),
        shipping(1, **{f"ex:member-{number}": number for number in range(2000)}),
    ],
    ids=["a thousand lots", "a thousand long lots", "a mebibyte", "deep", "two thousand members"],
)
def test_the_largest_events_that_are_taken_have_receipts_that_verify(event: dict[str, Any]) -> None:
    bench = Bench()
    bench.capture(event)
    bench.integrate()
    verdict = verify(bench.custody.receipt(event["eventID"]), [bench.trust])
    assert verdict.event == event


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            shipping(1, quantityList=[long_lot(number) for number in range(1100)]),
            "^event urn:uuid:.*holds 2040; split the event",
        ),
        (
            shipping(1, ilmd=noted(MOST + 1)),
            "^event urn:uuid:.*bytes in canonical form, at most 1048576; split the event",
        ),
        (shipping(1, ilmd=nested(63)), "nested too deeply"),
        (
            shipping(1, **{f"ex:member-{number}": number for number in range(2100)}),
            "^event urn:uuid:.*holds 2040; split the event",
        ),
    ],
    ids=["lots", "bytes", "depth", "members"],
)
def test_what_is_beyond_is_refused_and_the_log_goes_on(event: dict[str, Any], reason: str) -> None:
    bench = Bench()
    with pytest.raises(InvariantError, match=reason):
        bench.capture(event)
    bench.capture(shipping(2))
    assert bench.store.size() == 1
