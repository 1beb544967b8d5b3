"""A running hub's custody log, read over HTTP as a public tool reads it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest
from support_custody import shipping
from support_living import Living, living_hub
from support_rfc9162 import Tree, extends, leaf
from support_tlog import Head, Tiles, entries, hashes, leaves_of, opened, path_of, root_of, tile_above, widths

from tweeling.cli.bench.manyentries import fill
from tweeling.domain import merkle
from tweeling.verify import TrustedLog

ENTRIES = 70_000  # the example of tlog-tiles


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Living]:
    with living_hub(tmp_path_factory.mktemp("log")) as hub:
        fill(hub.folder / "records.db", ENTRIES)
        hub.start()
        yield hub


@pytest.fixture(scope="module")
def log(hub: Living) -> Iterator[Log]:
    with httpx.Client(base_url=f"http://127.0.0.1:{hub.port}/log", trust_env=False, timeout=30) as client:
        log = Log(client, TrustedLog.parse((hub.folder / "trust.json").read_bytes()).verifier_key)
        log.wait_for(ENTRIES)
        yield log


class Log:
    """What anyone can ask, who has the log's address and its verifier key."""

    def __init__(self, client: httpx.Client, vkey: str) -> None:
        self._client, self._vkey = client, vkey

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def fetch(self, path: str) -> bytes:
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.text)
        return answer.content

    def head(self) -> Head:
        return opened(self.fetch("checkpoint"), self._vkey)

    def wait_for(self, size: int) -> Head:
        deadline = time.monotonic() + 60
        while self.get("checkpoint").status_code == 404 or self.head().size < size:
            assert time.monotonic() < deadline
            time.sleep(0.2)  # nothing tells a stranger of a new checkpoint but the next question
        return self.head()


def test_the_root_and_every_tile_follow_from_the_entries(log: Log) -> None:
    head = log.head()
    assert (len(widths(ENTRIES, 0)), widths(ENTRIES, 0)[-1]) == (274, 112)
    assert (widths(ENTRIES, 1), widths(ENTRIES, 2)) == ([256, 17], [1])
    level: list[bytes] = leaves_of(entries(log.fetch, 0, ENTRIES))
    assert root_of(level) == (head.root if head.size == ENTRIES else Tiles(log.fetch, head.size).span(0, ENTRIES))
    for number in range(3):
        assert hashes(log.fetch, ENTRIES, number) == level
        level = tile_above(level)
    assert level == []


def test_what_the_log_grows_by_is_proven_from_its_tiles(hub: Living, log: Log) -> None:
    before = log.head()
    token = hub.installation.token("partners").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for number in range(1, 4):
        event = json.dumps(shipping(number))
        answer = httpx.post(f"http://127.0.0.1:{hub.port}/events", content=event, headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["index"]) == (201, before.size + number - 1)
    after = log.wait_for(before.size + 3)
    tiles = Tiles(log.fetch, after.size)
    tree = Tree(tiles.span)
    assert extends(before.size, before.root, after.size, after.root, tree.consistency(before.size, after.size))
    old = log.fetch(path_of(0, before.size // 256, before.size % 256))
    assert log.fetch(path_of(0, after.size // 256, after.size % 256))[: len(old)] == old
    bodies = entries(log.fetch, before.size - before.size % 256, after.size)
    for index in (0, 255, 256, 65_535, 65_536, before.size - 1, before.size, after.size - 1):
        held, proof = tiles.span(index, index + 1), tree.inclusion(index, after.size)
        merkle.verify_inclusion(index=index, size=after.size, leaf=held, proof=proof, root=after.root)
        if index >= after.size - len(bodies):
            assert held == leaf(bodies[index - after.size + len(bodies)])


def test_each_part_says_what_it_is_and_how_long_it_stays(log: Log) -> None:
    head = log.get("checkpoint")
    assert head.headers["content-type"] == "text/plain; charset=utf-8"
    assert head.headers["cache-control"] == "public, max-age=1"
    for path in ("tile/0/000", "tile/entries/000", "tile/2/000.p/1", "tile/0/273.p/112"):
        answer = log.get(path)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *("tile/0/273", "tile/0/273.p/255", "tile/entries/274", "tile/1/001", "tile/2/000", "tile/3/000.p/1"),
        *("tile/0/x999/x999/x999/x999/x999/x999/999", "tile/63/000.p/1", "tile/64/000", "tile/0/0", "tile/0/000.p/256"),
        *("tile/0/%30%30%30", "tile/%65ntries/000", "tile/entries/000/", "tile//0/000", "tile", "tile/", "", "other"),
    ],
)
def test_what_is_beyond_the_checkpoint_or_spelled_otherwise_is_not_there(log: Log, path: str) -> None:
    answer = log.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
