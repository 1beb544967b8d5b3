"""DuckDB against a dictionary: whatever is applied in whatever order, both answer the same."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from support_store import HOUR, T0

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.memory import MemoryStore
from tweeling.domain.points import Point, Points
from tweeling.ports.timeseries import Aggregate

_POINTS = st.builds(
    Point,
    series=st.sampled_from(["H1/a/x", "H1/b/x", "H2/a/x"]),
    time_ms=st.integers(0, 30).map(lambda n: T0 + n * HOUR // 5),
    value=st.integers(-500, 500).map(lambda n: n / 4),
    quality=st.integers(0, 4),
)
_APPLIES = st.lists(
    st.tuples(
        st.lists(_POINTS, max_size=12), st.sampled_from(["journal", "history"]), st.integers(1, 9), st.booleans()
    ),
    max_size=8,
)


@settings(max_examples=40)
@given(applies=_APPLIES)
def test_duckdb_answers_like_a_dictionary(applies: list[tuple[list[Point], str, int, bool]]) -> None:
    model = MemoryStore()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "points.duckdb"
        store = DuckDBStore(path)
        for points, source, through, reopen in applies:
            if reopen:
                store.close()
                store = DuckDBStore(path)
            for each in (model, store):
                each.apply(Points.of(points), source=source, through=through)
        with closing(store):
            assert list(store.latest()) == list(model.latest())
            assert [store.applied(name) for name in ("journal", "history")] == [
                model.applied(name) for name in ("journal", "history")
            ]
            for prefix in ("", "H1/", "H2/a"):
                assert store.count(prefix) == model.count(prefix)
            for name in model.series():
                asked = {"start_ms": T0 + HOUR // 5, "end_ms": T0 + 5 * HOUR}
                assert store.raw(name, **asked).rows() == model.raw(name, **asked).rows()
                for aggregate in Aggregate:
                    ours = store.window(name, **asked, step_ms=HOUR, aggregate=aggregate)
                    theirs = model.window(name, **asked, step_ms=HOUR, aggregate=aggregate)
                    assert ours.times.tolist() == theirs.times.tolist()
                    assert ours.values.round(9).tolist() == theirs.values.round(9).tolist()
