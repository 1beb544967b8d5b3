"""Nu: every hub with its zones; grey, and colour only for what asks for a hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from dash import html

from tweeling.domain.now import NodeNow, ThingNow
from tweeling.domain.telemetry import Quality
from tweeling_dashboards.snapshot import Snapshot
from tweeling_dashboards.words import ABSENT, Words, shortened

HIGH, NEARLY_FULL, FULL = 0.85, 0.95, 1.0
SILENT_MS = 3 * 3_600_000
"""A zone that was not heard of for so long is told as silent."""

Props = dict[str, Any]

_HIDDEN: Props = {"aria-hidden": "true"}


class Abnormal(StrEnum):
    """Why a zone asks for attention, worst first; also the CSS class of its row and the key of its word."""

    FULL = "full"
    NEARLY_FULL = "nearly_full"
    HIGH = "high"
    SILENT = "silent"
    UNCERTAIN = "uncertain"


_BY_FILL = frozenset({Abnormal.FULL, Abnormal.NEARLY_FULL, Abnormal.HIGH})


class Site(NamedTuple):
    """A hub with what stands in it, fullest first."""

    id: str
    name: str
    kind: str
    place: str
    things: tuple[ThingNow, ...]
    nodes: tuple[NodeNow, ...]


def sites(snapshot: Snapshot) -> list[Site]:
    """The region's hubs in its own order, then the hubs that only report."""
    known = {hub.id: hub for hub in snapshot.region.hubs}
    others = dict.fromkeys(thing.hub for thing in snapshot.things if thing.hub not in known)
    found = []
    for hub_id in [*known, *others]:
        hub = known.get(hub_id)
        things = sorted((one for one in snapshot.things if one.hub == hub_id), key=_fullest_first)
        nodes = tuple(node for node in snapshot.nodes if node.hub == hub_id)
        name, kind, place = (hub.name, hub.kind, hub.municipality) if hub else (hub_id, "other", "")
        found.append(Site(hub_id, name, kind, place, tuple(things), nodes))
    return found


def shape(snapshot: Snapshot) -> tuple[tuple[str, ...], ...]:
    """The sites and their rows in order: while it stays, cells change in place and every link stays where it was."""
    return tuple((site.id, *map(key, site.things)) for site in sites(snapshot))


def cards(snapshot: Snapshot, words: Words) -> Any:
    """Every site as a card."""
    if not snapshot.things and not snapshot.region.hubs:
        return html.P(words("nothing_yet"), className="empty")
    filled = slots(snapshot, words)
    return [_card(number, site, filled, words) for number, site in enumerate(sites(snapshot))]


def slots(snapshot: Snapshot, words: Words) -> dict[str, Props]:
    """What changes inside the cards, by element."""
    found: dict[str, Props] = {}
    for number, site in enumerate(sites(snapshot)):
        found[f"presence-{number}"] = {"children": [_presence(node, words) for node in site.nodes] or words("no_node")}
        for place, thing in enumerate(site.things):
            row = f"row-{number}-{place}"
            why = abnormal(thing, snapshot.now_ms)
            found[row] = {"className": why or ""}
            found[f"{row}-fill"] = {"children": list(_fill(thing, why, words))}
            found[f"{row}-stock"] = {"children": _stock(thing, words)}
            found[f"{row}-heard"] = {"children": _heard(thing, snapshot.now_ms, words)}
    return found


def attention(snapshot: Snapshot, words: Words) -> Any:
    """What asks for a hand, worst first, each a link to its forecast."""
    found = sorted(
        ((why, thing) for thing in snapshot.things if (why := abnormal(thing, snapshot.now_ms)) is not None),
        key=lambda pair: (list(Abnormal).index(pair[0]), -(pair[1].fill or 0)),
    )
    offline = [node for node in snapshot.nodes if not node.online]
    if not found and not offline:
        return html.P(words("attention_none"), className="calm")
    named = {hub.id: hub.name for hub in snapshot.region.hubs}
    rows = [html.Li([_link(thing), html.Span(_why(why, thing, words), className=f"tag {why}")]) for why, thing in found]
    rows += [
        html.Li(
            [
                html.Span(["Gateway ", html.Bdi(shortened(f"{node.node}, {named.get(node.hub, node.hub)}"))]),
                html.Span(words("offline_since", time=words.moment(node.since_ms)), className="tag silent"),
            ]
        )
        for node in offline
    ]
    return html.Ul(rows)


def abnormal(thing: ThingNow, now_ms: int) -> Abnormal | None:
    """Why a thing asks for attention, None when it does not. A recording of long ago asks for nothing."""
    if thing.fill is None or thing.time_ms is None or thing.quality == Quality.HISTORICAL:
        return None
    if thing.fill >= FULL:
        return Abnormal.FULL
    if thing.fill >= NEARLY_FULL:
        return Abnormal.NEARLY_FULL
    if thing.fill >= HIGH:
        return Abnormal.HIGH
    if now_ms - thing.time_ms > SILENT_MS:
        return Abnormal.SILENT
    return Abnormal.UNCERTAIN if thing.quality in {Quality.UNCERTAIN, Quality.BAD} else None


def key(thing: ThingNow) -> str:
    """How URL and list name a thing."""
    return f"{thing.hub}/{thing.thing}"


def _fullest_first(thing: ThingNow) -> tuple[int, str]:
    # Whole percents, so that two rows do not change places at every reading.
    return (1 if thing.fill is None else -round(thing.fill * 100), thing.thing)


def _card(number: int, site: Site, filled: dict[str, Props], words: Words) -> Any:
    head = html.Tr([html.Th(words(one), scope="col") for one in ("zone", "fill", "stock", "last_reading")])
    rows = [_row(f"row-{number}-{place}", thing, filled) for place, thing in enumerate(site.things)]
    where = " · ".join(part for part in (site.place, words.term("kind", site.kind)) if part)
    title = html.H3([html.Bdi(shortened(site.name)), html.Small(where)])
    presence = html.Div(id=f"presence-{number}", className="presence", **filled[f"presence-{number}"])
    body = html.Table([html.Thead(head), html.Tbody(rows)]) if rows else html.P(words("no_zones"), className="empty")
    return html.Article([html.Header([title, presence]), body], className="hub")


def _row(row: str, thing: ThingNow, filled: dict[str, Props]) -> Any:
    cells = [
        html.Th([_link(thing), html.Small(thing.thing)], scope="row"),
        html.Td(id=f"{row}-fill", className="fill", **filled[f"{row}-fill"]),
        html.Td(id=f"{row}-stock", className="amount", **filled[f"{row}-stock"]),
        html.Td(id=f"{row}-heard", className="heard", **filled[f"{row}-heard"]),
    ]
    return html.Tr(cells, id=row, **filled[row])


def _link(thing: ThingNow) -> Any:
    chooses: Props = {"data-zone": key(thing)}
    return html.A(html.Bdi(shortened(thing.name)), href="#capacity", **chooses)


def _fill(thing: ThingNow, why: Abnormal | None, words: Words) -> Iterator[Any]:
    if thing.fill is None:
        yield html.Span(words("no_reading"), className="none")
        return
    width = f"{max(0.0, min(1.0, thing.fill)) * 100:.1f}%"
    yield html.Span(html.Span(style={"width": width}), className="bar", **_HIDDEN)
    yield html.Span(words.percent(thing.fill), className="percent")
    if why in _BY_FILL:
        yield html.Span(words(why), className=f"tag {why}")


def _stock(thing: ThingNow, words: Words) -> str:
    return words.tonnes(sum(thing.stock_g.values())) if thing.stock_g else ABSENT


def _heard(thing: ThingNow, now_ms: int, words: Words) -> Any:
    if thing.time_ms is None:
        return ABSENT
    said = words.ago(thing.time_ms, now_ms)
    if thing.quality == Quality.HISTORICAL:
        return [words.date(thing.time_ms), html.Small(words("recording"))]
    if now_ms - thing.time_ms > SILENT_MS:
        return [said, html.Span(words("silent"), className="tag silent")]
    if thing.quality in {Quality.UNCERTAIN, Quality.BAD}:
        return [said, html.Span(words("uncertain"), className="tag uncertain")]
    return said


def _why(why: Abnormal, thing: ThingNow, words: Words) -> str:
    if why in _BY_FILL and thing.fill is not None:
        return f"{words.percent(thing.fill)} {words(why)}"
    return words(why)


def _presence(node: NodeNow, words: Words) -> Any:
    said = words("online") if node.online else words("offline_since", time=words.clock(node.since_ms))
    more = f" · {words('queued', count=words.number(node.queued))}" if node.queued else ""
    parts: list[Any] = [html.Bdi(shortened(node.node, 24)), f" {said}{more}"]
    if node.alarm:
        parts += [" · ", html.Bdi(shortened(node.alarm, 80), title=node.alarm)]
    return html.Span(parts, className="on" if node.online and not node.alarm else "off")


def things_by_site(snapshot: Snapshot) -> Sequence[tuple[Site, ThingNow]]:
    """Every thing with its site, for lists to choose from."""
    return [(site, thing) for site in sites(snapshot) for thing in site.things]
