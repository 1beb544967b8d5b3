"""The auditor of the fault tests is itself put to the test: it must see one reading or one gram."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from support_broker import until
from support_rig import Node, Rig, fast_clock, rig, simulate
from support_rig_audit import Truth, audit, truth_of

from tweeling.adapters.duckdb import DuckDBStore
from tweeling.domain.points import Point, Points


@pytest.fixture(scope="module")
def rested(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    with rig(folder, broker="nats", nodes=[Node("H1", "gw1")]) as made:
        made.edges[0].write([simulate(seed=1)], clock=fast_clock(50_000))
        made.start()
        until(lambda: made.committed("movements") >= 5, "some weighings are committed")
        made.finish()
        yield made


@pytest.fixture
def truth(rested: Rig) -> Truth:
    return truth_of(rested.edges)


def test_a_rig_without_faults_passes_the_audit(rested: Rig, truth: Truth) -> None:
    audit(rested, truth)


def test_one_reading_more_or_less_fails_the_audit(rested: Rig, truth: Truth) -> None:
    one = next(iter(truth.readings))
    truth.readings[one] += 1
    with pytest.raises(AssertionError, match="readings in the journal: 1 missing, 0 too many"):
        audit(rested, truth)
    del truth.readings[one]
    with pytest.raises(AssertionError, match="readings in the journal: 0 missing, 1 too many"):
        audit(rested, truth)


def test_one_gram_fails_the_audit(rested: Rig, truth: Truth) -> None:
    with closing(sqlite3.connect(rested.installation.folder / "records.db")) as db, db:
        db.execute("UPDATE movement SET net_g = net_g + 1, gross_g = gross_g + 1 WHERE number = 1")
    with pytest.raises(AssertionError, match="weighings in the facts: 1 missing, 1 too many"):
        audit(rested, truth)
    with closing(sqlite3.connect(rested.installation.folder / "records.db")) as db, db:
        db.execute("UPDATE movement SET net_g = net_g - 1, gross_g = gross_g - 1 WHERE number = 1")


def test_one_point_too_many_in_the_store_fails_the_audit(rested: Rig, truth: Truth) -> None:
    with closing(DuckDBStore(rested.installation.folder / "points.duckdb")) as store:
        store.apply(Points.of([Point("H1/H1-A/fillingLevel", 1, 0.5, 0)]), source="test", through=1)
    with pytest.raises(AssertionError, match="readings in the store: 0 missing, 1 too many"):
        audit(rested, truth)
