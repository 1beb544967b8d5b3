from __future__ import annotations

import ast
import math
import string
from pathlib import Path

import pytest
from support_screens import HOSTILE_NUMBERS, HOUR, NOW

import tweeling_dashboards
from tweeling.domain.vocabulary import BIZ_STEPS
from tweeling_dashboards import texts
from tweeling_dashboards.words import ABSENT, Words, chosen, local, shortened

SOURCES = sorted(Path(tweeling_dashboards.__file__).parent.glob("*.py"))
NL, EN = Words("nl"), Words("en")


def _asked_for() -> set[str]:
    """Every constant key that a `words("key")` in the sources asks for."""
    calls = (node for path in SOURCES for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    first = (
        call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "words" and call.args
    )
    return {str(key.value) for key in first if isinstance(key, ast.Constant)}


def test_every_word_asked_for_is_in_the_catalogue() -> None:
    asked = _asked_for()
    assert len(asked) > 40
    assert asked <= texts.keys()


def test_every_key_is_translated_with_the_same_holes() -> None:
    for key in texts.keys():  # noqa: SIM118 - a function, no dict
        dutch, english = (
            {hole for _, hole, _, _ in string.Formatter().parse(texts.text(key, lang)) if hole}
            for lang in texts.LANGUAGES
        )
        assert dutch == english, key
        assert all(texts.text(key, lang).strip() for lang in texts.LANGUAGES)


def test_an_unknown_key_is_a_bug() -> None:
    with pytest.raises(KeyError):
        NL("no such key")


def test_a_term_without_a_translation_stays_itself() -> None:
    assert NL.term("step", "receiving") == "ontvangst"
    assert NL.term("step", "urn:x:own") == "urn:x:own"


def test_every_step_of_the_business_vocabulary_has_its_word() -> None:
    assert {f"step.{step}" for step in BIZ_STEPS} <= texts.keys()


def test_numbers_are_written_as_the_reader_writes_them() -> None:
    assert (NL.number(1234567.891, 1), EN.number(1234567.891, 1)) == ("1.234.567,9", "1,234,567.9")
    assert (NL.tonnes(2_345_678_000), NL.tonnes(9_540_000)) == ("2.346 t", "9,5 t")


@pytest.mark.parametrize(("share", "written"), [(0, "0%"), (0.123, "12%"), (0.997, "99%"), (1, "100%"), (1.2, "120%")])
def test_what_is_not_full_is_never_written_as_full(share: float, written: str) -> None:
    assert NL.percent(share) == written


def test_a_chance_is_never_told_as_nothing_or_certainty() -> None:
    assert [NL.chance(p) for p in (0, 0.004, 0.62, 0.996, 1)] == ["<1%", "<1%", "62%", ">99%", ">99%"]


def test_times_stand_on_amsterdams_clock_on_both_sides_of_a_change_of_time() -> None:
    assert NL.moment(NOW) == "di 25 nov 08:00"
    assert EN.moment(NOW) == "Tue 25 Nov 08:00"
    before = 1_774_745_999_000  # 29 March 2026, 00:59:59 UTC
    assert (f"{local(before):%H:%M:%S}", f"{local(before + 1000):%H:%M:%S}") == ("01:59:59", "03:00:00")


@pytest.mark.parametrize(
    ("passed", "dutch", "english"),
    [
        (0, "zojuist", "just now"),
        (14 * 60_000, "10 min", "10 min"),
        (3 * HOUR, "3 u", "3 h"),
        (50 * HOUR, "2 d", "2 d"),
    ],
)
def test_ages_grow_coarser(passed: int, dutch: str, english: str) -> None:
    assert (NL.ago(NOW - passed, NOW), EN.ago(NOW - passed, NOW)) == (dutch, english)


def test_spans_are_told_in_days_beyond_two() -> None:
    assert [NL.span(hours) for hours in (3.4, 47, 48, 211)] == ["3 u", "47 u", "2 d", "8 d 19 u"]


@pytest.mark.parametrize("number", [value for value in HOSTILE_NUMBERS if not abs(value) < 1e15])
def test_what_cannot_be_shown_is_a_dash(number: float) -> None:
    time = int(number) if abs(number) < math.inf else number
    assert local(time) is None  # type: ignore[arg-type] # that is the point
    written = [
        *(NL.clock(time), NL.moment(time), NL.date(time), NL.weekday(time), NL.ago(time, NOW)),  # type: ignore[arg-type] # too
        *(NL.number(number), NL.number(number, 1), NL.percent(number), NL.span(number)),
        NL.tonnes(number * 10),  # type: ignore[arg-type] # too
    ]
    assert set(written) == {ABSENT}
    assert NL.chance(number) in {ABSENT, "<1%", ">99%"}


def test_the_ends_of_the_calendar_are_shown_or_a_dash() -> None:
    assert NL.date(-62_135_596_800_000) == "1 jan 1"
    assert NL.date(253_402_300_799_000) == ABSENT  # the new year 10000 has begun in Amsterdam


def test_the_browsers_language_counts_where_the_url_names_none() -> None:
    assert chosen(None, "en-GB,en;q=0.9,nl;q=0.8").lang == "en"
    assert chosen(None, "nl,en;q=0.9").lang == "nl"
    assert chosen("nl", "en").lang == "nl"
    assert chosen("xx", "en").lang == "en"
    assert chosen(None, "fr, ;;, *").lang == "nl"


def test_dutch_comes_first() -> None:
    assert [chosen(lang).lang for lang in (None, "en", "nl", "de", "../x")] == ["nl", "en", "nl", "nl", "nl"]


def test_a_name_is_cut_to_what_a_screen_can_bear() -> None:
    assert shortened("Puinbult") == "Puinbult"
    assert len(shortened("W" * 10_000)) == 60
