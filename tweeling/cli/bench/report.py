"""What a benchmark prints: one object a line for a program, or a table for a person."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from rich.console import Console


class Row(NamedTuple):
    """One figure. limit: the machine's own, of the same run. goal: what is promised; ok: whether it is kept."""

    bench: str
    metric: str
    value: float
    unit: str
    limit: float | None = None
    goal: float | None = None
    ok: bool | None = None


def at_least(
    metric: str, value: float, unit: str, goal: float | None, *, limit: float | None = None, bench: str = "ingest"
) -> Row:
    """A figure that should be high."""
    return Row(bench, metric, _short(value), unit, _short(limit), goal, None if goal is None else value >= goal)


def at_most(
    metric: str, value: float, unit: str, goal: float | None, *, limit: float | None = None, bench: str = "ingest"
) -> Row:
    """A figure that should be low."""
    return Row(bench, metric, _short(value), unit, _short(limit), goal, None if goal is None else value <= goal)


class Report:
    """Prints rows as they come, and remembers whether any promise was broken."""

    def __init__(self, out: Console, *, as_json: bool) -> None:
        self._out = out
        self._as_json = as_json
        self.kept = True

    def add(self, rows: Iterable[Row]) -> None:
        """Print some figures."""
        for row in rows:
            self.kept = self.kept and row.ok is not False
            self._out.print(json.dumps(row._asdict()) if self._as_json else _line(row), markup=False)

    def add_objects(self, lines: Iterable[str]) -> None:
        """Print figures that another program measured."""
        self.add(Row(**_only_known(json.loads(line))) for line in lines if line.startswith("{"))

    def say(self, text: str) -> None:
        """Tell a person what goes on."""
        if not self._as_json:
            self._out.print(text, markup=False)


def _only_known(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in Row._fields if name in found}


def _line(row: Row) -> str:
    limit = f"  machine {row.limit:>12,.6g}" if row.limit is not None else ""
    goal = f"  goal {row.goal:,.6g}: {'kept' if row.ok else 'NOT KEPT'}" if row.goal is not None else ""
    return f"  {row.metric:44} {row.value:>12,.6g} {row.unit:10}{limit}{goal}"


def _short(value: float | None) -> Any:
    """Three significant digits behind what is measured at all."""
    return None if value is None else float(f"{value:.4g}")
