"""What an audit found: checks, and in each every disagreement by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from tweeling.errors import VerificationError

_NAMED = 20  # of one check; more are counted


class Disagreement(NamedTuple):
    """Two things that should agree. where: which row, seq, series or entry."""

    what: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.what}, {self.where}: expected {self.expected}, found {self.found}"


@dataclass
class Check:
    """One part of an audit. detail: how much was compared, and what could not be.

    compared: False where something of it could not be looked at; what could be may agree all the same.
    """

    name: str
    detail: str = ""
    disagreements: list[Disagreement] = field(default_factory=list)
    more: int = 0  # than are named
    compared: bool = True

    @property
    def ok(self) -> bool:
        """Whether all of it agrees."""
        return not self.disagreements and not self.more

    def add(self, what: str, where: str, *, expected: object, found: object) -> None:
        """Note a disagreement."""
        if len(self.disagreements) < _NAMED:
            self.disagreements.append(Disagreement(what, where, _text(expected), _text(found)))
        else:
            self.more += 1

    def compare(self, what: str, where: str, *, expected: object, found: object) -> None:
        """Note a disagreement where there is one."""
        if expected != found:
            self.add(what, where, expected=expected, found=found)

    def say(self, text: str) -> None:
        """Add to the detail."""
        self.detail = f"{self.detail}; {text}" if self.detail else text

    def leave_out(self, why: str) -> None:
        """Say that something is not compared."""
        self.compared = False
        self.say(f"not compared: {why}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Rows that cannot be read any more are a disagreement, and end this part."""
        try:
            yield
        except VerificationError as exc:
            self.add("rows", exc.field, expected="readable", found=exc)


def _text(value: object) -> str:
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
