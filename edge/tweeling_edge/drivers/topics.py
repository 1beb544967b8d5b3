"""Topics of another broker, and the names of sensors in them: `shop/{thing}/level` → `{thing}/fillingLevel`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

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


def check_template(template: str, pattern: Pattern) -> None:
    """Raise ValueError where a name cannot be made of what the pattern names."""
    if missing := set(_LEVEL.findall(template)) - pattern.names:
        raise ValueError(f"{{{min(missing)}}} is no named level of {pattern.text!r}")
    if not is_name(filled(template, dict.fromkeys(pattern.names, _EXAMPLE))):
        raise ValueError(f"{template[:140]!r} makes no thing/attribute")


def filled(template: str, levels: Mapping[str, str]) -> str:
    """The name that a template makes of a topic's levels."""
    return _LEVEL.sub(lambda found: levels[found[1]], template)
