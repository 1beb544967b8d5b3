"""SenML (RFC 8428), JSON and CBOR: the readings inside an envelope.

A weighing is a SenML record of unit `g` with the must-understand extension `mv_` (`in` or `out`, RFC 8428 §4.4)
and beside it `mat` (material), `par` (partner), `tkt` (ticket), `lot`, `grs` and `tar` (gross, tare, in grams).
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

# RFC 8428 §4.5.1, narrowed to `thing/attribute`, which is what a twin can place.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}/[A-Za-z][A-Za-z0-9:._-]{0,63}$")
RELATIVE_S = 2**28
"""Smaller times are relative to now (§4.5.3)."""
_CBOR_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs"}
_CBOR_LABELS |= {0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd"}
_TO_CBOR = {label: number for number, label in _CBOR_LABELS.items()}
_BASE = frozenset({"bn", "bt", "bu", "bv", "bver"})
WEIGHING = frozenset({"mv_", "mat", "par", "tkt", "lot", "grs", "tar"})
_VERSION = 10
MAX_MS = 253_402_300_800_000
"""The year 10000: no time on the wire reaches it."""
_MAX_VALUE = sys.float_info.max


@with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))
class Record(TypedDict, total=False):
    """One SenML record as it travels."""

    bn: str
    bt: float
    bu: str
    bv: float
    bs: float
    bver: int
    n: str
    u: str
    v: float | int
    vs: str
    vb: bool
    vd: str
    s: float
    t: float
    ut: float
    mv_: str
    mat: str
    par: str
    tkt: str
    lot: str
    grs: int
    tar: int


def is_name(name: str) -> bool:
    """Whether a complete name is one that a twin can place."""
    return _NAME.fullmatch(name) is not None


PACK = TypeAdapter(list[Record])
RECORD = TypeAdapter(Record)


def base_of(raw: object) -> Record | None:
    """The base fields of a record that is senseless otherwise; None where not even these can be read."""
    if not isinstance(raw, dict):
        return None
    try:
        return RECORD.validate_python({key: value for key, value in raw.items() if key in _BASE})
    except ValidationError:
        return None


class Resolved(NamedTuple):
    """One record on its own: base fields applied, time absolute."""

    name: str
    time_ms: int
    value: float | int
    unit: str
    weighing: Mapping[str, Any] | None


class Unresolved(NamedTuple):
    """A record that has no meaning, and why.

    base: the base fields it nevertheless sets for those behind it; None where these cannot be read either, so that
    nothing behind it has a meaning.
    """

    reason: str
    base: Record | None = Record()


def encode(records: Iterable[Resolved]) -> list[dict[str, Any]]:
    """Make a compact pack: unit and time become base fields where they repeat."""
    pack: list[dict[str, Any]] = []
    base: dict[str, Any] = {}
    for record in records:
        row: dict[str, Any] = {"n": record.name}
        if not base:
            base = {"bt": record.time_ms / 1000, "bu": record.unit}
            row = {**base, **row}
        elif record.time_ms / 1000 != base["bt"]:
            row["t"] = _offset(record.time_ms, base["bt"])
        if record.unit != base["bu"]:
            row["u"] = record.unit
        row["v"] = record.value
        if record.weighing is not None:
            row.update(record.weighing)
        pack.append(row)
    return pack


def _offset(time_ms: int, base_s: float) -> float:
    return (time_ms - round(base_s * 1000)) / 1000


def resolve(pack: Sequence[Record | Unresolved], *, now_ms: int) -> list[Resolved | Unresolved]:
    """Apply base fields and absolute times (RFC 8428 §4.6); a senseless record says why, the rest stand."""
    base = _Base("", 0.0, "", 0.0, _VERSION)
    spoilt = False
    out: list[Resolved | Unresolved] = []
    for record in pack:
        sets = record.base if isinstance(record, Unresolved) else record
        spoilt = spoilt or sets is None
        if sets and not _BASE.isdisjoint(sets):
            base = base.then(sets)
        if isinstance(record, Unresolved):
            out.append(record)
        elif spoilt:
            out.append(Unresolved("the base fields before it cannot be read"))
        else:
            out.append(_resolve(record, base, now_ms))
    return out


class _Base(NamedTuple):
    name: str
    time: float
    unit: str
    value: float
    version: int

    def then(self, record: Record) -> _Base:
        return _Base(
            record.get("bn", self.name),
            record.get("bt", self.time),
            record.get("bu", self.unit),
            record.get("bv", self.value),
            record.get("bver", self.version),
        )


def _resolve(record: Record, base: _Base, now_ms: int) -> Resolved | Unresolved:
    if base.version > _VERSION:
        return Unresolved(f"the SenML version is newer than {_VERSION}")
    name = base.name + record.get("n", "")
    if not is_name(name):
        return Unresolved(f"name {name[:80]!r} is not <thing>/<attribute>")
    time_ms = _time_ms(base.time + record.get("t", 0.0), now_ms)
    if time_ms is None:
        return Unresolved("time is outside 1970..9999")
    value = _value(record, base.value)
    if isinstance(value, str):
        return Unresolved(value)
    weighing = None
    if not WEIGHING.isdisjoint(record):
        if "mv_" not in record:
            return Unresolved("a weighing without its direction (mv_)")
        weighing = {key: item for key, item in record.items() if key in WEIGHING}
    return Resolved(name, time_ms, value, record.get("u", base.unit), weighing)


def _time_ms(seconds: float, now_ms: int) -> int | None:
    if not abs(seconds) < MAX_MS / 1000:
        return None
    time_ms = round(seconds * 1000) + (now_ms if abs(seconds) < RELATIVE_S else 0)
    return time_ms if 0 <= time_ms < MAX_MS else None


def _value(record: Record, base: float) -> float | int | str:
    """The number of a record, or why there is none; an integer without a base stays one."""
    if "v" in record:
        value = record["v"]
    elif "vb" in record:
        return float(record["vb"])
    else:
        return "no numeric or boolean value (v or vb)"
    if not abs(value) <= _MAX_VALUE:  # an integer beyond it is no float any more
        return "value is too large"
    total = value + base if base else value
    return total if math.isfinite(total) else "value is too large"


def to_cbor(record: Mapping[str, Any]) -> dict[int | str, Any]:
    """Swap the labels of one record for the integers of RFC 8428 §6."""
    return {_TO_CBOR.get(label, label): value for label, value in record.items()}


def from_cbor(record: object) -> object:
    """Swap the integers of RFC 8428 §6 back; what is no record stays what it is, for validation to refuse."""
    if not isinstance(record, dict):
        return record
    return {_CBOR_LABELS.get(label, label) if type(label) is int else label: value for label, value in record.items()}
