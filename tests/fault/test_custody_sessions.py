"""Long sessions of many clients, most of them rude, against a hub that is killed meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_broker import until
from support_rig_custody import custody_rig
from support_rig_custody_kills import Kill, Killer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.mark.parametrize("seed", [301])
def test_what_no_partner_should_send_is_refused_by_name_and_harms_nothing(tmp_path: Path, seed: int) -> None:
    with custody_rig(tmp_path) as rig:
        killer = Killer(rig)
        for life in range(4):
            rig.start()
            goal = rig.clients.statuses.total() + 1500
            with rig.clients.bring(4, rude=range(seed + 10 * life, seed + 10 * life + 6)):
                until(lambda goal=goal: rig.clients.statuses.total() >= goal, "much is refused", seconds=900)  # type: ignore[misc]  # bound now
                killer.carry_out([Kill(("hub",), "start", 1, 0.5)] if life % 2 else [])
                if rig.hub.running:
                    rig.hub.kill()
            killer.history.look()
        killer.finish()
        assert rig.clients.statuses[400] > 1000, rig.clients.statuses
        assert {401, 409, 413, 415} <= set(rig.clients.statuses), rig.clients.statuses
