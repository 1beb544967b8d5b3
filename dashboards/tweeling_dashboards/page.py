"""The page: a frame that stands still, and slots in it that change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dash import dcc, html
from plotly.utils import PlotlyJSONEncoder

from tweeling_dashboards import capacity, figures, health, overview, provenance
from tweeling_dashboards.snapshot import Snapshot
from tweeling_dashboards.words import Words

POLL_MS = 5000

Props = Mapping[str, Any]

_POLITE: Props = {"aria-live": "polite"}


@dataclass(frozen=True, slots=True)
class Shown:
    """All that a reader of one language sees of a snapshot: properties by element, and their text to compare by."""

    shape: tuple[object, ...]
    cards: Any
    slots: Mapping[str, Props]
    written: Mapping[tuple[str, str], str]

    def since(self, before: Shown) -> Iterator[tuple[str, Props]]:
        """What changed; where rows came or went, the cards as a whole."""
        anew = before.shape != self.shape
        if anew:
            yield "hubs", {"children": self.cards}
        for element, props in self.slots.items():
            if anew and element.startswith(("row-", "presence-")):
                continue
            # Dash applies properties one by one, and draws new children only if they were the last of them.
            names = sorted((name for name in props if self._differs(before, element, name)), key="children".__eq__)
            if names:
                yield element, {name: props[name] for name in names}

    def _differs(self, before: Shown, element: str, name: str) -> bool:
        return before.written.get((element, name)) != self.written[element, name]


def shown(snapshot: Snapshot, words: Words) -> Shown:
    """Fill every slot."""
    slots: dict[str, Props] = {
        **overview.slots(snapshot, words),
        **provenance.slots(snapshot, words),
        "attention": {"children": overview.attention(snapshot, words)},
        "clock": {"children": _clock(snapshot.now_ms, words)},
        "health": {"children": health.line(snapshot, words)},
        "notice": health.notice(snapshot, words),
        "zone": {"options": capacity.options(snapshot)},
        # A new forecast, or a new hour of history, is worth drawing the chart again; a reading is not.
        "drawn": {"data": f"{snapshot.now_ms // 3_600_000}/{snapshot.counts.get('forecasts', 0)}"},
    }
    written = {(element, name): _written(value) for element, props in slots.items() for name, value in props.items()}
    return Shown(overview.shape(snapshot), overview.cards(snapshot, words), slots, written)


def loaded(drawn: str) -> Shown:
    """What a page knows for certain after loading: which chart it draws. The rest may have changed since."""
    return Shown((), None, {}, {("drawn", "data"): _written(drawn)})


def layout(snapshot: Snapshot, words: Words, *, zone: str | None) -> Any:
    """The whole page, filled."""
    filled = shown(snapshot, words)
    return html.Div(
        lang=words.lang,
        children=[
            dcc.Location(id="url", refresh=False),
            dcc.Store(id="lang", data=words.lang),
            dcc.Store(id="pulse"),
            dcc.Store(id="drawn", **filled.slots["drawn"]),
            dcc.Interval(id="poll", interval=POLL_MS, disabled=True),
            html.A(words("skip"), href="#now", className="skip"),
            _header(filled, words),
            html.Div(words("lost"), id="lost", className="banner", role="alert", hidden=True),
            html.Div(id="notice", className="banner", role="status", **filled.slots["notice"]),
            html.Main(
                [_now(filled, words), _capacity(snapshot, filled, words, zone), _provenance(snapshot, filled, words)]
            ),
            html.Footer(id="health", **filled.slots["health"], title=words("health")),
        ],
    )


def _header(filled: Shown, words: Words) -> Any:
    sections = [html.A(words(one), href=f"#{one}") for one in ("now", "capacity", "provenance")]
    clock = html.Time(id="clock", **filled.slots["clock"], title=words("twin_time"))
    other = html.A(words("other_language"), id="other-language", href=f"?lang={_other(words)}", lang=_other(words))
    out = html.Form(html.Button(words("log_out"), type="submit"), action="/logout", method="POST")
    mark = html.Img(src="/assets/mark.svg", alt="", width=26, height=26)
    return html.Header(
        [html.H1([mark, "Tweeling"]), html.Nav(sections), html.Div([clock, other, out])], className="top"
    )


def _now(filled: Shown, words: Words) -> Any:
    attention = html.Div(id="attention", **filled.slots["attention"], **_POLITE)
    return html.Section(
        [
            html.H2(words("now")),
            html.Div([html.H3(words("attention")), attention], className="attention"),
            html.Div(filled.cards, id="hubs", className="hubs"),
        ],
        id="now",
    )


def _capacity(snapshot: Snapshot, filled: Shown, words: Words, zone: str | None) -> Any:
    choice = dcc.Dropdown(
        id="zone", value=capacity.first(snapshot, zone), clearable=False, maxHeight=420, **filled.slots["zone"]
    )
    graph = dcc.Graph(id="chart", config=figures.config(words.lang), figure=figures.empty(), style={"height": "100%"})
    chart = html.Div(graph, className="chart")  # Dash gives the graph itself a height of its own
    return html.Section(
        [
            html.H2(words("capacity")),
            html.Div([html.Label(words("choose"), htmlFor="zone"), choice], className="choice"),
            html.Div([chart, html.Div(id="told", **_POLITE)], className="forecast"),
        ],
        id="capacity",
    )


def _provenance(snapshot: Snapshot, filled: Shown, words: Words) -> Any:
    return html.Section(
        [
            html.H2(words("provenance")),
            html.Div(provenance.table(snapshot, words), className="scrolls"),
            html.P(id="no-events", className="empty", **filled.slots["no-events"]),
        ],
        id="provenance",
    )


def _clock(now_ms: int, words: Words) -> str:
    return f"{words.weekday(now_ms)} {words.date(now_ms)} {words.clock(now_ms)}"


def _written(value: Any) -> str:
    return json.dumps(value, cls=PlotlyJSONEncoder)


def _other(words: Words) -> str:
    return "en" if words.lang == "nl" else "nl"
