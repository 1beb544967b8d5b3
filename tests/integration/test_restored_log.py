"""A restored custody log and the chain that holds its head: it grows from there, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from support_backup import make
from support_broker import until
from support_chain import DevChain, running_anvil
from support_custody import shipping
from support_fsck import fsck
from support_living import Living, living_hub
from support_servers import free_port

from tweeling import bootstrap
from tweeling.adapters.evm import deploy, devchain, keyfile
from tweeling.cli.client import HubClient
from tweeling.cli.installation import MAINTAINER, Installation
from tweeling.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, int]:
    """Where a chain keeps its state, and its port."""
    return tmp_path / "state.json", free_port()


@contextmanager
def chain_at(place: tuple[Path, int]) -> Iterator[DevChain]:
    with running_anvil(state=place[0], port=place[1]) as running:
        yield running


@pytest.fixture
def hub(tmp_path: Path, place: tuple[Path, int]) -> Iterator[Living]:
    """A stopped hub with a contract on a chain that is down."""
    with living_hub(tmp_path) as hub:
        secrets = hub.installation.secrets
        account = keyfile.create_key(secrets / "ledger-key.json", secrets / "ledger-passphrase")
        with chain_at(place) as chain:
            devchain.fund(chain.rpc, account.address, chain_id=chain.chain_id)
            contract = deploy(chain.rpc, account, chain_id=chain.chain_id)
        with hub.installation.config.open("a") as settings:
            settings.write(f'\n[ledger]\nrpc = "{chain.rpc}"\ncontract = "{contract}"\nmax_age_s = 0.1\n')
        yield hub


def capture(hub: Living, number: int) -> int:
    token = hub.installation.token("partners").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps(shipping(number))
    return httpx.post(f"http://127.0.0.1:{hub.port}/events", content=body, headers=headers).status_code


def part(hub: Living, name: str) -> tuple[bool, str]:
    with hub.client() as client:
        told = {each["part"]: each for each in client.status()["parts"]}
    return told[name]["ok"], told[name]["detail"]


def anchored(hub: Living, size: int) -> None:
    until(lambda: f"anchored to size {size} in block" in part(hub, "ledger")[1], f"size {size} is anchored", seconds=60)


def grown(hub: Living, first: int, last: int) -> None:
    """Capture events, and wait until the chain holds them."""
    until(lambda: capture(hub, first) == 201, "the log takes events")
    for number in range(first + 1, last + 1):
        assert capture(hub, number) == 201
    anchored(hub, last)


def restored(hub: Living, backup: Path, folder: Path) -> Living:
    """The same hub on what a backup held."""
    bootstrap.restore(backup, folder)
    assert (folder / "restored.json").exists()
    return replace(hub, installation=Installation(folder))


def test_a_restored_log_that_is_behind_the_chain_signs_no_other_history(
    hub: Living, place: tuple[Path, int], tmp_path: Path
) -> None:
    with chain_at(place):
        hub.start()
        grown(hub, 1, 3)
        with HubClient(hub.folder, bearer=MAINTAINER) as maintainer:
            make(hub.folder, tmp_path / "early.tar.zst", ask=maintainer.copy_points)
        grown(hub, 4, 5)
        hub.stop()
        make(hub.folder, tmp_path / "late.tar.zst")

        old = restored(hub, tmp_path / "early.tar.zst", tmp_path / "early")
        old.start()
        until(lambda: "the chain holds size 5, this log has 3" in part(old, "custody")[1], "the log is closed")
        ok, why = part(old, "custody")
        assert not ok
        assert "restore a newer backup, or let it go on under another name" in why
        assert capture(old, 9) == 503
        assert part(old, "store")[0], "readings go on"
        old.stop()
        assert (old.folder / "restored.json").exists()
        assert "3 entries" in fsck(old.folder)[1]["custody entries"]["detail"]

        with pytest.raises(ConfigError, match="is this log's name already"):
            bootstrap.restore(tmp_path / "early.tar.zst", tmp_path / "no", new_log="tweeling.local/demo")
        bootstrap.restore(tmp_path / "early.tar.zst", old.folder, force=True, new_log="tweeling.local/second")
        assert fsck(old.folder)[0] == 0
        old.start()
        grown(old, 4, 5)
        old.stop()
        assert fsck(old.folder)[0] == 0
        assert b"tweeling.local/second" in old.installation.trust.read_bytes()

        new = restored(hub, tmp_path / "late.tar.zst", tmp_path / "late")
        new.start()
        grown(new, 6, 7)
        new.stop()
        assert not (new.folder / "restored.json").exists()
        assert fsck(new.folder)[0] == 0


def test_a_restored_log_waits_for_its_chain_and_any_other_does_not(
    hub: Living, place: tuple[Path, int], tmp_path: Path
) -> None:
    with chain_at(place):
        hub.start()
        grown(hub, 1, 2)
        hub.stop()
    make(hub.folder, tmp_path / "hub.tar.zst")
    again = restored(hub, tmp_path / "hub.tar.zst", tmp_path / "again")
    again.start()
    until(lambda: "it was restored, and its ledger has not been asked yet" in part(again, "custody")[1], "it waits")
    assert capture(again, 3) == 503
    with chain_at(place):
        grown(again, 3, 3)
    again.stop()
    again.start()
    until(lambda: capture(again, 4) == 201, "a chain that is down blocks no log that was compared once")
    again.stop()
