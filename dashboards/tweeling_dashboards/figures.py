"""A figure is a function of a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from tweeling.domain.forecast import Forecast
from tweeling_dashboards import texts
from tweeling_dashboards.words import Words, local

INK, MUTED, GRID, FAINT = "#1c2126", "#59626b", "#e3e6e9", "#87919b"
EXPECTED, LIMIT = "#2b5876", "#b3301f"
_BANDS = ("rgba(43, 88, 118, .18)", "rgba(43, 88, 118, .10)", "rgba(43, 88, 118, .06)")
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif'

DAY_MS = 24 * 3_600_000

History = Sequence[tuple[int, float]]


def fill_forecast(history: History, forecast: Forecast | None, now_ms: int, words: Words) -> go.Figure:
    """Measured fill, then the fan of what is expected. A recording ends where its own readings end, not now."""
    ends_ms = forecast.cutoff_ms if forecast else history[-1][0] if history else now_ms
    recorded = now_ms - ends_ms > DAY_MS
    figure = go.Figure(_measured(history, words))
    if forecast is not None:
        figure.add_traces(_fan(forecast, words))
        _line(figure, words("full_line"), y=forecast.full)
    if (here := _at(ends_ms if recorded else now_ms)) is not None:
        _line(figure, words("end_line" if recorded else "now_line"), x=here)
    figure.update_layout(
        separators=",." if words.lang == "nl" else ".,",
        font={"family": _FONT, "size": 13, "color": MUTED},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 48, "r": 34, "t": 28, "b": 32},
        hovermode="x unified",
        hoverlabel={"bgcolor": "#fff", "bordercolor": FAINT, "font": {"color": INK}},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 12}},
        xaxis={
            "type": "date",  # also where there is nothing to draw yet
            "gridcolor": GRID,
            "linecolor": FAINT,
            "tickformat": "%-d %b",
            "hoverformat": "%a %-d %b %H:%M",
        },
        yaxis={"gridcolor": GRID, "zeroline": False, "tickformat": ".0%", "range": [0, _top(history, forecast)]},
    )
    return figure


def zoomed(figure: go.Figure, looked: Mapping[str, Any]) -> go.Figure:
    """Keep the part of the axes that the reader was looking at; looked: Plotly's last relayout event.

    Plotly's own memory (uirevision) does not outlive Dash's copy of the figure.
    """
    for axis in ("xaxis", "yaxis"):
        start, end = (looked.get(f"{axis}.range[{place}]") for place in (0, 1))
        if isinstance(start, str | float | int) and isinstance(end, str | float | int):
            figure.update_layout({axis: {"range": [start, end]}})
    return figure


def config(lang: str) -> Any:
    """How Plotly behaves and speaks; its own language files would be one more request."""
    days, months = texts.DAYS[lang], texts.MONTHS[lang]
    spoken = {
        "days": [days[-1], *days[:-1]],
        "shortDays": [days[-1], *days[:-1]],
        "months": months,
        "shortMonths": months,
        "decimal": "," if lang == "nl" else ".",
        "thousands": "." if lang == "nl" else ",",
    }
    return {
        "displayModeBar": False,
        "responsive": True,
        "locale": lang,
        "locales": {lang: {"dictionary": {}, "format": spoken}},
        "doubleClick": "reset",
    }


def _measured(history: History, words: Words) -> go.Scatter:
    return go.Scatter(
        x=[_at(time) for time, _ in history],
        y=[round(value, 4) for _, value in history],
        mode="lines",
        name=words("measured"),
        line={"color": INK, "width": 1.6},
        hovertemplate=words("hover", name=words("measured")) + "<extra></extra>",
    )


def _fan(forecast: Forecast, words: Words) -> list[go.Scatter]:
    times = [_at(time) for time in forecast.times_ms]
    levels = sorted(forecast.quantiles)
    pairs = list(zip(levels, reversed(levels), strict=True))[: len(levels) // 2]
    traces = []
    for colour, (low, high) in zip(_BANDS, reversed(pairs), strict=False):
        name = words("band", low=round(low * 100), high=round(high * 100))
        edge = {"mode": "lines", "line": {"width": 0}, "x": times, "legendgroup": name}
        for level, fills in ((low, {}), (high, {"fill": "tonexty", "fillcolor": colour})):
            values = [round(value, 4) for value in forecast.quantiles[level]]
            hover = words("hover", name=f"P{round(level * 100)}") + "<extra></extra>"
            traces.append(go.Scatter(y=values, name=name, showlegend=bool(fills), hovertemplate=hover, **edge, **fills))
    if 0.5 in forecast.quantiles:
        traces.append(
            go.Scatter(
                x=times,
                y=[round(value, 4) for value in forecast.quantiles[0.5]],
                mode="lines",
                name=words("median"),
                line={"color": EXPECTED, "width": 2.2},
                hovertemplate=words("hover", name="P50") + "<extra></extra>",
            )
        )
    return traces


def _line(figure: go.Figure, label: str, *, x: str | None = None, y: float | None = None) -> None:
    if x is not None:
        figure.add_shape(
            type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line={"color": FAINT, "width": 1.2, "dash": "dot"}
        )
        where = {"x": x, "y": 1, "yref": "paper", "xanchor": "left", "yanchor": "top", "xshift": 4}
        figure.add_annotation(text=label, showarrow=False, font={"color": MUTED, "size": 12}, **where)
    else:
        figure.add_shape(
            type="line", x0=0, x1=1, xref="paper", y0=y, y1=y, line={"color": LIMIT, "width": 1.4, "dash": "dash"}
        )
        where = {"x": 1, "xref": "paper", "y": y, "xanchor": "left", "yanchor": "middle", "xshift": 4}
        figure.add_annotation(text=label, showarrow=False, font={"color": LIMIT, "size": 12}, **where)


def _top(history: History, forecast: Forecast | None) -> float:
    highest = [value for _, value in history] + ([forecast.full] if forecast else [])
    if forecast:
        highest += forecast.quantiles[max(forecast.quantiles)]
    return max(1.05, min(1.25, max(highest, default=1.0) + 0.05))


def _at(time_ms: int) -> str | None:
    # Plotly knows no time zones: it is given the wall clock of the region. It draws no point without a time.
    then = local(time_ms)
    return then.isoformat(" ", "minutes")[:16] if then else None


def empty() -> go.Figure:
    """What stands there before the first figure: nothing, and no axes of nothing."""
    hidden = {"visible": False}
    return go.Figure(
        layout={"xaxis": hidden, "yaxis": hidden, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)"}
    )
