from pathlib import Path

import pytest

from tweeling import bootstrap, config
from tweeling.cli import seeding
from tweeling.cli.installation import Installation
from tweeling.services.claims import CURSOR
from tweeling.services.status import HISTORY
from tweeling.simulation.region import load as load_region

WEEK = seeding.WEEK_MS
START = 1_767_596_400_000  # a Monday, 07:00 in Amsterdam


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    installation = Installation(tmp_path)
    installation.config.write_text("")
    return config.load(installation.config)


def _seed(settings: config.Settings, *, stop_after: int | None = None, finish: bool = True) -> tuple[int, int, object]:
    with bootstrap.stores(settings) as (store, _, facts):
        for done, _ in seeding.seed(store, facts, seed=7, start_ms=START, end_ms=START + 3 * WEEK):
            if done == stop_after:
                break
        else:
            if finish:
                seeding.finish(store, facts)
        return store.count(), sum(row.loads for row in facts.balances()), facts.get(CURSOR)


def test_history_that_was_cut_short_is_completed_and_nothing_is_doubled(
    settings: config.Settings, tmp_path: Path
) -> None:
    whole_settings = config.load(_other(tmp_path))
    whole = _seed(whole_settings)
    assert _seed(settings, stop_after=2)[2] is None
    assert _seed(settings) == whole
    assert whole[0] == 3 * 168 * len(load_region().zones)


def test_history_that_was_killed_just_before_its_end_is_finished_later(settings: config.Settings) -> None:
    assert _seed(settings, finish=False)[2] is None
    points, loads, cursor = _seed(settings)
    assert cursor == {"row": loads}
    with bootstrap.stores(settings) as (_, _, facts):
        assert facts.get(HISTORY) == {"points": points}


def test_the_past_makes_no_claims(settings: config.Settings) -> None:
    _seed(settings)
    with bootstrap.stores(settings) as (_, _, facts):
        at = int(str((facts.get(CURSOR) or {})["row"]))
        assert facts.movements(after=at) == []


def _other(folder: Path) -> Path:
    path = folder / "other" / "tweeling.toml"
    path.parent.mkdir()
    path.write_text("")
    return path
