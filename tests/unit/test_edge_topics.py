from __future__ import annotations

from collections.abc import Mapping

import pytest

from tweeling_edge.drivers.topics import Pattern, check_template, filled


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
