from __future__ import annotations

from collections.abc import Mapping
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweeling_edge.drivers.topics import Pattern, check_template, covers, filled, overlap, widest


@pytest.mark.parametrize(
    ("pattern", "told", "topic", "levels"),
    [
        ("a/b", "a/b", "a/b", {}),
        ("a/b", "a/b", "a/c", None),
        ("a/b", "a/b", "a/b/c", None),
        ("a/b", "a/b", "a", None),
        ("a/{x}/c", "a/+/c", "a/B/c", {"x": "B"}),
        ("{x}/{y}", "+/+", "B/C", {"x": "B", "y": "C"}),
        ("a/+/{x}/#", "a/+/+/#", "a/1/2/3/4", {"x": "2"}),
        ("a/{x}/#", "a/+/#", "a/B", {"x": "B"}),
        ("a/#", "a/#", "a", {}),
        ("#", "#", "a/b/c", {}),
        ("a//{x}", "a//+", "a//b", {"x": "b"}),
    ],
)  # fmt: skip
def test_a_pattern_names_the_levels_of_a_topic(
    pattern: str, told: str, topic: str, levels: Mapping[str, str] | None
) -> None:
    parsed = Pattern.parse(pattern)
    assert parsed.filter == told
    assert parsed.match(topic) == levels


@pytest.mark.parametrize(
    "pattern", ["", "a/#/b", "a+", "a/{x", "a/{x}y", "a/{x}/{x}", "$share/g/a", "a\0", "a/{1}", "x" * 2000]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- each its own text
        Pattern.parse(pattern)


def test_a_name_is_made_of_named_levels_only() -> None:
    pattern = Pattern.parse("shop/{thing}/{what}")
    check_template("{thing}/{what}", pattern)
    assert filled("{thing}-top/{what}", {"thing": "H1-A", "what": "level"}) == "H1-A-top/level"
    with pytest.raises(ValueError, match="no named level"):
        check_template("{hub}/level", pattern)
    with pytest.raises(ValueError, match="no thing/attribute"):
        check_template("{thing}", pattern)


LEVELS = ("a", "b", "$c")
TOPICS = ["/".join(levels) for count in (1, 2, 3, 4) for levels in product(LEVELS, repeat=count)]
FILTERS = st.builds(
    lambda levels, more: "/".join([*levels, *more]),
    st.lists(st.sampled_from(["a", "b", "+"]), min_size=1, max_size=3),
    st.sampled_from([[], ["#"]]),
)


def fitting(text: str) -> set[str]:
    return {topic for topic in TOPICS if Pattern.parse(text).match(topic) is not None and topic[0] != "$"}


@given(FILTERS, FILTERS)
def test_one_filter_covers_or_overlaps_another_as_their_topics_do(one: str, other: str) -> None:
    assert covers(one, other) == (fitting(other) <= fitting(one))
    assert overlap(one, other) == bool(fitting(one) & fitting(other))


def test_only_the_widest_filters_are_subscribed_to() -> None:
    assert widest(["shop/+/level", "shop/#", "shop/+/level", "zigbee/+"]) == ("shop/#", "zigbee/+")
    assert widest(["#", "a/#", "$SYS/#", "+/b"]) == ("#", "$SYS/#")
    with pytest.raises(ValueError, match="'a/\\+' and '\\+/b' overlap"):
        widest(["a/+", "+/b"])
    assert widest(["a/+", "+/b", "+/+"]) == ("+/+",), "what overlaps is not subscribed to"
