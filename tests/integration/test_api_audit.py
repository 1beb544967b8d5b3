"""What an auditor may ask a running hub about its points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_screens import SmallCustody, SmallTwin, cheap_auth
from support_store import points

from tweeling.adapters.memory import MemoryStore
from tweeling.api import arrow, tokens
from tweeling.api.app import create_app
from tweeling.api.principals import Role
from tweeling.api.server import serve
from tweeling.domain.points import Point, Points
from tweeling.errors import WireError

A = "H1/H1-A/fillingLevel"
PATH = "/api/audit/points"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[dict[Role, httpx.Client]]:
    bearers = {role: tokens.issue(tmp_path / "tokens.json", str(role), role) for role in (Role.QUERY, Role.CAPTURE)}
    store = MemoryStore()
    store.apply(points((A, 1, 0.25, 3)), source="journal:x", through=7)
    app = create_app(SmallTwin(), SmallCustody(), cheap_auth(tmp_path), points=store, screens=False)
    with serve(app, "127.0.0.1", 0) as port, ExitStack() as closing:
        yield {
            role: closing.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {bearer}"})
            )
            for role, bearer in bearers.items()
        }


def test_a_reader_asks_how_much_there_is_and_what_stands_where(served: dict[Role, httpx.Client]) -> None:
    client = served[Role.QUERY]
    assert client.get(PATH, params={"source": "journal:x"}).json() == {
        "count": 1, "applied": 7, "precision": 0.0, "kept_from_ms": 0, "removed": 0,
    }  # fmt: skip
    asked = arrow.encode_points(points((A, 2, 0.0), (A, 1, 0.0), ("H9/none/x", 1, 0.0)))
    answer = client.post(PATH, content=asked)
    assert answer.headers["content-type"] == arrow.MEDIA_TYPE
    found = arrow.decode_found(answer.content)
    assert found.there.tolist() == [False, True, False]
    assert (found.values[1], found.quality[1]) == (0.25, 3)


def test_who_brings_events_reads_no_points(served: dict[Role, httpx.Client]) -> None:
    assert served[Role.CAPTURE].get(PATH, params={"source": "x"}).status_code == 403
    assert served[Role.CAPTURE].post(PATH, content=b"").status_code == 403


@pytest.mark.parametrize(
    "content", [b"", b"junk", arrow.encode_found(MemoryStore().find(points())), arrow.encode_points(points())[:-9]]
)
def test_what_is_no_stream_of_points_is_refused(served: dict[Role, httpx.Client], content: bytes) -> None:
    answer = served[Role.QUERY].post(PATH, content=content)
    assert answer.status_code == 400
    assert "no Arrow stream" in answer.json()["detail"]


ROWS = st.lists(st.builds(Point, st.text(max_size=9), st.integers(0, 2**53), st.just(0.0), st.just(0)))


@given(ROWS)
def test_points_read_back_as_they_were_written(rows: list[Point]) -> None:
    kept = arrow.decode_points(arrow.encode_points(Points.of(rows)))
    assert [row[:2] for row in kept.rows()] == [row[:2] for row in rows]
    half = len(rows) // 2
    assert [row[:2] for row in kept.slice(half, len(rows)).rows()] == [row[:2] for row in rows[half:]]


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_points_or_refused(junk: bytes, at: int, byte: int) -> None:
    sound = bytearray(arrow.encode_points(points((A, 1, 0.5), ("B", 2, 0.5))))
    sound[at % len(sound)] = byte
    for data in (junk, bytes(sound)):
        try:
            decoded = arrow.decode_points(data)
        except WireError:
            continue
        assert len(decoded.rows()) == len(decoded.times)


def test_nulls_are_no_points() -> None:
    series = pa.array([None, "a"]).dictionary_encode()
    table = pa.table({"series": series, "t": pa.array([1, 2])}, schema=arrow._ASKED)
    with pytest.raises(WireError, match="without nulls"):
        arrow.decode_points(arrow._write(table))
    assert np.array_equal(arrow.decode_points(arrow._write(table.slice(1))).times, [2])
