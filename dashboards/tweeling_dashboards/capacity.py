"""Capaciteit: what is expected of one zone, as a figure and in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dash import html

from tweeling.domain.forecast import Forecast, Score
from tweeling.domain.telemetry import Quality
from tweeling.errors import UnavailableError
from tweeling.ports.view import TwinView
from tweeling_dashboards import figures
from tweeling_dashboards.overview import key, things_by_site
from tweeling_dashboards.snapshot import Snapshot
from tweeling_dashboards.words import Words, shortened

HISTORY_H = 14 * 24


def options(snapshot: Snapshot) -> list[dict[str, str]]:
    """Every zone and container to choose from."""
    return [
        {"value": key(thing), "label": f"{shortened(site.name)} · {shortened(thing.name)}"}
        for site, thing in things_by_site(snapshot)
    ]


def first(snapshot: Snapshot, wanted: str | None) -> str | None:
    """The thing that the URL names, else the fullest that lives: that one is asked for most."""
    if wanted:
        return wanted
    filled = [thing for thing in snapshot.things if thing.fill is not None]
    known = [thing for thing in filled if thing.quality != Quality.HISTORICAL] or filled or list(snapshot.things)
    return key(max(known, key=lambda thing: thing.fill or 0)) if known else None


def show(view: TwinView, wanted: str | None, words: Words) -> tuple[Any, Any]:
    """Figure and words of one thing; what cannot be had is said."""
    try:
        now_ms = view.now_ms()
        things = view.things()
        thing = next((one for one in things if key(one) == wanted), None)
        if thing is None:
            why = words("unknown_zone" if things else "nothing_measured")
            return figures.fill_forecast((), None, now_ms, words), html.P(why, className="empty")
        history = view.history(thing.hub, thing.thing, hours=HISTORY_H)
        forecast = view.forecast(thing.hub, thing.thing)
    except UnavailableError:
        return figures.fill_forecast((), None, view.now_ms(), words), html.P(words("forecast_down"), className="empty")
    figure = figures.fill_forecast(history, forecast, now_ms, words)
    if forecast is None:
        return figure, html.P(words("no_forecast"), className="empty")
    return figure, html.Dl(list(_told(forecast, words)))


def _told(forecast: Forecast, words: Words) -> Iterator[Any]:
    horizon = words.span(len(forecast.times_ms) * forecast.step_ms / 3_600_000)
    headline, band = _when_full(forecast, horizon, words)
    yield _pair(words("when_full"), headline, band, className="headline")
    yield _pair(words("p_full", horizon=horizon), words.chance(forecast.p_full), className="headline")
    yield _pair(words("model"), words.term("model", forecast.served), _verdict(forecast, words))
    if forecast.scores:
        yield html.Div(_scores(forecast, words), className="scores")
    yield _pair(words("made_at"), words.moment(forecast.cutoff_ms))


def _when_full(forecast: Forecast, horizon: str, words: Words) -> tuple[str, str]:
    early, middle, late = forecast.hours_to_full
    if early is None:
        return words("full_later", horizon=horizon), ""
    if early <= 0:
        return words("full_already"), ""
    from_ = words("full_from", early=words.span(early))
    if middle is None:
        return words("full_later", horizon=horizon), from_
    band = from_ if late is None else words("full_band", early=words.span(early), late=words.span(late))
    return words("full_in", middle=words.span(middle)), band


def _verdict(forecast: Forecast, words: Words) -> str:
    served = next((score for score in forecast.scores if score.model == forecast.served), None)
    others = [score for score in forecast.scores if score.model != forecast.served]
    if served is None or not others:
        return words("no_score")
    rival = min(others, key=lambda score: score.crps)
    named = words.term("model", rival.model)
    gain = 1 - served.crps / rival.crps if rival.crps > 0 else 0.0
    return words("better", n=round(gain * 100), other=named) if gain >= 0.01 else words("not_better", other=named)


def _scores(forecast: Forecast, words: Words) -> Any:
    head = html.Tr([html.Th(words(one), scope="col") for one in ("model", "error", "coverage", "trials")])
    return html.Table(
        [html.Thead(head), html.Tbody([_score(score, forecast.served, words) for score in forecast.scores])]
    )


def _score(score: Score, served: str, words: Words) -> Any:
    mark = html.Span(words("served"), className="tag") if score.model == served else None
    return html.Tr(
        [
            html.Th([html.Bdi(words.term("model", shortened(score.model))), mark], scope="row"),
            html.Td(words.number(score.crps * 100, 1)),
            html.Td(words.percent(score.coverage80)),
            html.Td(words.number(score.cutoffs)),
        ]
    )


def _pair(name: str, value: str, more: str = "", *, className: str = "") -> Any:  # noqa: N803 - Dash's word
    return html.Div([html.Dt(name), html.Dd([value, html.Small(more)] if more else value)], className=className)
