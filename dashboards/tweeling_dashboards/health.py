"""The status line: every part in a word, and more only of those in trouble."""

from __future__ import annotations

from typing import Any

from dash import html

from tweeling.domain.now import PartNow
from tweeling_dashboards.snapshot import Snapshot
from tweeling_dashboards.words import Words, shortened


def line(snapshot: Snapshot, words: Words) -> Any:
    """Parts, then what went through."""
    counted = words(
        "counted",
        readings=words.number(snapshot.counts.get("readings_stored", 0)),
        events=words.number(snapshot.counts.get("events_captured", 0)),
    )
    return [*(_part(part, words) for part in snapshot.parts), html.Span(counted, className="counted")]


def notice(snapshot: Snapshot, words: Words) -> dict[str, Any]:
    """What does not answer, or nothing."""
    parts = ", ".join(words(f"missing.{name}") for name in sorted(snapshot.missing))
    return {"children": words("missing", parts=parts) if parts else "", "hidden": not parts}


def _part(part: PartNow, words: Words) -> Any:
    said = words("ok") if part.ok else words("not_ok")
    detail = [] if part.ok else [html.Small(html.Bdi(shortened(part.detail, 120)))]
    named = f"{shortened(words.term('part', part.part))}: {said}"
    return html.Span([named, *detail], className="on" if part.ok else "off", title=shortened(part.detail, 200))
