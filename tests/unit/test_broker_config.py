from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tweeling.adapters.nats import Credentials, NodeName, write_config
from tweeling.errors import ConfigError

N1, N2 = NodeName("H1", "n1"), NodeName("H2", "n1")


def test_every_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    config = write_config(tmp_path / "broker", [N1, N2], port=1883)
    files = [config.conf, config.hub, *config.nodes.values()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    folders = [config.conf.parent, config.hub.parent, config.conf.parent / "jetstream"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert set(json.loads(config.nodes[N1].read_bytes())) == {"username", "password"}


def test_users_have_secrets_of_their_own_and_the_hub_a_secret_client_id(tmp_path: Path) -> None:
    config = write_config(tmp_path, [N1, N2], port=1883)
    users = [Credentials.load(path) for path in (config.hub, *config.nodes.values())]
    assert len({user.password for user in users}) == 3
    assert all(len(user.password) >= 43 for user in users)
    assert [user.username for user in users] == ["hub", "H1/n1", "H2/n1"]
    assert len(users[0].client_id) == len("hub-") + 32
    assert not any(user.client_id for user in users[1:])


def test_writing_again_keeps_secrets_adds_and_revokes(tmp_path: Path) -> None:
    before = write_config(tmp_path, [N1], port=1883)
    kept = (before.hub.read_bytes(), before.nodes[N1].read_bytes())
    both = write_config(tmp_path, [N2, N1, N1], port=1883)
    assert (both.hub.read_bytes(), both.nodes[N1].read_bytes()) == kept
    assert list(both.nodes) == [N1, N2]
    secret = Credentials.load(both.nodes[N2]).password
    one = write_config(tmp_path, [N1], port=1883)
    assert not both.nodes[N2].exists()
    assert secret not in one.conf.read_text()


@pytest.mark.parametrize("name", [("H1", "a.b"), ("H1", "*"), ('H"', "n"), ("H1", ""), ("H1", "office")])
def test_a_name_that_could_widen_a_permission_or_is_the_hubs_own_is_refused(
    tmp_path: Path, name: tuple[str, str]
) -> None:
    with pytest.raises(ConfigError, match=r"broker\.nodes"):
        write_config(tmp_path, [N1, NodeName(*name)], port=1883)


def test_a_secret_is_shown_by_no_representation(tmp_path: Path) -> None:
    config = write_config(tmp_path, [N1], port=1883)
    who = Credentials.load(config.hub)
    assert who.password not in repr(who)
    assert who.client_id not in str(who)
    config.hub.write_text('{"username": 1, "password": "s3cret"}')
    with pytest.raises(ConfigError) as caught:
        Credentials.load(config.hub)
    assert "s3cret" not in f"{caught.value} {caught.value.__cause__}"


def test_an_unreadable_credential_file_is_named(tmp_path: Path) -> None:
    config = write_config(tmp_path, [N1], port=1883)
    config.hub.write_text("{}")
    with pytest.raises(ConfigError, match=r"hub\.json: is no readable credential file. Delete it"):
        write_config(tmp_path, [N1], port=1883)
