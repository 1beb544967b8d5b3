"""The hub's own trust file: whole at every moment, and told from a damaged one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_custody import ORIGIN

from tweeling import config
from tweeling.bootstrap.ledger import pinned_log, publish_trust
from tweeling.errors import ConfigError
from tweeling.verify import TrustedContract, TrustedLog

CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"


@pytest.fixture
def settings(tmp_path: Path) -> config.Settings:
    path = tmp_path / "tweeling.toml"
    path.write_text(f"[custody]\norigin = '{ORIGIN}'\n[ledger]\ncontract = '{CONTRACT}'\n")
    return config.load(path)


def _trust(log: str) -> TrustedLog:
    return TrustedLog.of(ORIGIN, bytes(32), TrustedContract(chain_id=31337, contract=CONTRACT, log_id=f"0x{log * 32}"))


def test_what_partners_pin_is_replaced_as_one_and_only_when_it_is_new(settings: config.Settings) -> None:
    path, before = settings.data / "trust.json", settings.data / "before"
    publish_trust(settings, _trust("11"))
    before.hardlink_to(path)
    publish_trust(settings, _trust("11"))
    assert path.samefile(before), "a start that has nothing new writes nothing"
    publish_trust(settings, _trust("22"))
    assert not path.samefile(before)
    assert (before.read_bytes(), path.read_bytes()) == (_trust("11").encode(), _trust("22").encode())
    assert pinned_log(settings) == bytes([0x22]) * 32


@pytest.mark.parametrize("left", [0, 40, -3])
def test_a_torn_trust_file_is_named_with_what_to_do(settings: config.Settings, left: int) -> None:
    path = settings.data / "trust.json"
    path.write_bytes(_trust("11").encode()[:left])
    with pytest.raises(ConfigError, match=r"trust\.json: is damaged \(.+\)\. Bring it back from a backup") as caught:
        pinned_log(settings)
    assert "ledger.log_id" in caught.value.remedy
