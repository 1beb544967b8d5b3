"""What had no meaning, from a real broker through a real hub: seen, replayed after a fix, committed once."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from support_broker import Client, until
from support_fsck import FURLONG, found, fsck, install, opened
from support_ingest import EPOCH, NOW, message, weighing
from support_living import Living, living_hub

from tweeling.cli.client import HubClient
from tweeling.cli.installation import MAINTAINER
from tweeling.cli.main import run
from tweeling.cli.remote_points import RemotePoints
from tweeling.domain import units
from tweeling.domain.points import Point, Points
from tweeling.errors import RejectedError
from tweeling.ports.inbox import Message
from tweeling.services.quarantine import ANY
from tweeling.wire.ack import Ack
from tweeling.wire.envelope import Envelope

UP = "tweeling/v1/H1/n1/up"
FIXED_UP = (
    "import sys; from tweeling.domain import units; from tweeling.cli.main import run;"
    "units._CONVERSIONS['furlong'] = units.Conversion('m', 201.168);"
    "sys.argv.insert(1, 'up'); sys.exit(run())"
)


def tweeling(folder: Path, *words: str | int, code: int = 0) -> str:
    """As the command line does it, in this process."""
    told = io.StringIO()
    with redirect_stdout(told), redirect_stderr(told), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tweeling", "quarantine", *map(str, words), "--data", str(folder)])
        assert run() == code, told.getvalue()
    return told.getvalue()


@contextmanager
def fixed() -> Iterator[None]:
    """A program that knows one unit more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(units._CONVERSIONS, "furlong", units.Conversion("m", 201.168))
        yield


def rows(folder: Path, *words: str | int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in tweeling(folder, "list", "--json", *words).splitlines()]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Living]:
    with living_hub(tmp_path) as hub:
        yield hub


@pytest.mark.timeout(180)
def test_what_a_running_hub_had_not_understood_is_committed_once_after_a_fix(hub: Living) -> None:
    hub.start()
    odd = message({1: [FURLONG], 2: [weighing(7)], 3: [FURLONG, weighing(9)]})
    with Client(hub.broker, hub.broker.node("H1", "n1")) as node, hub.client() as client:
        node.published(UP, b"junk \x1b[31m")
        node.published(*odd)
        until(lambda: client.status()["counts"]["quarantined"] == 2, "both are in quarantine")
    seen = rows(hub.folder, "--reason", "furlong")
    assert [(row["topic"], row["size"], row["seen"]) for row in seen] == [(UP, len(odd.payload), 1)]
    assert seen[0]["reason"] == "seq 1: unit 'furlong' is unknown; seq 3: unit 'furlong' is unknown"
    assert "\x1b" not in tweeling(hub.folder, "list")
    junk = rows(hub.folder, "--reason", "CBOR")[0]["id"]
    assert "payload   junk \\u001b[31m" in tweeling(hub.folder, "show", junk)
    shown = json.loads(tweeling(hub.folder, "show", junk, "--json"))
    assert base64.b64decode(shown["payload"]) == b"junk \x1b[31m"
    assert "replayed 2 messages: committed 0 readings and 0 weighings; 2 are suspect still" in tweeling(
        hub.folder, "replay", "--all"
    )
    hub.stop()
    hub.start((sys.executable, "-c", FIXED_UP))
    assert "replayed 2 messages: committed 2 readings and 1 weighings; 1 are suspect still" in tweeling(
        hub.folder, "replay", "--all"
    )
    assert "replayed 1 messages: committed 0 readings" in tweeling(hub.folder, "replay", "--all")
    point = Points.of([Point("H1/H1-B/distance", NOW, 0.0)])
    with hub.client() as client:
        stored = RemotePoints(client)
        until(lambda: stored.find(point).there.tolist() == [True], "the store has it")
        assert stored.find(point).values.tolist() == [402.336]
        counts = client.status()["counts"]
        assert (counts["readings_in"], counts["movements"], counts["refused"]) == (2, 2, 0)
    with Client(hub.broker, hub.broker.node("H1", "n1")) as node:
        node.subscribe("tweeling/v1/H1/n1/ack")
        node.published(UP, Envelope(node="n1", epoch=EPOCH, ask=True).to_json())
        answer = Ack.decode(node.receive()[1])
        assert (answer.committed, answer.refused, answer.known) == (((1, 3),), (), True)
        node.published(*odd)
        assert Ack.decode(node.receive()[1]).committed == ((1, 3),)
    hub.stop()
    code, checks = fsck(hub.folder)
    names = {name for name, check in checks.items() if not check["ok"]}
    assert (code, names) == (3, {"journal batches", "journal ranges", "points"})  # by us, without the fix
    with fixed():
        code, checks = fsck(hub.folder)
        assert code == 0, [found(check) for check in checks.values()]


def test_only_the_maintainers_token_replays_and_it_reads_nothing(hub: Living) -> None:
    hub.start()
    with hub.client() as reader, HubClient(hub.folder, bearer=MAINTAINER) as maintainer:
        assert reader.messages(9, before=None, words=ANY) == []
        with pytest.raises(RejectedError, match="needs a token with role maintain"):
            reader.replay()
        assert maintainer.replay().replayed == 0
        with pytest.raises(RejectedError, match="needs a token with role operator or query"):
            maintainer.status()
        with pytest.raises(RejectedError, match="message 7 is not in quarantine"):
            maintainer.replay(7)
        with pytest.raises(RejectedError, match="message 7 is not in quarantine"):
            reader.message(7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    install(tmp_path / "hub")
    return tmp_path / "hub"


def test_the_quarantine_of_a_hub_that_is_stopped_is_replayed_in_its_files(folder: Path) -> None:
    assert [row["reason"][:7] for row in rows(folder)] == ["unknown", "seq 50:", "neither"]
    assert [row["topic"] for row in rows(folder, "--limit", 1)] == ["elsewhere"]
    newest, *rest = rows(folder)
    assert rows(folder, "--before", newest["id"]) == rest
    assert rows(folder, "--topic", "H1/n1") == rest
    wrong = tweeling(folder, "replay", code=2)
    assert "say which messages" in wrong
    assert "message 99 is not in quarantine" in tweeling(folder, "replay", 99, code=1)
    assert "3 are suspect still" in tweeling(folder, "replay", "--all")
    seq = rows(folder, "--reason", "furlong")[0]["id"]
    with fixed():
        told = tweeling(folder, "replay", seq, "--json")
    assert json.loads(told) == {"replayed": 1, "readings": 1, "movements": 0, "suspect": 0}
    assert len(rows(folder)) == 2
    with fixed():
        code, checks = fsck(folder)
        assert code == 0, [found(check) for check in checks.values()]
    assert "through batch 14 of 14" in checks["points"]["detail"]


def test_many_messages_are_replayed_page_by_page(folder: Path) -> None:
    with opened(folder) as hub:
        for start in range(0, 1000, 100):
            messages = [message({seq: [FURLONG]}, node="n4") for seq in range(start + 1, start + 51)]
            hub.ingest.handle([*messages, *(Message(UP, b"junk %d" % seq) for seq in range(start, start + 50))])
    with fixed():
        told = json.loads(tweeling(folder, "replay", "--all", "--json"))
    assert told == {"replayed": 1003, "readings": 501, "movements": 0, "suspect": 502}
    assert len(rows(folder, "--limit", 1000)) == 502
