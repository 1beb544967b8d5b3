"""SenML (RFC 8428), JSON and CBOR: the readings inside an envelope.

A weighing is a SenML record of unit `g` with the must-understand extension `mv_` (`in` or `out`, RFC 8428 §4.4)
and beside it `mat` (material), `par` (partner), `tkt` (ticket), `lot`, `grs` and `tar` (gross, tare, in grams).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from tweeling.errors import WireError

# RFC 8428 §4.5.1, narrowed to `thing/attribute`, which is what a twin can place.
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,63}/[A-Za-z][A-Za-z0-9:._-]{0,63}$")
_RELATIVE = 2**28  # §4.5.3: smaller times are relative to now
_CBOR_LABELS = {-1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs"}
_CBOR_LABELS |= {0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd"}
_TO_CBOR = {label: number for number, label in _CBOR_LABELS.items()}
_WEIGHING = frozenset({"mv_", "mat", "par", "tkt", "lot", "grs", "tar"})
_MAX_MS = 253_402_300_800_000  # year 10000


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


PACK = TypeAdapter(list[Record])
RECORD = TypeAdapter(Record)


class Resolved(NamedTuple):
    """One record on its own: base fields applied, time absolute."""

    name: str
    time_ms: int
    value: float | int
    unit: str
    weighing: Mapping[str, Any] | None


class Unresolved(NamedTuple):
    """A record that has no meaning, and why."""

    reason: str


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
    name = unit = ""
    time = value = 0.0
    out: list[Resolved | Unresolved] = []
    for record in pack:
        if isinstance(record, Unresolved):
            out.append(record)
            continue
        name, unit = record.get("bn", name), record.get("bu", unit)
        time, value = record.get("bt", time), record.get("bv", value)
        out.append(_resolve(record, name, time, unit, value, now_ms))
    return out


def _resolve(
    record: Record, base_name: str, base_time: float, base_unit: str, base_value: float, now_ms: int
) -> Resolved | Unresolved:
    if record.get("bver", 10) > 10:
        return Unresolved(f"SenML version {record['bver']} is newer than 10")
    name = base_name + record.get("n", "")
    if not _NAME.match(name):
        return Unresolved(f"name {name[:80]!r} is not <thing>/<attribute>")
    seconds = base_time + record.get("t", 0.0)
    time_ms = round(seconds * 1000) + (now_ms if -_RELATIVE < seconds < _RELATIVE else 0)
    if not 0 <= time_ms < _MAX_MS:
        return Unresolved(f"time {seconds} s is outside 1970..9999")
    value: float | int
    if "v" in record:
        value = record["v"] + base_value if base_value else record["v"]
    elif "vb" in record:
        value = float(record["vb"])
    else:
        return Unresolved("no numeric or boolean value (v or vb)")
    if not math.isfinite(value):
        return Unresolved("value is not finite")
    weighing = {key: item for key, item in record.items() if key in _WEIGHING} if "mv_" in record else None
    return Resolved(name, time_ms, value, record.get("u", base_unit), weighing)


def to_cbor(record: Mapping[str, Any]) -> dict[int | str, Any]:
    """Swap the labels of one record for the integers of RFC 8428 §6."""
    return {_TO_CBOR.get(label, label): value for label, value in record.items()}


def from_cbor(record: object) -> dict[str, Any]:
    """Swap the integers of RFC 8428 §6 back, or raise WireError."""
    if not isinstance(record, dict):
        raise WireError("pack: a CBOR record is not a map")
    return {str(_CBOR_LABELS.get(label, label)): value for label, value in record.items()}
