"""JSONPath (RFC 9535), as far as it can name one value: members, elements, and the one child that is like this.

`$.channels[0].level`, `$['fill level']`, `$.sensors[?@.id == 'b2'].value`. In the words of the RFC these are singular
queries, and filters that compare one with a literal. Wildcards, slices and descents name many values and are refused:
a reading is one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 32
_NAME = re.compile(r"[A-Za-z_\u0080-\U0010ffff][0-9A-Za-z_\u0080-\U0010ffff]*")
_INDEX = re.compile(r"0|-?[1-9][0-9]{0,8}")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_LITERAL = re.compile(r"true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BLANK = re.compile(r"[ \t\r\n]*")
_NESTING = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)  # what has no end hides the rest, and is no JSON


class NotFoundError(Exception):
    """A document has no such value, or more than one."""


@dataclass(frozen=True, slots=True)
class _Like:
    """The one child at whose path there is this value."""

    path: tuple[str | int, ...]
    value: str | float | bool | None
    text: str


@dataclass(frozen=True, slots=True)
class JsonPath:
    """A way to one value of a document."""

    text: str
    steps: tuple[str | int | _Like, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Read a path, or raise ValueError saying where it is wrong."""
        return cls(text, _Parser(text).path())

    def find(self, document: object) -> Any:
        """The value, or raise NotFoundError saying how far the way goes."""
        at, way = document, "$"
        for step in self.steps:
            at, way = _child(at, step, way)
        return at


def checked(path: str | None) -> str | None:
    """A validator: raise ValueError for what is no path to one value."""
    if path is not None:
        JsonPath.parse(path)
    return path


def loads(payload: bytes) -> Any:
    """Read a JSON document of bounded depth, or raise ValueError."""
    depth = 0
    for found in _NESTING.finditer(payload):
        first = found[0][:1]
        depth += (first in b"[{") - (first in b"]}")
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
    return json.loads(payload.decode("utf-8-sig"), parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _child(at: object, step: str | int | _Like, way: str) -> tuple[object, str]:
    match step:
        case str():
            if isinstance(at, dict) and step in at:
                return at[step], f"{way}[{step!r}]"
            raise NotFoundError(f"{way} {_has(at)}, no {step!r}")
        case int():
            if isinstance(at, list) and -len(at) <= step < len(at):
                return at[step], f"{way}[{step}]"
            raise NotFoundError(f"{way} {_has(at)}, no [{step}]")
    children = at if isinstance(at, list) else list(at.values()) if isinstance(at, dict) else []
    alike = [child for child in children if _is_like(child, step)]
    if len(alike) != 1:
        raise NotFoundError(f"{way} {_has(at)}, {len(alike) or 'none'} of them with {step.text}")
    return alike[0], f"{way}[{step.text}]"


def _is_like(child: object, like: _Like) -> bool:
    way = "@"
    try:
        for step in like.path:
            child, way = _child(child, step, way)
    except NotFoundError:
        return False
    # In JSON a number is never true or false.
    return child == like.value and isinstance(child, bool) == isinstance(like.value, bool)


def _has(at: object) -> str:
    if isinstance(at, dict):
        names = ", ".join(map(repr, list(at)[:8]))
        return f"has {names or 'nothing'}{', …' if len(at) > 8 else ''}"
    return f"has {len(at)} elements" if isinstance(at, list) else "is a single value"


class _Parser:
    """Reads from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def path(self) -> tuple[str | int | _Like, ...]:
        if not self._takes("$"):
            raise self._wrong("a path begins with $")
        steps = self._steps(self._bracketed)
        if self._at < len(self._text):
            raise self._wrong("here .name, ['name'], [0] or [?@.name == 'value'] is expected")
        return steps

    def _steps(self, bracketed: Callable[[], Any]) -> tuple[Any, ...]:
        steps: list[Any] = []
        while True:
            before = self._at
            self._take(_BLANK)
            if self._takes("."):
                if (name := self._take(_NAME)) is None:
                    raise self._wrong("a name is expected (wildcards and descents name many values)")
                steps.append(name)
            elif self._takes("["):
                self._take(_BLANK)
                steps.append(bracketed())
                self._take(_BLANK)
                if not self._takes("]"):
                    raise self._wrong("] is expected")
            else:
                self._at = before
                return tuple(steps)

    def _bracketed(self) -> str | int | _Like:
        return self._filter() if self._takes("?") else self._plain()

    def _plain(self) -> str | int:
        if (quoted := self._take(_QUOTED)) is not None:
            return self._unquoted(quoted)
        if (index := self._take(_INDEX)) is not None:
            return int(index)
        raise self._wrong("a number or a name in quotes is expected")

    def _filter(self) -> _Like:
        start = self._at
        self._take(_BLANK)
        if not self._takes("@"):
            raise self._wrong("a filter begins with @, such as [?@.id == 'b2']")
        path = self._steps(self._plain)
        self._take(_BLANK)
        if not self._takes("=="):
            raise self._wrong("== is expected")
        self._take(_BLANK)
        if (quoted := self._take(_QUOTED)) is not None:
            value: Any = self._unquoted(quoted)
        elif (literal := self._take(_LITERAL)) is not None:
            value = json.loads(literal)
        else:
            raise self._wrong("a number, true, false, null or text in quotes is expected")
        return _Like(path, value, self._text[start : self._at])

    def _unquoted(self, quoted: str) -> str:
        inner = quoted[1:-1]
        if quoted[0] == "'":
            inner = re.sub(r"\\(.)|\"", lambda found: "'" if found[0] == r"\'" else _escaped(found[0]), inner)
        try:
            text: str = json.loads(f'"{inner}"')
        except ValueError:
            raise self._wrong(f"{quoted} is no text in quotes") from None
        return text

    def _takes(self, token: str) -> bool:
        found = self._text.startswith(token, self._at)
        self._at += len(token) if found else 0
        return found

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        if (found := pattern.match(self._text, self._at)) is None:
            return None
        self._at = found.end()
        return found[0]

    def _wrong(self, reason: str) -> ValueError:
        return ValueError(f"{self._text[:120]!r} is no path to one value: at {self._at + 1}, {reason}")


def _escaped(found: str) -> str:
    return r"\"" if found == '"' else found
