"""Herkomst: the latest custody events, each with how far its proof has come."""

from __future__ import annotations

from typing import Any

from dash import html

from tweeling.domain.now import EventNow, ProofState
from tweeling_dashboards.snapshot import EVENTS, Snapshot
from tweeling_dashboards.words import ABSENT, Words, shortened

Props = dict[str, Any]

_COLUMNS = ("time", "event", "lots", "mass", "submitter", "proof")


def table(snapshot: Snapshot, words: Words) -> Any:
    """The table, a row per event; rows without one are hidden."""
    filled = slots(snapshot, words)
    head = html.Tr([html.Th(words(one), scope="col") for one in _COLUMNS])
    rows = [html.Tr(id=f"event-{place}", **filled[f"event-{place}"]) for place in range(EVENTS)]
    return html.Table([html.Thead(head), html.Tbody(rows)], className="events")


def slots(snapshot: Snapshot, words: Words) -> dict[str, Props]:
    """What changes inside the table, by element."""
    found = {f"event-{place}": _row(event, words) for place, event in enumerate(snapshot.events)}
    empty: Props = {"children": [], "hidden": True}
    told = {"children": [], "hidden": True} if snapshot.events else {"children": words("no_events"), "hidden": False}
    return {f"event-{place}": found.get(f"event-{place}", empty) for place in range(EVENTS)} | {"no-events": told}


def _row(event: EventNow, words: Words) -> Props:
    step = words.term("step", event.biz_step.rpartition("-")[2] if ":" in event.biz_step else event.biz_step)
    cells = [
        html.Td(words.moment(event.time_ms), className="when"),
        html.Td([html.Span(words.term("type", shortened(event.type))), html.Small(shortened(step))]),
        html.Td(
            [html.Bdi(_lot(lot), title=shortened(lot, 200)) for lot in event.lots[:3]] + _rest(event), className="lots"
        ),
        html.Td(ABSENT if event.mass_g is None else words.tonnes(event.mass_g), className="amount"),
        html.Td(html.Bdi(shortened(event.submitter, 40), title=shortened(event.submitter, 200))),
        html.Td(_proof(event, words), className="proof"),
    ]
    return {"children": cells, "hidden": False}


def _lot(lot: str) -> str:
    """The end of a lot's URI, which is what people call it."""
    return shortened(lot.rpartition(":")[2].rpartition("/")[2] or lot, 32)


def _rest(event: EventNow) -> list[Any]:
    return [html.Small(f"+{len(event.lots) - 3}")] if len(event.lots) > 3 else []


def _proof(event: EventNow, words: Words) -> Any:
    if event.state is ProofState.PENDING:
        return html.Span(words("pending"), className="pending")
    block = [] if event.block is None else [html.Small(words("block", n=words.number(event.block)))]
    return html.Span([words("anchored"), *block], className="anchored")
