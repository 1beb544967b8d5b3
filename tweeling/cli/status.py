"""`tweeling status`: how a running hub is, in one screen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tweeling.cli.client import HubClient
from tweeling.verify.plain import plain

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"))


def show_status(folder: Path, *, as_json: bool, out: Console) -> int:
    """Print how a hub is; return 0 where every part is well and no node tells of an alarm, 1 else."""
    with HubClient(folder) as hub:
        answer = hub.status()
        url, log_url = hub.url, hub.log_url
    well = answer["ok"] and not any(node["alarm"] for node in answer["nodes"])
    if as_json:
        out.print_json(json.dumps(answer))
        return 0 if well else 1
    now = datetime.fromtimestamp(answer["now_ms"] / 1000, UTC).isoformat(" ", "seconds").replace("+00:00", "Z")
    out.print(f"{url}, {'all is well' if well else 'NOT ALL IS WELL'}, {now}", markup=False)
    signs = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, said in _signs(answer, log_url):
        signs.add_row(name, plain(said))
    parts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for part in answer["parts"]:
        parts.add_row("ok" if part["ok"] else "NOT OK", part["part"], plain(part["detail"]))
    for table in (signs, parts):
        out.print()
        out.print(table, markup=False)
    for node in answer["nodes"]:
        if node["alarm"]:
            out.print(plain(f"ALARM of {node['hub']}/{node['node']}: {node['alarm']}"), markup=False)
    return 0 if well else 1


def _signs(answer: dict[str, Any], log_url: str | None) -> Iterator[tuple[str, str]]:
    vitals, counts, nodes = answer["vitals"], answer["counts"], answer["nodes"]
    if vitals is None:
        yield "readings", "the journal does not answer"
        return
    now, minute = (_rate(vitals[name]) for name in ("readings_per_s", "readings_per_s_minute"))
    yield "readings", f"{now} now, {minute} over a minute; {counts['readings_in']:,} in all"
    lag = vitals["lag_batches"]
    yield "to the stores", f"{lag:,} batches wait, the oldest {duration(vitals['lag_s'])}" if lag else "nothing waits"
    gaps = vitals["gaps"]
    missing = f"{gaps['seqs']:,} missing of {gaps['outboxes']:,} nodes, for {duration(gaps['oldest_s'])}"
    yield "gaps", missing if gaps["seqs"] else "none"
    last = f"; the last: {vitals['quarantine_reason'][:120]}" if vitals["quarantined"] else ""
    yield "quarantine", f"{vitals['quarantined']:,} messages{last}"
    yield "journal", f"{vitals['journal_batches']:,} batches, {_size(vitals['journal_bytes'])}"
    yield "ledger", _ledger(vitals, counts)
    yield "custody log", f"anyone reads it at {log_url}" if log_url else "nobody reads it from here (custody.public)"
    yield "disk", _disk(vitals)
    offline = [f"{node['hub']}/{node['node']}" for node in nodes if not node["online"]]
    away = f", {len(offline)} offline: {', '.join(offline[:5])}{' …' if len(offline) > 5 else ''}" if offline else ""
    yield "nodes", f"{len(nodes) - len(offline)} online{away}"


def _ledger(vitals: dict[str, Any], counts: dict[str, int]) -> str:
    age, signs = vitals["anchor_age_s"], vitals["ledger"]
    told = [f"{vitals['pending']:,} of {counts['events_captured']:,} events pending"]
    told += ["nothing anchored yet" if age is None else f"anchored as of {duration(age)} ago"]
    if signs and signs["unconfirmed"]:
        told += [f"{signs['unconfirmed']:,} seen, {signs['confirmations']} of {signs['wanted']} confirmations"]
    if (left := vitals["anchors_left"]) is not None:
        told += [f"the account can pay {left:,} more"]
    return "; ".join(told)


def _disk(vitals: dict[str, Any]) -> str:
    free, growth, days = vitals["disk"]["free"], vitals["disk_growth"], vitals["disk_days"]
    if growth is None:
        left = "how long that lasts is not known yet"
    elif days is None:
        left = "the data does not grow"
    else:
        left = f"{days:,.0f} days at {_size(growth)} a day"
    return f"{_size(free)} free, {left}; the data takes {_size(vitals['disk']['used'])}"


def _rate(value: float | None) -> str:
    return "not known yet" if value is None else f"{value:,.1f} a second"


def _size(value: float) -> str:
    for factor, unit in ((1e9, "GB"), (1e6, "MB")):
        if value >= factor:
            return f"{value / factor:,.1f} {unit}"
    return f"{value / 1e3:,.0f} kB"


def duration(seconds: float) -> str:
    """A time as people read it."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
