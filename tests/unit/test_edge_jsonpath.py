from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tweeling_edge.drivers import jsonpath
from tweeling_edge.drivers.jsonpath import JsonPath, NotFoundError

STORE: dict[str, Any] = {
    "fill level": 0.4,
    "it's": 1,
    'a"b': 2,
    "ring": {"level": 7, "on": True, "none": None},
    "sensors": [
        {"id": "b1", "value": 1, "tags": {"n": 1}},
        {"id": "b2", "value": 2, "tags": {"n": True}},
        {"id": "b3", "value": 3},
        "no object",
    ],
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$", STORE),
        ("$.ring.level", 7),
        ("$['ring']['level']", 7),
        ("$ .ring [ 'level' ]", 7),
        ('$["fill level"]', 0.4),
        (r"$['it\'s']", 1),
        ('$["it\'s"]', 1),
        ("$['a\"b']", 2),
        (r'$["a\"b"]', 2),
        (r"$['\u0072ing'].level", 7),
        ("$.sensors[0].value", 1),
        ("$.sensors[-2].value", 3),
        ("$.sensors[?@.id == 'b2'].value", 2),
        ("$.sensors[?@['id']=='b3'].value", 3),
        ("$.sensors[?@.value==3.0].id", "b3"),
        ("$.sensors[?@.tags.n==1].id", "b1"),
        ("$.sensors[?@.tags.n==true].id", "b2"),
        ("$.sensors[?@=='no object']", "no object"),
        ("$[?@.level==7].on", True),
        ("$.ring[?@==null]", None),
    ],
)  # fmt: skip
def test_a_path_leads_to_its_value(path: str, value: object) -> None:
    assert JsonPath.parse(path).find(STORE) == value


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$.ring.volume", "$['ring'] has 'level', 'on', 'none', no 'volume'"),
        ("$.sensors[4]", "$['sensors'] has 4 elements, no [4]"),
        ("$.sensors[-5]", "no [-5]"),
        ("$.sensors.id", "has 4 elements, no 'id'"),
        ("$.ring.level.deep", "is a single value"),
        ("$.sensors[?@.id=='b9']", "none of them with @.id=='b9'"),
        ("$.sensors[?@.value==true]", "none of them"),
        ("$[?@[0].id=='b1'][9]", "has 4 elements, no [9]"),
    ],
)  # fmt: skip
def test_a_path_that_leads_nowhere_says_how_far_it_went(path: str, reason: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        JsonPath.parse(path).find(STORE)
    assert reason in str(caught.value)


def test_a_filter_that_finds_two_is_no_way_to_one() -> None:
    with pytest.raises(NotFoundError, match="2 of them"):
        JsonPath.parse("$[?@.n==1]").find([{"n": 1}, {"n": 1.0}, {"n": 2}])


@pytest.mark.parametrize(
    "path",
    [
        "", "ring", "$.", "$..level", "$.*", "$[*]", "$[0:2]", "$[0,1]", "$[01]", "$[-0]", "$.1a", "$['a]", "$[a]",
        "$[?@.id]", "$[?@.id=='a' && @.b==1]", "$[?$.a==1]", "$[?@.a<3]", "$[?@.a==b]", "$.a ", "$[0", r"$['\x']",
        "$[?@[?@.a==1]==1]",
    ],
)  # fmt: skip
def test_a_path_that_may_mean_many_values_or_none_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="no path to one value: at"):
        JsonPath.parse(path)


@given(st.text(min_size=1, max_size=20))
def test_any_name_can_be_written_in_quotes(name: str) -> None:
    assert JsonPath.parse(f"$[{json.dumps(name)}]").find({name: 1}) == 1


@given(
    st.recursive(
        st.integers() | st.text() | st.booleans() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_is_shallow_reads_as_json_does(document: object) -> None:
    assert jsonpath.loads(json.dumps(document).encode()) == document


@pytest.mark.parametrize(
    "payload",
    [b"[" * 33 + b"]" * 33, b'{"a":' * 100_000, b"", b"{", b"NaN", b'{"a":Infinity}', b"\xff", b"[" * 5_000_000,
     b'"' + b'\\"' * 500_000, b"9" * 5000, "[1]".encode("utf-16")],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_json_or_too_deep_is_refused_quickly(payload: bytes) -> None:
    began = time.process_time()
    with pytest.raises(ValueError):  # noqa: PT011 -- json's own texts
        jsonpath.loads(payload)
    assert time.process_time() - began < 2


def test_brackets_in_text_are_no_depth() -> None:
    assert jsonpath.loads(json.dumps({"a": '[[["\\' * 100}).encode()) == {"a": '[[["\\' * 100}
