from __future__ import annotations

import json
import re

import pytest
from support_screens import HOSTILE, HOSTILE_NUMBERS, HOUR, NOW, SmallTwin, small_forecast

from tweeling.domain.now import PartNow, ThingNow
from tweeling.domain.telemetry import Quality
from tweeling_dashboards import capacity, figures, overview, page
from tweeling_dashboards.overview import Abnormal
from tweeling_dashboards.snapshot import NOTHING, take
from tweeling_dashboards.words import Words

NL = Words("nl")


def _text(value: object) -> str:
    return page._written(value)


def test_the_fan_holds_history_band_and_median() -> None:
    history = [(NOW - back * HOUR, 0.5) for back in range(48, -1, -1)]
    figure = figures.fill_forecast(history, small_forecast("s", 0.5, NOW), NOW, NL)
    names = [trace.name for trace in figure.data]
    assert names == ["Gemeten", "10 tot 90 van 100 uitkomsten", "10 tot 90 van 100 uitkomsten", "Verwacht (P50)"]
    measured, low, high, median = figure.data
    assert (len(measured.x), measured.x[-1]) == (49, "2025-11-25 08:00")
    assert len(low.x) == len(high.x) == len(median.x) == 336
    assert high.fill == "tonexty"
    assert all(one <= other for one, other in zip(low.y, high.y, strict=True))
    assert {note.text for note in figure.layout.annotations} == {"nu", "vol"}


def test_more_quantiles_make_more_bands() -> None:
    forecast = small_forecast("s", 0.5, NOW)
    wider = {0.05: forecast.quantiles[0.1], **forecast.quantiles, 0.95: forecast.quantiles[0.9]}
    figure = figures.fill_forecast([], forecast._replace(quantiles=wider), NOW, NL)
    assert [trace.fill for trace in figure.data].count("tonexty") == 2


def test_a_figure_without_anything_is_still_a_figure() -> None:
    figure = figures.fill_forecast([], None, NOW, NL)
    assert len(figure.data) == 1
    assert list(figure.layout.yaxis.range) == [0, 1.05]
    assert figure.layout.xaxis.type == "date"


def test_a_recording_ends_where_its_readings_end() -> None:
    ended = NOW - 90 * 24 * HOUR
    figure = figures.fill_forecast([(ended, 0.5)], small_forecast("s", 0.5, ended), NOW, NL)
    end = next(note for note in figure.layout.annotations if note.text == "einde van de opname")
    assert end.x == "2025-08-27 09:00"


def test_zoom_is_kept_and_nonsense_is_not() -> None:
    figure = figures.zoomed(figures.empty(), {"xaxis.range[0]": "a", "xaxis.range[1]": "b", "yaxis.range[0]": {}})
    assert tuple(figure.layout.xaxis.range) == ("a", "b")
    assert figure.layout.yaxis.range is None


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        ((76.0, 211.0, None), ("over 8 d 19 u", "90% kans: niet binnen 3 d 4 u")),
        ((4.0, 20.0, 40.0), ("over 20 u", "80% kans: over 4 u tot 40 u")),
        ((76.0, None, None), ("waarschijnlijk niet binnen 14 d", "90% kans: niet binnen 3 d 4 u")),
        ((None, None, None), ("waarschijnlijk niet binnen 14 d", "")),
        ((0.0, 0.0, 0.0), ("nu al vol", "")),
    ],
)
def test_when_it_is_full_is_told_with_its_band(
    hours: tuple[float | None, float | None, float | None], told: tuple[str, str]
) -> None:
    forecast = small_forecast("s", 0.5, NOW)._replace(hours_to_full=hours)
    assert capacity._when_full(forecast, "14 d", NL) == told


def test_a_model_that_does_not_win_is_not_praised() -> None:
    forecast = small_forecast("s", 0.5, NOW)
    assert capacity._verdict(forecast, NL) == '37% kleinere fout dan "last-week"'
    assert capacity._verdict(forecast._replace(served="last-week"), NL) == 'niet beter dan "seasonal"'
    assert capacity._verdict(forecast._replace(scores=()), NL) == "nog niet beproefd"


@pytest.mark.parametrize(
    ("fill", "age_h", "quality", "why"),
    [
        (1.0, 0, Quality.GOOD, Abnormal.FULL),
        (0.96, 9, Quality.GOOD, Abnormal.NEARLY_FULL),
        (0.85, 0, Quality.GOOD, Abnormal.HIGH),
        (0.5, 4, Quality.GOOD, Abnormal.SILENT),
        (0.5, 0, Quality.BAD, Abnormal.UNCERTAIN),
        (0.5, 0, Quality.GOOD, None),
        (0.99, 9000, Quality.HISTORICAL, None),
        (None, 0, Quality.GOOD, None),
    ],
)
def test_only_what_asks_for_a_hand_is_coloured(
    fill: float | None, age_h: int, quality: Quality, why: Abnormal | None
) -> None:
    thing = ThingNow("H", "Z", "Z", fill, NOW - age_h * HOUR, quality, {}, None)
    assert overview.abnormal(thing, NOW) == why


def test_zones_stand_fullest_first_and_strangers_last() -> None:
    sites = overview.sites(take(SmallTwin()))
    assert [site.id for site in sites] == ["H1", "H2", "H4", "T1", "praag"]
    assert [thing.thing for thing in sites[0].things] == ["H1-B", "H1-A", "H1-C"]


def test_only_the_cell_that_changed_is_sent_so_that_links_stay_where_they_are() -> None:
    twin = SmallTwin()
    before = page.shown(take(twin), NL)
    twin.set_fill("H1", "H1-C", 0.45)
    changed = dict(page.shown(take(twin), NL).since(before))
    assert list(changed) == ["row-0-2-fill"]
    assert len(_text(changed)) < 800


def test_a_row_that_turns_abnormal_changes_in_place() -> None:
    twin = SmallTwin()
    before = page.shown(take(twin), NL)
    twin.set_fill("H1", "H1-A", 0.86)  # still behind H1-B at 88%
    changed = dict(page.shown(take(twin), NL).since(before))
    assert {"row-0-1", "row-0-1-fill", "attention"} <= set(changed)
    assert "hubs" not in changed


def test_rows_that_change_places_renew_the_cards() -> None:
    twin = SmallTwin()
    before = page.shown(take(twin), NL)
    twin.set_fill("H1", "H1-C", 0.99)
    assert "hubs" in dict(page.shown(take(twin), NL).since(before))


def test_children_are_sent_behind_the_other_properties() -> None:
    props = {"children": "text", "hidden": False}
    written = {("notice", name): str(value) for name, value in props.items()}
    now = page.Shown((), None, {"notice": props}, written)
    changed = dict(now.since(page.Shown((), None, {}, {})))
    assert list(changed["notice"]) == ["hidden", "children"]


def test_a_container_that_appears_renews_the_cards() -> None:
    twin = SmallTwin()
    before = page.shown(take(twin), NL)
    twin.add(ThingNow("praag", "C9", "Glas", 0.2, NOW, 0, {}, None))
    changed = dict(page.shown(take(twin), NL).since(before))
    assert set(changed) == {"hubs", "zone"}


def test_what_does_not_answer_keeps_its_last_value_and_is_named() -> None:
    twin = SmallTwin()
    first = take(twin)
    twin.set_down("things", "health")
    second = take(twin, first)
    assert second.things == first.things
    assert second.missing == {"things", "health"}
    assert "standen" in _text(page.shown(second, NL).slots["notice"])
    assert take(SmallTwin(), second).missing == frozenset()


def test_a_hub_without_sensors_asks_for_no_choice_among_none() -> None:
    twin = SmallTwin()
    _, told = capacity.show(twin, "praag/unheard-of", NL)
    assert "Kies er een" in _text(told)
    twin.forget_things()
    _, told = capacity.show(twin, None, NL)
    assert "Nog niets gemeten" in _text(told)


def test_nothing_at_all_can_be_shown() -> None:
    filled = page.shown(NOTHING, NL)
    assert "Nog geen hubs" in _text(filled.cards)
    assert filled.slots["no-events"]["hidden"] is False


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
def test_a_hostile_number_harms_no_screen(number: float) -> None:
    twin = SmallTwin()
    before = page.shown(take(twin), NL)
    twin.add_hostile("X", number)
    after = page.shown(take(twin), NL)
    written = _text([dict(after.since(before)), page.layout(take(twin), NL, zone="praag/XX")])
    assert "Puinbult" in written
    assert not re.search(r"\b(nan|inf)\b", written)
    assert not re.search(r"\d{22}", written)
    assert len(written) < 200_000


@pytest.mark.parametrize("number", HOSTILE_NUMBERS)
def test_a_hostile_time_harms_no_figure(number: float) -> None:
    forecast = small_forecast("s", 0.5, NOW)._replace(cutoff_ms=number, times_ms=(number,) * 336)
    history = [(number, 0.5), (NOW, 0.5)]
    figure = figures.fill_forecast(history, forecast, NOW, NL)
    assert figure.data[0].x[1] == "2025-11-25 08:00"
    assert _text(figure)


def test_a_hostile_name_is_text_and_nothing_else() -> None:
    twin = SmallTwin()
    twin.set_part(PartNow("<b>x", ok=False, detail=HOSTILE))
    written = _text(page.layout(take(twin), NL, zone=HOSTILE))
    assert json.loads(written)
    assert "dangerously" not in written
    assert "srcDoc" not in written
