"""Topics of another broker, and the names of sensors in them: `shop/{thing}/level` → `{thing}/fillingLevel`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from tweeling.wire.senml import is_name

_LEVEL = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})\}")
_EXAMPLE = "H1-A"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A topic filter whose levels may be named; `filter` is what the broker is told."""

    text: str
    levels: tuple[str, ...]
    filter: str

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read `a/{name}/+/#`, or raise ValueError."""
        levels = tuple(text.split("/"))
        if not text or len(text.encode()) > 1000 or "\0" in text or levels[0] == "$share":
            raise ValueError("is no topic filter of 1..1000 bytes, without $share")
        names = [found[1] for level in levels if (found := _LEVEL.fullmatch(level))]
        if len(set(names)) != len(names):
            raise ValueError("names two levels alike")
        for at, level in enumerate(levels):
            if _LEVEL.fullmatch(level) or level == "+" or (level == "#" and at == len(levels) - 1):
                continue
            if any(char in level for char in "+#{}"):
                raise ValueError(f"{level[:60]!r} is no level: {{name}} and + take a whole one, # all that follow")
        return cls(text, levels, "/".join("+" if _LEVEL.fullmatch(level) else level for level in levels))

    @property
    def names(self) -> frozenset[str]:
        """The levels that are named."""
        return frozenset(found[1] for level in self.levels if (found := _LEVEL.fullmatch(level)))

    def match(self, topic: str) -> Mapping[str, str] | None:
        """What the named levels are in a topic, or None where it does not fit."""
        told = topic.split("/")
        found: dict[str, str] = {}
        for at, level in enumerate(self.levels):
            if level == "#":
                return found
            if at >= len(told):
                return None
            if named := _LEVEL.fullmatch(level):
                found[named[1]] = told[at]
            elif level not in {"+", told[at]}:
                return None
        return found if len(told) == len(self.levels) else None


def covers(wide: str, narrow: str) -> bool:
    """Whether one filter fits every topic that another fits."""
    told, asked = wide.split("/"), narrow.split("/")
    if _starts_apart(told, asked):
        return False
    for at, level in enumerate(told):
        if level == "#":
            return True
        if at >= len(asked) or asked[at] == "#" or level not in {"+", asked[at]}:
            return False
    return len(told) == len(asked)


def overlap(one: str, other: str) -> bool:
    """Whether some topic fits both filters."""
    left, right = one.split("/"), other.split("/")
    if _starts_apart(left, right):
        return False
    for level, beside in zip(left, right, strict=False):
        if "#" in {level, beside}:
            return True
        if "+" not in {level, beside} and level != beside:
            return False
    return len(left) == len(right) or max(left, right, key=len)[min(len(left), len(right)) :] == ["#"]


def widest(filters: Iterable[str]) -> tuple[str, ...]:
    """The filters that no other covers, for a broker may send a message once for each that it fits.

    Raises ValueError where two of them overlap.
    """
    unique = list(dict.fromkeys(filters))
    kept = tuple(each for each in unique if not any(other != each and covers(other, each) for other in unique))
    for one, other in combinations(kept, 2):
        if overlap(one, other):
            raise ValueError(
                f"{one[:80]!r} and {other[:80]!r} overlap, and what fits both would come twice: "
                "take one topic that covers both, or a driver for each"
            )
    return kept


def _starts_apart(one: Sequence[str], other: Sequence[str]) -> bool:
    # MQTT 5 §4.7.2: a wildcard in the first place leaves out $SYS and its like.
    return one[0].startswith("$") != other[0].startswith("$")


def check_template(template: str, pattern: Pattern) -> None:
    """Raise ValueError where a name cannot be made of what the pattern names."""
    if missing := set(_LEVEL.findall(template)) - pattern.names:
        raise ValueError(f"{{{min(missing)}}} is no named level of {pattern.text!r}")
    if not is_name(filled(template, dict.fromkeys(pattern.names, _EXAMPLE))):
        raise ValueError(f"{template[:140]!r} makes no thing/attribute")


def filled(template: str, levels: Mapping[str, str]) -> str:
    """The name that a template makes of a topic's levels."""
    return _LEVEL.sub(lambda found: levels[found[1]], template)
