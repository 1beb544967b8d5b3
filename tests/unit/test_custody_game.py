"""A game: two logs differ in hidden values alone, and who has all that is public, and a redacted receipt, says which.

The attacker knows every value there can be, has every tile, every bundle, every checkpoint and some receipts, and may
take any bytes found there for a salt or a key. Each way in which a log could give itself away is then built in, and has
to be found.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

import pytest
from support_custody import Bench, shipping
from support_rfc9162 import leaf
from support_tlog import entries, hashes, widths

from tweeling.domain import entry, receipt, tile
from tweeling.domain.canonical import jcs
from tweeling.domain.log import Disclosure
from tweeling.services.publishing import PublishedLog

EVENTS = 270  # so that there is a tile of the second level
HIDDEN = "sourceList"
CANDIDATES = [[{"type": "possessing_party", "source": f"urn:tweeling:party:T{number}"}] for number in range(10, 14)]
LOTS = [f"urn:epc:class:lgtin:4012345.011111.{number}" for number in range(5)]


class View(NamedTuple):
    """All that an attacker has."""

    entries: list[bytes]
    tiles: list[bytes]
    notes: list[bytes]
    receipts: list[bytes]

    @property
    def commitments(self) -> Counter[bytes]:
        return Counter(each for body in self.entries for each in _commitments(body))


def _commitments(body: bytes) -> list[bytes]:
    """All of an entry but its short head."""
    return [body[at : at + 32] for at in range(len(body) % 32, len(body), 32)]


def _tossed(secret: int) -> list[Any]:
    coin = Random(secret)
    return [coin.choice(CANDIDATES) for _ in range(EVENTS)]


def play(secret: int, *, seed: int) -> View:
    """A log of many events whose hidden values a coin decides; `secret` is the coin's seed, `seed` all other chance."""
    bench = Bench(seed=seed)
    log, notes = PublishedLog(bench.store), []
    for number, value in enumerate(_tossed(secret)):
        bench.clock.ms += 1000
        bench.capture(shipping(number, lot=LOTS[number % len(LOTS)], **{HIDDEN: value}))
        if number % 54 == 53:
            bench.integrate()
            notes.append(log.checkpoint() or b"")

    def fetch(path: str) -> bytes:
        named = tile.parse(path.removeprefix("tile/"))
        assert named is not None
        return log.read(named) or b""

    levels = [hashes(fetch, EVENTS, level) for level in range(2) if widths(EVENTS, level)]
    receipts = [bench.custody.receipt(shipping(number)["eventID"], redact=[HIDDEN]) for number in (0, 1, 7, 255, 269)]
    return View(entries(fetch, 0, EVENTS), [value for level in levels for value in level], notes, receipts)


def features(view: View) -> dict[str, Any]:
    """Everything that can be counted or measured without a secret; what is chance in it is left out."""
    shown = [receipt.read(data) for data in view.receipts]
    chance = {"/lot/1"}  # hashes of a random key and of an earlier entry
    return {
        "lengths": [len(body) for body in view.entries],
        "heads": [body[: len(body) % 32] for body in view.entries],
        "sorted": [sorted(_commitments(body)) == _commitments(body) for body in view.entries],
        "repeated": [count for count in view.commitments.values() if count > 1],
        "tiles": len(view.tiles),
        "notes": [[len(line) for line in note.splitlines()] for note in view.notes],
        "receipts": [len(data) for data in view.receipts],
        "names": [[item.name for item in each.disclosures] for each in shown],
        "values": [[item.value for item in each.disclosures if item.name not in chance] for each in shown],
        "salts": {len(item.salt) for each in shown for item in each.disclosures},
        "hidden": [len(entry.read(each.entry).commitments) - len(each.disclosures) for each in shown],
    }


def material(view: View) -> set[bytes]:
    """Every byte string that could be a salt or a key."""
    found = {b"", bytes(16), bytes(32), *view.tiles, *view.commitments, *map(leaf, view.entries)}
    for data in view.receipts:
        read = receipt.read(data)
        found |= {read.signature, read.cose[-64:], hashlib.sha256(read.entry).digest()}
        for item in read.disclosures:
            found |= {item.salt, item.value.encode(), item.name.encode(), entry.digest(item)}
            found |= {_unpacked(text) for text in _strings(json.loads(item.value))}
    return found


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)


def _unpacked(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return text.encode()


def attack(view: View) -> Iterator[str]:
    """Each finding that a candidate value, or a link between two entries, stands in the log."""
    keys, commitments, leaves = material(view), view.commitments, [leaf(body) for body in view.entries]
    targets = commitments.keys() | set(view.tiles)
    values = [jcs(candidate) for candidate in CANDIDATES]
    values += [
        made
        for value in values
        for made in (hashlib.sha256(value).digest(), hashlib.sha256(value).hexdigest().encode())
    ]
    for key in keys:
        if hmac.digest(key, b"", "sha256") in targets:
            yield "first entry of a lot"
        for value in values:
            guesses: Iterable[bytes] = (
                hashlib.sha256(key + value).digest(),
                hashlib.sha256(value + key).digest(),
                hmac.digest(key, value, "sha256"),
                hmac.digest(value, key, "sha256"),
            )
            if not targets.isdisjoint(guesses):
                yield "value"
    for key in keys:
        for value in CANDIDATES:
            if len(key) >= 16 and entry.digest(Disclosure(key[:16], HIDDEN, jcs(value).decode())) in targets:
                yield "disclosure"
        for previous in leaves[: len(LOTS)]:
            if hmac.digest(key, previous, "sha256") in targets:
                yield "link"


@pytest.fixture(scope="module")
def worlds() -> list[View]:
    return [play(secret, seed=seed) for secret, seed in ((1, 1), (2, 1), (3, 2))]


def test_the_two_logs_look_alike_in_everything_that_can_be_measured(worlds: list[View]) -> None:
    first, *others = map(features, worlds)
    for other in others:
        assert other == first
    assert first["repeated"] == []
    assert all(first["sorted"])


def test_with_the_same_chance_two_entries_differ_by_what_is_hidden_and_nothing_else(worlds: list[View]) -> None:
    before, differs = dict.fromkeys(LOTS, False), []
    for number, (one, other) in enumerate(zip(_tossed(1), _tossed(2), strict=True)):
        lot = LOTS[number % len(LOTS)]
        # The value, the hash of the whole, the signature; and the link to an entry that differs, with what names it.
        differs.append(3 * (one != other) + 2 * before[lot])
        before[lot] = differs[-1] > 0
    pairs = zip(worlds[0].entries, worlds[1].entries, strict=True)
    assert [len({*_commitments(one)} - {*_commitments(other)}) for one, other in pairs] == differs
    assert {0, 2, 3, 5} == set(differs)


def test_no_candidate_and_no_link_is_found_with_any_bytes_there_are(worlds: list[View]) -> None:
    assert list(attack(worlds[0])) == []


def _rewritten(view: View, change: Callable[[int, list[bytes]], list[bytes]]) -> View:
    """A log whose entries were made in another way."""
    bodies = [
        body[: len(body) % 32] + b"".join(change(number, _commitments(body)))
        for number, body in enumerate(view.entries)
    ]
    return view._replace(entries=bodies)


def _once(view: View, commitment: bytes) -> View:
    """A log that has, in one entry, this in place of another commitment."""
    return _rewritten(view, lambda number, known: sorted([commitment, *known[1:]]) if number == 42 else known)


def _salted(salt: bytes, value: int) -> bytes:
    return entry.digest(Disclosure(salt, HIDDEN, _value(value).decode()))


def _value(number: int) -> bytes:
    return jcs(CANDIDATES[number % len(CANDIDATES)])


def _shown(view: View) -> dict[str, Disclosure]:
    return {item.name: item for item in receipt.read(view.receipts[0]).disclosures}


def _named_key(view: View) -> bytes:
    """The hash by which a receipt names its lot's key."""
    return _unpacked(json.loads(_shown(view)["/lot/1"].value)["key"])


FOUND: dict[str, Callable[[View], View]] = {
    "no salt": lambda view: _once(view, hashlib.sha256(_value(2)).digest()),
    "a salt of zeros": lambda view: _once(view, _salted(bytes(16), 1)),
    "the salt of a field that is shown": lambda view: _once(view, _salted(_shown(view)["action"].salt, 3)),
    "a salt that is another commitment": lambda view: _once(view, _salted(_commitments(view.entries[9])[3][:16], 0)),
    "keyed by a leaf": lambda view: _once(view, hmac.digest(leaf(view.entries[7]), _value(4), "sha256")),
    "a hash of the value in the tree": lambda view: view._replace(
        tiles=[*view.tiles[1:], hashlib.sha256(_value(5)).digest()]
    ),
    "a lot's links keyed by what a receipt shows": lambda view: _once(
        view, hmac.digest(_named_key(view), leaf(view.entries[0]), "sha256")
    ),
    "a lot's key of zeros": lambda view: _once(view, hmac.digest(bytes(32), b"", "sha256")),
}
SEEN: dict[str, Callable[[View], View]] = {
    "one commitment for one value": lambda view: _rewritten(
        view, lambda number, known: sorted([hashlib.sha256(b"secret" + _value(number)).digest(), *known[1:]])
    ),
    "a commitment more for some values": lambda view: _rewritten(
        view, lambda number, known: sorted([*known, bytes(32)]) if number % 7 == 0 else known
    ),
    "in the order of the fields": lambda view: _rewritten(view, lambda _, known: known[::-1]),
}


@pytest.mark.parametrize("leak", FOUND)
def test_a_log_in_which_a_value_can_be_found_is_caught(worlds: list[View], leak: str) -> None:
    leaky = FOUND[leak](worlds[0])
    assert features(leaky) == features(worlds[1]), "nothing is to be seen, it has to be found"
    assert next(attack(leaky), None) is not None


@pytest.mark.parametrize("leak", SEEN)
def test_a_log_whose_entries_look_otherwise_is_caught(worlds: list[View], leak: str) -> None:
    assert features(SEEN[leak](worlds[0])) != features(worlds[1])
