"""`tweeling movement`: see what was weighed, and correct it by a compensating entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from tweeling.cli.client import HubClient
from tweeling.cli.installation import MAINTAINER
from tweeling.cli.moments import moment
from tweeling.domain.correction import Instead
from tweeling.verify.plain import plain


def list_movements(folder: Path, *, limit: int, before: int | None, as_json: bool, out: Console) -> None:
    """Print weighings, the last applied first, each in a line."""
    left = limit
    with HubClient(folder) as hub:
        while left and (page := hub.movements(min(left, 500), before=before)):
            left, before = left - len(page), page[-1]["number"]
            for row in page:
                if as_json:
                    out.print_json(json.dumps(row), indent=None, ensure_ascii=True)
                else:
                    out.print(plain(_line(row)), markup=False)
    if left == limit and not as_json:
        out.print("no weighings" if before is None else f"no weighings below number {before}")


def correct_movement(folder: Path, number: int, *, by: str, reason: str, instead: Instead, out: Console) -> None:
    """Have the hub take a weighing back, and say so."""
    with HubClient(folder, bearer=MAINTAINER) as hub:
        hub.correct(number, by=by, reason=reason, instead=instead)
    what = "taken back" if not any(value is not None for value in instead) else "corrected"
    out.print(f"weighing {number} is {what}; `tweeling movement list` shows the entry as soon as it is applied")


def _line(row: dict[str, Any]) -> str:
    where = f"{row['hub']}/{row['node']}  {row['direction']:3} {row['zone']}"
    said = row["correction"]
    why = f"  {'corrected' if row['corrected'] else 'correction'}: {said['reason']} ({said['by']})" if said else ""
    ticket = f"  {row['ticket']}" if row["ticket"] else ""
    load = f"{row['net_g'] / 1000:,.3f} kg {row['material']}{ticket}"
    return f"{row['number']:>7}  {moment(row['time_ms'])}  {where}  {load}{why}"
