"""Line protocols of indicators: a table of published ones, and any other by a pattern with named groups.

The groups, all optional but that there must be a weight:

* `weight`, or `gross`, `tare`, `net`: numbers; `unit`: theirs; `sign`: of the one displayed, where it stands apart
* `stable`: text that is there only when the load rests; `moving`: text that is there only when it does not
* `out`: text that is there only when there is no weight: overload, underload, error
* `mode`: whether the weight is gross (G, B), net (N) or tare (T, P), by its first letter
* `ticket`: the number of a printed ticket; `checksum`: two hexadecimal digits over all before it
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import xor
from typing import Literal

from tweeling_edge.scale.frames import Frame, Framing
from tweeling_edge.scale.reading import Mode, NotUnderstood, NoWeight, Reading, Said, exact, rounded
from tweeling_edge.scale.toledo import read_toledo

_DISPLAYED = frozenset({"weight", "gross", "net"})
NUMBERS = frozenset({"weight", "gross", "tare", "net"})
GROUPS = NUMBERS | {"sign", "unit", "stable", "moving", "out", "mode", "ticket", "checksum"}

Checksum = Literal["none", "xor", "sum"]

_MODES: Mapping[str, Mode] = {"G": "gross", "B": "gross", "N": "net", "T": "tare", "P": "tare"}
_TICKET = re.compile(r"[A-Za-z0-9._/-]{1,64}")


@dataclass(frozen=True, slots=True)
class Protocol:
    """How to cut what comes, and what a frame says. ask: what makes the indicator speak, where it waits to be asked."""

    framing: Framing
    read: Callable[[Frame], Said]
    ask: bytes = b""

    @property
    def tells_ticket(self) -> bool:
        """Whether its frames may have a number of their own."""
        return isinstance(self.read, Pattern) and "ticket" in self.read.groups

    @property
    def modes(self) -> frozenset[Mode]:
        """Which weights its frames may say that they are, of gross and net."""
        if not isinstance(self.read, Pattern) or "mode" in self.read.groups:
            return frozenset({"gross", "net"})
        groups = self.read.groups
        told: Mapping[Mode, bool] = {
            "gross": "gross" in groups,
            "net": "net" in groups or {"gross", "tare"} <= groups,
        }
        return frozenset(mode for mode, there in told.items() if there)

    def of_unit(self, unit: str) -> Protocol:
        """The same, where frames that name no unit are of this one."""
        return replace(self, read=self.read.of_unit(unit)) if isinstance(self.read, Pattern) and unit else self


class Pattern:
    """Reads frames by a regular expression that matches the whole of them."""

    def __init__(self, pattern: str, *, unit: str = "", checksum: Checksum = "none") -> None:
        """unit: of frames that name none. Raises ValueError where the pattern is none, or names groups unknown here."""
        try:
            self._pattern = re.compile(pattern, re.DOTALL | re.ASCII)
        except re.error as exc:
            raise ValueError(f"is no regular expression: {exc}") from exc
        groups = set(self._pattern.groupindex)
        if unknown := sorted(groups - GROUPS):
            raise ValueError(f"has a group {unknown[0]!r}; known are {', '.join(sorted(GROUPS))}")
        if not groups & _DISPLAYED:
            raise ValueError("has no group weight, gross or net")
        if "sign" in groups and len(groups & _DISPLAYED) > 1:
            raise ValueError("has a group sign for several numbers: let the group of each begin with its own")
        if {"weight", "tare"} <= groups and "mode" not in groups:
            raise ValueError("has groups weight and tare: name the weight gross or net, or add a group mode")
        if (checksum != "none") != ("checksum" in groups):
            raise ValueError("has a group checksum exactly where a checksum is chosen")
        self._unit = unit
        self._checksum = checksum
        self._tells_rest = "stable" in groups
        self._tells_motion = "moving" in groups

    @property
    def groups(self) -> frozenset[str]:
        """What it may tell."""
        return frozenset(self._pattern.groupindex)

    def of_unit(self, unit: str) -> Pattern:
        """The same, where frames that name no unit are of this one."""
        return Pattern(self._pattern.pattern, unit=unit, checksum=self._checksum)

    def __call__(self, frame: Frame) -> Said:
        """What a frame says; never raises, since what comes over a cable may be anything."""
        text = frame.body.decode("ascii", "replace")
        found = self._pattern.fullmatch(text)
        if found is None:
            return NotUnderstood("does not look like the protocol")
        said = {name: value for name, value in found.groupdict().items() if value is not None and value.strip()}
        if self._checksum != "none" and not self._sound(frame.body[: found.start("checksum")], said.get("checksum")):
            return NotUnderstood("wrong checksum")
        if "out" in said:
            return NoWeight(said["out"].strip())
        stable = self._stable(said)
        try:
            return self._reading(said, stable)
        except ValueError as exc:
            # Some leave the unit out while the load moves.
            return NoWeight("moving") if stable is False and "unit" not in said else NotUnderstood(str(exc))

    def _stable(self, said: Mapping[str, str]) -> bool | None:
        if self._tells_rest:
            return "stable" in said and "moving" not in said
        return "moving" not in said if self._tells_motion else None

    def _sound(self, covered: bytes, told: str | None) -> bool:
        value = reduce(xor, covered, 0) if self._checksum == "xor" else sum(covered) % 256
        return told is not None and told.strip().upper() == f"{value:02X}"

    def _reading(self, said: Mapping[str, str], stable: bool | None) -> Reading:
        unit = said.get("unit", self._unit)
        sign = said.get("sign", "").strip()
        precise = {
            name: exact(sign + said[name] if name in _DISPLAYED else said[name], unit) for name in NUMBERS & set(said)
        }
        ticket = said.get("ticket", "").strip()
        if ticket and not _TICKET.fullmatch(ticket):
            raise ValueError(f"{ticket[:20]!r} is no ticket number")
        told = {name: rounded(value) for name, value in precise.items()}
        gross, tare, net = told.get("gross"), told.get("tare"), told.get("net")
        if gross is not None and tare is not None:
            if net is not None and precise["net"] != precise["gross"] - precise["tare"]:
                raise ValueError(f"gross {gross} g - tare {tare} g is not net {net} g")
            net = gross - tare
        mode = _MODES.get(said.get("mode", " ").strip()[:1].upper())
        if net is not None:
            return Reading(net, stable, "net", net + tare if tare is not None else gross, tare, ticket)
        if gross is not None:
            return Reading(gross, stable, "gross", gross, None, ticket)
        if "weight" not in told:
            raise ValueError("no weight")
        return self._displayed(told["weight"], tare, mode, stable, ticket)

    def _displayed(self, weight: int, tare: int | None, mode: Mode | None, stable: bool | None, ticket: str) -> Reading:
        if tare is not None and mode is None:
            raise ValueError("a tare, and not whether the weight is gross or net")
        if tare is not None and mode != "tare":
            gross = weight if mode == "gross" else weight + tare
            return Reading(gross - tare, stable, "net", gross, tare, ticket)
        return Reading(weight, stable, mode, weight if mode == "gross" else None, None, ticket)


_STX_ETX = Framing(b"\x02", (b"\x03",))

PUBLISHED: Mapping[str, Protocol] = {
    # Mettler Toledo MT-SICS, level 0: the answer to SI or S, `S S     100.00 g`; the weight is the displayed one.
    "mt-sics": Protocol(
        Framing(),
        Pattern(r"S (?:(?:(?P<stable>S)|D) +(?P<weight>-?[\d.]+) (?P<unit>[A-Za-z]+)|(?P<out>[I+-])) *"),
        ask=b"SI\r\n",
    ),
    # A&D standard format, Dini Argeo standard string, and others that follow them: `ST,GS,+001234.5kg`.
    "st-gs": Protocol(
        Framing(),
        Pattern(
            r"(?:\d\d)?(?:(?P<stable>ST)|US|(?P<out>OL|UL|LO|TL)),(?:(?P<mode>GS|NT|TR|PT|G |N |T ),)?"
            r"(?P<weight>[-+ \d.]*(?:,\d+)?),? *(?P<unit>[A-Za-z]{0,3}) *"
        ),
    ),
    # SMA level 1, the answer to W: `<LF> 1G       5.025lb <CR>`.
    "sma": Protocol(
        Framing(b"\n", (b"\r",)),
        Pattern(
            r"(?:(?P<out>[OUEIT])|[ Z]).(?:(?P<mode>[GNT])|[gn])(?:(?P<moving>M)| ).(?P<weight>.{10})(?P<unit>.{3})"
        ),
        ask=b"\nW\r",
    ),
    # Rinstrum, automatic output FMT_2: `<STX>  1234.5G  - kg<ETX>`; the unit is blank while the load moves.
    "rinstrum": Protocol(
        _STX_ETX,
        Pattern(
            r"(?P<sign>[ -])(?P<weight>.{7})(?:(?P<mode>[GN])|(?P<out>[UOE]))(?:(?P<moving>M)| )[Z ][-12](?P<unit>.{3})"
        ),
    ),
    # Toledo continuous output, 17 bytes from <STX> to <CR>, without and with a checksum behind.
    "toledo": Protocol(Framing(b"\x02", (b"\r",)), read_toledo),
    "toledo-checksum": Protocol(Framing(b"\x02", (b"\r",), 1), read_toledo),
}
"""By name; the formats are those of their makers' manuals."""
