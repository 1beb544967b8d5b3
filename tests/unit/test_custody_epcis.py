from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from support_custody import LOT, encode, shipping
from support_shared import shared

from tweeling.domain import epcis
from tweeling.domain.canonical import jcs
from tweeling.errors import InvariantError


def _document(*events: dict[str, Any], **changes: Any) -> dict[str, Any]:
    document = {
        "@context": ["https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld", {"ex": "https://ex.example/"}],
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2026-11-24T08:00:00Z",
        "epcisBody": {"eventList": list(events)},
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def test_published_documents_are_taken_without_loss() -> None:
    for path in sorted(shared("data/vectors/epcis-capture/valid").glob("*.json")):
        document = json.loads(path.read_bytes())
        events = epcis.parse(path.read_bytes())
        body = document.get("epcisBody", {})
        expected = body.get("eventList", [document])
        assert [event.canonical for event in events] == [jcs(item) for item in expected], path.name


def test_published_documents_that_are_wrong_are_refused_by_path() -> None:
    for path in sorted(shared("data/vectors/epcis-capture/invalid").glob("*.json")):
        with pytest.raises(InvariantError) as refused:
            epcis.parse(path.read_bytes())
        assert refused.value.field, path.name


def test_an_event_is_known_by_its_id_else_by_its_hash() -> None:
    event = epcis.parse(encode(shipping()))[0]
    assert event.canonical == jcs(shipping())
    assert event.jcs == hashlib.sha256(event.canonical).digest()
    assert event.id == shipping()["eventID"]
    nameless = epcis.parse(encode(shipping(eventID=None)))[0]
    assert nameless.id == nameless.jcs.hex()


def test_an_event_of_a_document_keeps_its_own_bytes_and_the_document_s_context() -> None:
    bare = shipping(**{"@context": None, "ex:truck": "V-12-AB"})
    own = shipping(2)
    first, second = epcis.parse(encode(_document(bare, own)))
    assert first.canonical == jcs(bare)
    assert first.context == _document()["@context"]
    assert second.context is None


def test_a_summary_says_what_when_and_how_much() -> None:
    event = shipping(
        type="TransformationEvent",
        action=None,
        quantityList=None,
        bizTransactionList=None,
        inputQuantityList=[{"epcClass": "urn:lot:a", "quantity": 10, "uom": "KGM"}],
        outputQuantityList=[
            {"epcClass": "urn:lot:b", "quantity": 7.251, "uom": "KGM"},
            {"epcClass": "urn:lot:c", "quantity": 0.002, "uom": "TNE"},
            {"epcClass": "urn:lot:a", "quantity": 3},
        ],
    )
    summary = epcis.parse(encode(event))[0].summary
    assert summary == (
        "TransformationEvent",
        "shipping",
        1_795_507_200_000,
        ("urn:lot:a", "urn:lot:b", "urn:lot:c"),
        9251,
    )
    assert epcis.parse(encode(shipping()))[0].summary.mass_g == 1_234_500
    assert epcis.time_ms("2026-11-24T09:00:00.1239+01:00") == 1_795_507_200_123


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"eventTime": None}, "eventTime"),
        ({"eventTime": "2026-11-24T08:00:00"}, "eventTime"),
        ({"eventTime": "2026-13-24T08:00:00Z"}, "eventTime"),
        ({"eventTime": 5}, "eventTime"),
        ({"eventTime": "9999-12-31T23:59:59-14:00"}, "eventTime"),
        ({"eventTime": "0001-01-01T00:00:00+14:00"}, "eventTime"),
        ({"eventTime": "1970-01-01T00:59:59+01:00"}, "eventTime"),
        ({"eventTime": "2199-12-31T23:30:00-01:00"}, "eventTime"),
        ({"eventTime": "2026-11-24T08:00:00.\u0661Z"}, "eventTime"),
        ({"recordTime": "9999-12-31T23:59:59-14:00"}, "recordTime"),
        ({"quantityList": [{"epcClass": LOT, "quantity": 1e308, "uom": "TNE"}]}, "quantityList[0].quantity"),
        ({"quantityList": [{"epcClass": LOT, "quantity": 1e12, "uom": "TNE"}]}, "quantityList"),
        ({"quantityList": [{"epcClass": LOT, "quantity": 6e8, "uom": "TNE"}] * 2}, "quantityList"),
        ({"eventTimeZoneOffset": "+15:00"}, "eventTimeZoneOffset"),
        ({"eventTimeZoneOffset": None}, "eventTimeZoneOffset"),
        ({"action": "LOOK"}, "action"),
        ({"action": None}, "action"),
        ({"bizStep": "shiping"}, "bizStep"),
        ({"disposition": "lost"}, "disposition"),
        ({"quantityList": [{"epcClass": LOT, "quantity": "5"}]}, "quantityList[0].quantity"),
        ({"quantityList": [{"epcClass": LOT, "quantity": -1}]}, "quantityList[0].quantity"),
        ({"quantityList": [{"quantity": 1}]}, "quantityList[0].epcClass"),
        ({"quantityList": [{"epcClass": "lot 5", "quantity": 1}]}, "quantityList[0].epcClass"),
        ({"quantityList": [{"epcClass": "urn:lot:5\x00", "quantity": 1}]}, "quantityList[0].epcClass"),
        ({"eventID": "urn:uuid:\x7f"}, "eventID"),
        ({"readPoint": {"id": "H1"}}, "readPoint.id"),
        ({"sourceList": [{"type": "seller", "source": "urn:x:y"}]}, "sourceList[0].type"),
    ],
)
def test_a_malformed_member_is_refused_by_its_path(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(InvariantError) as refused:
        epcis.parse(encode(shipping(**changes)))
    assert refused.value.field == path


@pytest.mark.parametrize(
    "event",
    [
        shipping(colour="red"),
        shipping(quantityList=None),
        shipping(type="ObservationEvent"),
        shipping(type="AssociationEvent", quantityList=None),
        shipping(type="AggregationEvent", quantityList=None, action="ADD", childEPCs=["urn:epc:id:sgtin:1.2.3"]),
        shipping(type="TransactionEvent", bizTransactionList=[]),
        shipping(type="TransformationEvent"),
        {},
        [shipping()],
        _document(shipping(), schemaVersion="1.2"),
        _document(shipping(), epcisBody={}),
        _document(shipping(), epcisBody={"event": shipping(), "eventList": [shipping()]}),
        _document(shipping(), extra=1),
    ],
)
def test_an_event_that_cannot_be_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvariantError):
        epcis.parse(encode(event))


def test_the_edges_of_time_and_mass_are_taken() -> None:
    for text, time_ms in (("1969-12-31T23:00:00-01:00", 0), ("2200-01-01T00:59:59.999+01:00", 7_258_118_399_999)):
        assert epcis.parse(encode(shipping(eventTime=text)))[0].summary.time_ms == time_ms
    most = [{"epcClass": LOT, "quantity": 1e9, "uom": "TNE"}]
    assert epcis.parse(encode(shipping(quantityList=most)))[0].summary.mass_g == 10**15


def test_a_member_that_is_null_is_summed_up_as_absent() -> None:
    nothing = [{"epcClass": LOT, "quantity": None, "uom": "KGM"}]
    body = json.dumps(shipping(quantityList=nothing) | {"bizStep": None}).encode()
    summary = epcis.parse(body)[0].summary
    assert (summary.biz_step, summary.mass_g) == ("", None)


def test_extensions_pass_under_uri_or_curie() -> None:
    event = shipping(**{"ex:moisture": 0.12, "https://ex.example/note": {"a": [1]}})
    assert epcis.parse(encode(event))[0].canonical == jcs(event)


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u6f22"])
def test_a_uri_is_as_long_as_its_bytes_are(letter: str) -> None:
    longest = letter * ((2048 - len("urn:x:")) // len(letter.encode()))
    for changes in ({"eventID": f"urn:x:{longest}"}, {"lot": f"urn:x:{longest}"}):
        epcis.parse(encode(shipping(**changes)))
    for changes in ({"eventID": f"urn:x:{longest}{letter}"}, {"lot": f"urn:x:{longest}{letter}"}):
        with pytest.raises(InvariantError, match="more than 2048 bytes"):
            epcis.parse(encode(shipping(**changes)))
