"""What a demo run proved, link by link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

_TOTALS = ("readings_in", "readings_stored", "movements", "events_captured", "events_anchored")


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain: whether it held, what was seen, and what was kept when it did not."""

    link: str
    ok: bool
    detail: str
    kept: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What the supervisor saw: totals, and how children ended that it had not ended itself."""

    readings_in: int = 0
    readings_stored: int = 0
    readings_queued: int = 0  # still in the outboxes
    batches_waiting: int = 0  # committed, not yet in the store
    movements: int = 0
    events_captured: int = 0
    events_anchored: int = 0
    events_pending: int = 0
    receipts_verified: int = 0
    forecasts: int = 0
    dashboard_answered: bool = False
    chain_present: bool = True
    ended: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)  # part -> what it said when it was last not well
    seconds: float = 0.0


def since(before: Observed, seen: Observed) -> Observed:
    """Take away what earlier runs had counted, so that this one is judged by its own."""
    return replace(seen, **{name: getattr(seen, name) - getattr(before, name) for name in _TOTALS})


def links(seen: Observed) -> tuple[Link, ...]:
    """Judge each link by what was counted and by who died."""

    def judge(name: str, worked: bool, detail: str, kept: str, *parts: str) -> Link:
        why = [f"{part} {seen.ended[part]}" for part in parts if part in seen.ended]
        why += [f"{part}: {seen.faults[part]}" for part in parts if part in seen.faults]
        if worked and not why:
            return Link(name, True, detail)
        return Link(name, False, "; ".join(why) or f"nothing came through: {detail}", kept)

    edges = sorted(part for part in seen.ended if part.startswith("edge-"))
    queued = f"{seen.readings_queued} readings wait in the outboxes"
    waiting = f"{seen.batches_waiting} batches wait in the journal"
    pending = f"{seen.events_pending} events are kept as pending"
    return (
        judge("edge", not edges, f"{seen.readings_queued} readings queued", queued, *edges),
        judge("broker", seen.readings_in > 0, f"{seen.readings_in} readings through", queued, "broker"),
        judge("ingest", seen.readings_in > 0, f"{seen.readings_in} readings committed", queued, "hub", "ingest"),
        judge(
            "store",
            seen.readings_stored > 0 and seen.batches_waiting == 0,
            f"{seen.readings_stored} readings stored, {waiting}",
            waiting,
            "hub",
            "store",
        ),
        judge("forecast", seen.forecasts > 0, f"{seen.forecasts} made", "the history is kept", "hub", "forecast"),
        judge(
            "custody",
            seen.events_captured > 0,
            f"{seen.events_captured} events captured",
            f"{seen.events_captured} events are in the log",
            "hub",
            "custody",
            "partners",
        ),
        judge(
            "chain",
            seen.chain_present and seen.events_anchored > 0,
            f"{seen.events_anchored} events anchored, {seen.events_pending} pending",
            pending,
            "chain",
            "ledger",
        ),
        judge("verify", seen.receipts_verified > 0, f"{seen.receipts_verified} receipts verified", pending, "verify"),
        judge("dashboard", seen.dashboard_answered, "answered", "the twin is kept", "hub"),
    )


def as_json(seen: Observed) -> dict[str, object]:
    """The whole summary as plain data."""
    chain = links(seen)
    counts = {key: value for key, value in asdict(seen).items() if key not in {"ended", "faults"}}
    return {"ok": all(link.ok for link in chain), **counts, "links": [asdict(link) for link in chain]}
