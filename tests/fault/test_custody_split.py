"""Two hubs with one log, one key and one contract: that takes one history, and the other hub signs on no more."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from support_broker import until
from support_rig_custody import CustodyRig, custody_rig
from support_rig_program import Program
from support_rig_rude import good
from support_servers import lasting_port

from tweeling.cli.client import HubClient
from tweeling.cli.installation import Installation
from tweeling.errors import UnavailableError


def _part(folder: Path, name: str) -> tuple[bool, str]:
    try:
        with HubClient(folder) as client:
            return next((each["ok"], each["detail"]) for each in client.status()["parts"] if each["part"] == name)
    except UnavailableError:
        return False, ""


def _capture(url: str, token: str, number: int) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{url}/events", json=good(number), headers=headers, trust_env=False).status_code


def _copied(rig: CustodyRig, folder: Path) -> tuple[Program, str]:
    """A second operator's hub on a copy of the folder, and its address."""
    shutil.copytree(rig.installation.folder, folder)
    port, there = lasting_port(), Installation(folder)
    text = there.config.read_text()
    mine = rig.clients.url.rsplit(":", 1)[1]
    assert f"port = {mine}" in text
    there.config.write_text(text.replace(f"port = {mine}", f"port = {port}"))
    argv = [sys.executable, "-m", "tweeling", "up", there.config]
    return Program("other hub", argv, ready="hub.ready", log=folder.with_suffix(".log")), f"http://127.0.0.1:{port}"


@contextmanager
def _two_hubs(folder: Path) -> Iterator[tuple[CustodyRig, Program, str]]:
    """A hub with one anchored event, stopped, and a copy of it, with the address that the copy will have."""
    with custody_rig(folder) as rig:
        rig.start()
        until(lambda: _capture(rig.clients.url, rig.clients.capture_token, 1) == 201, "the log takes events")
        until(lambda: "anchored to size 1 in" in rig.part("ledger"), "size 1 is anchored")
        assert rig.hub.terminate() == 0
        other, url = _copied(rig, folder / "other")
        yield rig, other, url


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_of_two_hubs_with_one_log_the_contract_stops_one_which_signs_on_no_more(tmp_path: Path) -> None:
    with _two_hubs(tmp_path) as (rig, other, url):
        token = rig.clients.capture_token
        with other:
            rig.start()
            until(lambda: _capture(rig.clients.url, token, 2) == 201, "the first goes on")
            until(lambda: "anchored to size 2 in" in rig.part("ledger"), "size 2 is anchored")
            other.start()
            until(lambda: _capture(url, token, 3) == 503, "the other takes nothing in")
            ok, why = _part(tmp_path / "other", "custody")
            assert not ok
            assert (
                "takes nothing in: head.size: the chain holds size 2, this log has 1: a lost or another history" in why
            )
            assert "restore a newer backup, or let it go on under another name (`tweeling restore" in why
            assert other.said("log.closed") == other.said("anchoring.refused") == 1
            assert _part(tmp_path / "other", "store")[0], "readings go on"
            assert other.terminate() == 0
        assert _capture(rig.clients.url, token, 4) == 201
        until(lambda: "anchored to size 3 in" in rig.part("ledger"), "size 3 is anchored")
        assert rig.hub.terminate() == 0
        rig.fsck()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_hubs_that_grew_one_log_apart_are_told_so_by_contract_and_auditor(tmp_path: Path) -> None:
    with _two_hubs(tmp_path) as (rig, other, url):
        token = rig.clients.capture_token
        with other:
            other.start()
            rig.start()
            until(lambda: _capture(url, token, 3) == 201, "the other takes an event")
            until(lambda: "anchored to size 2 in" in _part(tmp_path / "other", "ledger")[1], "and is first")
            until(lambda: _capture(rig.clients.url, token, 2) in {201, 503}, "the first takes another, or knows by now")
            until(lambda: _capture(rig.clients.url, token, 4) == 503, "it stops")
            ok, why = _part(rig.installation.folder, "custody")
            assert not ok
            assert "the chain holds" in why
            signed = rig.newest_checkpoint()
            until(lambda: rig.hub.said("anchoring.refused") == 1, "it says so, once")
            assert _capture(rig.clients.url, token, 5) == 503
            assert rig.newest_checkpoint() == signed, "and signs on no more"
            assert _capture(url, token, 6) == 201
            until(lambda: "anchored to size 3 in" in _part(tmp_path / "other", "ledger")[1], "the other goes on")
            assert other.terminate() == 0
        assert rig.hub.terminate() == 0
        assert not rig.fsck(code=3)["custody chain"]["ok"]
