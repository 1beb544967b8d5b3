"""Custody events in GS1 EPCIS 2.0 JSON: strict at the border, kept without loss.

What is kept and hashed is the JSON as it came (RFC 8785); the models here only judge it and are then let go.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache, cached_property
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from tweeling.domain import vocabulary
from tweeling.domain.canonical import compose, jcs, parse_json
from tweeling.errors import InvariantError

MAX_BYTES = 4 << 20
MAX_EVENT_BYTES = 1 << 20  # in canonical form: with what the log adds to it, a receipt can hold it
MAX_EVENTS = 5_000
MAX_QUANTITY = 1e12
MAX_MASS_G = 10**15  # a thousand million tonnes; every sum of such stays an integer that stores and screens can hold

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f]+")  # no NUL, which PostgreSQL could not hold
_URI_BYTES = 2048  # in UTF-8; an index of PostgreSQL holds no more than 2704 of a row
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-](?:0\d|1[0-4]):[0-5]\d)", re.ASCII)
_TIMES_MS = range(7_258_118_400_000)  # 1970 to 2199, what any clock, store and screen can say
_GRAMS = {"KGM": 1000, "GRM": 1, "TNE": 1_000_000}  # UN/ECE Recommendation 20
_EPC_LISTS = ("epcList", "childEPCs", "inputEPCList", "outputEPCList")
_QUANTITY_LISTS = ("quantityList", "childQuantityList", "inputQuantityList", "outputQuantityList")
_MASS_LISTS = ("quantityList", "childQuantityList", "outputQuantityList")


@dataclass(frozen=True)
class Event:
    """One event as it came. context: the @context of the document it came in, where the event has none itself."""

    body: Mapping[str, Any]
    context: Any = None

    @cached_property
    def members(self) -> dict[str, str]:
        """Each member's value as JCS text."""
        return {name: jcs(value).decode() for name, value in self.body.items()}

    @cached_property
    def canonical(self) -> bytes:
        """The bytes that are hashed and signed: RFC 8785 over every member."""
        return compose(self.members)

    @cached_property
    def jcs(self) -> bytes:
        """SHA-256 of the canonical bytes."""
        return hashlib.sha256(self.canonical).digest()

    @property
    def id(self) -> str:
        """The event's own eventID, or the hex of its hash."""
        return str(self.body.get("eventID") or self.jcs.hex())

    @cached_property
    def lots(self) -> tuple[str, ...]:
        """Everything the event touches, each once."""
        return tuple(dict.fromkeys(touched(self.body)))

    @property
    def summary(self) -> Summary:
        """The event in a few values."""
        return summarise(self.body)


class Summary(NamedTuple):
    """What a line on a screen says. lots: everything the event touches. mass_g: None where no mass is stated."""

    type: str
    biz_step: str
    time_ms: int
    lots: tuple[str, ...]
    mass_g: int | None


def parse(data: bytes) -> list[Event]:
    """Read one event or an EPCISDocument, or raise InvariantError naming path and reason."""
    if len(data) > MAX_BYTES:
        raise InvariantError(f"{len(data)} bytes, at most {MAX_BYTES}")
    body = parse_json(data)
    if not isinstance(body, dict):
        raise InvariantError("not a JSON object")
    if body.get("type") != "EPCISDocument":
        _check_event(body, "")
        return [Event(body)]
    _validate(_DOCUMENT, body, "")
    holder = body["epcisBody"]
    if ("eventList" in holder) == ("event" in holder):
        raise InvariantError("holds either eventList or event", field="epcisBody")
    events = holder["eventList"] if "eventList" in holder else [holder["event"]]
    if len(events) > MAX_EVENTS:
        raise InvariantError(f"{len(events)} events, at most {MAX_EVENTS}", field="epcisBody.eventList")
    for index, event in enumerate(events):
        _check_event(event, f"epcisBody.eventList[{index}]" if "eventList" in holder else "epcisBody.event")
    return [Event(event, None if "@context" in event else body["@context"]) for event in events]


def summarise(body: Mapping[str, Any]) -> Summary:
    """Sum up an event that has been parsed before."""
    return Summary(
        type=body["type"],
        biz_step=body.get("bizStep") or "",
        time_ms=time_ms(body["eventTime"]),
        lots=tuple(dict.fromkeys(touched(body))),
        mass_g=_mass(body),
    )


def time_ms(text: str) -> int:
    """Read an eventTime as milliseconds since 1970, or raise ValueError."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ValueError("not a date and time with its offset, as 2026-11-24T08:00:00.000+01:00")
    second = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3]))
    time = int(second.timestamp()) * 1000 + int(((match[2] or "") + "000")[:3])
    if time not in _TIMES_MS:
        raise ValueError("not between 1970 and 2199 (UTC)")
    return time


def touched(body: Mapping[str, Any]) -> Iterator[str]:
    """Everything an event names in what it touches; parts of an event will do."""
    if parent := body.get("parentID"):
        yield parent
    for name in _EPC_LISTS:
        yield from body.get(name) or ()
    for name in _QUANTITY_LISTS:
        yield from (element["epcClass"] for element in body.get(name) or ())


def _mass(body: Mapping[str, Any]) -> int | None:
    masses = [
        Decimal(repr(element["quantity"])) * _GRAMS[element["uom"]]
        for name in _MASS_LISTS
        for element in body.get(name) or ()
        if element.get("uom") in _GRAMS and element.get("quantity") is not None
    ]
    return round(sum(masses)) if masses else None


# ------------------------------------------------------------------ what is let in


def _check_event(body: Any, path: str) -> None:
    _validate(_EVENT, body, path)
    if (_mass(body) or 0) > MAX_MASS_G:
        first = next(name for name in _MASS_LISTS if body.get(name))
        raise InvariantError(f"more than {MAX_MASS_G} grams in one event", field=_path(path, [first]))


def _check_time(text: str) -> str:
    time_ms(text)
    return text


def _check_uri(text: str) -> str:
    if not _URI.fullmatch(text):
        raise ValueError("not a URI")
    if len(text.encode()) > _URI_BYTES:
        raise ValueError(f"more than {_URI_BYTES} bytes")
    return text


def _word(words: frozenset[str]) -> AfterValidator:
    def check(text: str) -> str:
        if text not in words and not _URI.fullmatch(text):
            raise ValueError(f"neither a word of the Core Business Vocabulary nor a URI: {text[:60]!r}")
        return text

    return AfterValidator(check)


_Time = Annotated[str, AfterValidator(_check_time)]
_Offset = Annotated[str, Field(pattern=r"^[+-](?:(?:0\d|1[0-3]):[0-5]\d|14:00)$")]
_Uri = Annotated[str, AfterValidator(_check_uri)]
_Uris = Annotated[list[_Uri], Field(max_length=100_000)]


class _Strict(BaseModel):
    """Knows its members; any other must be an extension, named by URI or CURIE."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _no_strangers(cls, value: Any) -> Any:
        if isinstance(value, dict):
            known = _names(cls)
            for name in value:
                if name not in known and not _URI.fullmatch(name) and not name.startswith("@"):
                    raise ValueError(f"unknown member {name[:60]!r}: an extension is named by URI or CURIE")
        return value


@cache
def _names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in model.model_fields.items())


class _Place(_Strict):
    id: _Uri


class _Quantity(_Strict):
    epcClass: _Uri
    quantity: Annotated[float, Field(ge=0, le=MAX_QUANTITY)] | None = None
    uom: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,3}$")] | None = None


class _Transaction(_Strict):
    type: Annotated[str, _word(vocabulary.BIZ_TRANSACTION_TYPES)] | None = None
    bizTransaction: _Uri


class _Source(_Strict):
    type: Annotated[str, _word(vocabulary.SOURCE_DEST_TYPES)]
    source: _Uri


class _Destination(_Strict):
    type: Annotated[str, _word(vocabulary.SOURCE_DEST_TYPES)]
    destination: _Uri


class _Error(_Strict):
    declarationTime: _Time
    reason: Annotated[str, _word(vocabulary.ERROR_REASONS)] | None = None
    correctiveEventIDs: _Uris | None = None


_Disposition = Annotated[str, _word(vocabulary.DISPOSITIONS)]


class _Persistent(_Strict):
    set: list[_Disposition] | None = None
    unset: list[_Disposition] | None = None


class _Common(_Strict):
    context: Any = Field(default=None, alias="@context")
    eventID: _Uri | None = None
    eventTime: _Time
    eventTimeZoneOffset: _Offset
    recordTime: _Time | None = None
    errorDeclaration: _Error | None = None
    certificationInfo: _Uri | _Uris | None = None
    bizStep: Annotated[str, _word(vocabulary.BIZ_STEPS)] | None = None
    disposition: _Disposition | None = None
    readPoint: _Place | None = None
    bizLocation: _Place | None = None
    bizTransactionList: list[_Transaction] | None = None
    sourceList: list[_Source] | None = None
    destinationList: list[_Destination] | None = None
    sensorElementList: list[dict[str, Any]] | None = None


_Action = Literal["ADD", "OBSERVE", "DELETE"]


def _some(event: _Common, *names: str) -> None:
    if not any(getattr(event, name) for name in names):
        raise ValueError(f"names nothing: {' or '.join(names)} is required")


class _ObjectEvent(_Common):
    type: Literal["ObjectEvent"]
    action: _Action
    epcList: _Uris | None = None
    quantityList: list[_Quantity] | None = None
    persistentDisposition: _Persistent | None = None
    ilmd: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _what(self) -> _ObjectEvent:
        if not (self.sensorElementList and self.readPoint):
            _some(self, "epcList", "quantityList")
        return self


class _AggregationEvent(_Common):
    type: Literal["AggregationEvent"]
    action: _Action
    parentID: _Uri | None = None
    childEPCs: _Uris | None = None
    childQuantityList: list[_Quantity] | None = None

    @model_validator(mode="after")
    def _what(self) -> _AggregationEvent:
        if self.action != "OBSERVE" and not self.parentID:
            raise ValueError("parentID is required unless the action is OBSERVE")
        if self.action != "DELETE":
            _some(self, "childEPCs", "childQuantityList")
        return self


class _TransactionEvent(_Common):
    type: Literal["TransactionEvent"]
    action: _Action
    bizTransactionList: Annotated[list[_Transaction], Field(min_length=1)]
    parentID: _Uri | None = None
    epcList: _Uris | None = None
    quantityList: list[_Quantity] | None = None

    @model_validator(mode="after")
    def _what(self) -> _TransactionEvent:
        if self.action != "DELETE":
            _some(self, "epcList", "quantityList", "parentID")
        return self


class _TransformationEvent(_Common):
    type: Literal["TransformationEvent"]
    transformationID: _Uri | None = None
    inputEPCList: _Uris | None = None
    inputQuantityList: list[_Quantity] | None = None
    outputEPCList: _Uris | None = None
    outputQuantityList: list[_Quantity] | None = None
    persistentDisposition: _Persistent | None = None
    ilmd: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _what(self) -> _TransformationEvent:
        inputs, outputs = ("inputEPCList", "inputQuantityList"), ("outputEPCList", "outputQuantityList")
        if self.transformationID:
            _some(self, *inputs, *outputs)
        else:
            _some(self, *inputs)
            _some(self, *outputs)
        return self


class _AssociationEvent(_Common):
    type: Literal["AssociationEvent"]
    action: _Action
    parentID: _Uri
    childEPCs: _Uris | None = None
    childQuantityList: list[_Quantity] | None = None

    @model_validator(mode="after")
    def _what(self) -> _AssociationEvent:
        if self.action != "DELETE":
            _some(self, "childEPCs", "childQuantityList")
        return self


class _Body(_Strict):
    eventList: list[dict[str, Any]] | None = None
    event: dict[str, Any] | None = None


class _Document(_Strict):
    context: Annotated[Any, Field(alias="@context")]
    type: Literal["EPCISDocument"]
    id: _Uri | None = None
    schemaVersion: Annotated[str, Field(pattern=r"^2\.\d+(\.\d+)?$")]
    creationDate: _Time
    sender: str | None = None
    receiver: str | None = None
    instanceIdentifier: str | None = None
    epcisHeader: dict[str, Any] | None = None
    epcisBody: _Body


_EVENT: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        _ObjectEvent | _AggregationEvent | _TransactionEvent | _TransformationEvent | _AssociationEvent,
        Field(discriminator="type"),
    ]
)
_DOCUMENT: TypeAdapter[Any] = TypeAdapter(_Document)


def _validate(model: TypeAdapter[Any], value: object, path: str) -> None:
    try:
        model.validate_python(value)
    except ValidationError as exc:
        problem = exc.errors(include_url=False, include_context=False)[0]
        reason = problem["msg"].removeprefix("Value error, ")
        raise InvariantError(reason, field=_path(path, problem["loc"])) from exc


def _path(path: str, location: Sequence[int | str]) -> str:
    """Write a pydantic location as a path; the names of models in it are no part of the JSON."""
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not part.endswith("Event") and not part.startswith(("function-", "list[", "constrained-")):
            path += f".{part}" if path else part
    return path
