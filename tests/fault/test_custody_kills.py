"""The hub, its chain and its record server are killed along the way of custody events to the chain."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_postgres import postgres
from support_rig_custody import custody_rig
from support_rig_custody_kills import Killer, plan


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [2829])
def test_a_killed_hub_loses_no_event_it_has_answered_and_signs_no_second_root(tmp_path: Path, seed: int) -> None:
    with custody_rig(tmp_path) as rig:
        killer = Killer(rig)
        killer.carry_out(plan(seed, 5))
        killer.finish()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [201, 202])
def test_a_hundred_kills_lose_no_event_that_was_answered_and_sign_no_second_root(tmp_path: Path, seed: int) -> None:
    with custody_rig(tmp_path) as rig:
        killer = Killer(rig)
        killer.carry_out(plan(seed, 50))
        killer.finish()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [203])
def test_kills_of_a_hub_and_of_its_postgres_lose_no_event_that_was_answered(tmp_path: Path, seed: int) -> None:
    with postgres() as server, custody_rig(tmp_path, server=server) as rig:
        killer = Killer(rig)
        killer.carry_out(plan(seed, 30, server=True))
        killer.finish()
