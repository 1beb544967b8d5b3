"""Messages as no node would send them: real ones, mutated in their bytes or in their meaning, and noise. Seeded."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import cbor2
from support_ingest import EPOCH, NOW, envelope, reading, weighing

from tweeling.ports.inbox import Message
from tweeling.wire import senml
from tweeling.wire.ack import Ack, State
from tweeling.wire.envelope import Envelope

UP = "tweeling/v1/H1/n1/up"
_ODD_TOPICS = (
    "",
    "/",
    "tweeling/v1/H1/n1/",
    "tweeling/v1/+/n1/up",
    "tweeling/v1/H1/#",
    "tweeling/v1/H 1/n1/up",
    "\x00",
)
_TOKENS = (
    *(b"null", b"true", b"-0", b"0.0", b"-0.0", b"1e999", b"NaN", b"-Infinity", b'""', b"[]", b"{}", b'"\\ud800"'),
    *(b"9" * 40, b"1" + b"0" * 400, b"9007199254740993", b"18446744073709551616", b"[" * 60, b'{"a":' * 60),
    *(b'"n":"H1-A/x",', b'"v":1,', b'"pack":[],', b'"runs":[[1,1,1]],', b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\x00"),
    *(b"\xef\xbb\xbf", b" ", b"\n", b"\t", b"\\u0000", b"\xf9\x7e\x00", b"\xc2\x49\x01" + b"\x00" * 8, b"\x9f\xff"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 10**400, -(10**30)),
    *(0.0, -0.0, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), float("-inf")),
    *("", "x", "H1-A/fillingLevel", "a/b", "in", "g", "/", "%", "furlong", "n" * 300, "\x00", "\u202e", "é", EPOCH),
    *([], {}, [[]], [[1, 1, 1]], [[1, 2]], {"n": "a/b"}, [[[[[[[[[[]]]]]]]]]], b"\x00\xff"),
)


_AS_LONG = 50  # messages that are made of the same envelopes


class Fuzzer:
    """An endless supply."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._made = 0
        self._renew()
        self._others = [
            Ack(epoch=EPOCH, committed=((1, 4),), refused=((7, 7, "no unit"),), want=((5, 6),), rate=3.5).encode(),
            State(online=True, since_ms=NOW, epoch=EPOCH, software="0.1", queued=3).encode(),
        ]

    def _renew(self) -> None:
        """A node goes on: its next envelopes carry other seqs."""
        self._envelopes = _envelopes(30 * (self._made // _AS_LONG))
        self._corpus = [made.to_json() for made in self._envelopes] + [made.to_cbor() for made in self._envelopes]

    def message(self) -> Message:
        """One message on some topic."""
        return Message(self._topic(), self.payload())

    def payload(self) -> bytes:
        """Bytes that are, were, or might be a payload."""
        self._made += 1
        if self._made % _AS_LONG == 0:
            self._renew()
        choice = self._random
        kind = choice.random()
        if kind < 0.05:
            return choice.randbytes(choice.randrange(64))
        if kind < 0.1:
            return self._mutated(choice.choice(self._others))
        if kind < 0.15:
            return choice.choice(self._corpus)
        if kind < 0.55:
            return self._mutated(choice.choice(self._corpus))
        return self._changed()

    def _topic(self) -> str:
        choice = self._random
        kind = choice.random()
        if kind < 0.9:
            return UP
        if kind < 0.94:
            return choice.choice(("tweeling/v1/H1/n2/up", "tweeling/v1/H2/n1/up", "tweeling/v1/H1/n1/state"))
        if kind < 0.97:
            return choice.choice((*_ODD_TOPICS, "tweeling/v1/H1/n1/ack", "tweeling/v1/H1/n1/cmd"))
        text = list(UP)
        text[choice.randrange(len(text))] = chr(choice.choice((choice.randrange(128), choice.randrange(0xD800))))
        return "".join(text)

    def _mutated(self, data: bytes) -> bytes:
        for _ in range(self._random.choice((1, 1, 1, 2, 3, 8))):
            data = self._random.choice(_BYTES)(self._random, data, self._corpus)
        return data

    def _changed(self) -> bytes:
        """An envelope changed in its meaning, in either encoding."""
        choice = self._random
        body = json.loads(choice.choice(self._envelopes).to_json())
        for _ in range(choice.choice((1, 1, 1, 2, 3))):
            _change(choice, body)
        if choice.random() < 0.5:
            text = json.dumps(body, default=repr, ensure_ascii=choice.random() < 0.5)
            if choice.random() < 0.1:  # a key twice
                name = choice.choice(("v", "node", "epoch", "runs", "pack", "low"))
                text = f'{{"{name}":{json.dumps(choice.choice(_VALUES), default=repr)},{text[1:]}'
            return text.encode("utf-8", "surrogatepass")
        if isinstance(body.get("pack"), list):
            body["pack"] = [senml.to_cbor(row) if isinstance(row, dict) else row for row in body["pack"]]
        return cbor2.dumps(body)


def _value(choice: random.Random) -> Any:
    return copy.deepcopy(choice.choice(_VALUES))


def _change(choice: random.Random, body: dict[str, Any]) -> None:
    """Swap a value for another, or take a field away, or put one in: in the envelope or in a record."""
    place: Any = body
    rows = body.get("pack")
    if choice.random() < 0.6 and isinstance(rows, list) and rows:
        place = choice.choice(rows)
    elif choice.random() < 0.3 and isinstance(body.get("runs"), list) and body["runs"]:
        place = choice.choice(body["runs"])
    if isinstance(place, list):
        if place:
            place[choice.randrange(len(place))] = _value(choice)
        return
    if not isinstance(place, dict):
        return
    kind = choice.random()
    names = list(place)
    if kind < 0.6 and names:
        place[choice.choice(names)] = _value(choice)
    elif kind < 0.75 and names:
        del place[choice.choice(names)]
    else:
        fields = ("n", "u", "v", "t", "bn", "bt", "bu", "bv", "bs", "bver", "vb", "vs", "vd", "s", "ut", "mv_", "grs")
        place[choice.choice((*fields, "tar", "lot", "zz", "dropped", "ask", "low"))] = _value(choice)


Mutator = Callable[[random.Random, bytes, list[bytes]], bytes]


def _flip(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    if not data:
        return b"\x01"
    at = choice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << choice.randrange(8)]) + data[at + 1 :]


def _replace(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at = choice.randrange(len(data) + 1)
    return data[:at] + choice.randbytes(1) + data[at + 1 :]


def _truncate(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    return data[: choice.randrange(len(data) + 1)]


def _splice(choice: random.Random, data: bytes, corpus: list[bytes]) -> bytes:
    other = choice.choice(corpus)
    return data[: choice.randrange(len(data) + 1)] + other[choice.randrange(len(other)) :]


def _insert(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at = choice.randrange(len(data) + 1)
    return data[:at] + choice.choice(_TOKENS) + data[at:]


def _overwrite(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at = choice.randrange(len(data) + 1)
    token = choice.choice(_TOKENS)
    return data[:at] + token + data[at + choice.randrange(len(token) + 1) :]


def _remove(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at = choice.randrange(len(data) + 1)
    return data[:at] + data[at + choice.randrange(1, 9) :]


def _repeat(choice: random.Random, data: bytes, _: list[bytes]) -> bytes:
    at = choice.randrange(len(data) + 1)
    end = at + choice.randrange(1, 40)
    return data[:end] + data[at:end] * choice.choice((1, 2, 50)) + data[end:]


_BYTES: tuple[Mutator, ...] = (
    _flip,
    _flip,
    _replace,
    _truncate,
    _splice,
    _insert,
    _insert,
    _overwrite,
    _remove,
    _repeat,
)


def _envelopes(after: int) -> list[Envelope]:
    """Every kind that is real: plain, with base fields, with weighings, refused, dropped, empty, full."""
    based = [
        {"bn": "H1-", "bt": NOW / 1000, "bu": "%", "n": "A/fillingLevel", "v": 40},
        {"n": "B/fillingLevel", "v": 41},
    ]
    many = senml.encode([reading(seq / 100, at=NOW - seq) for seq in range(20)])
    at = after + 1
    return [
        envelope({at: [reading(0.25)], at + 1: [reading(0.5, unit="%")]}),
        envelope({at + 2: [reading(0.1), weighing(1500, grs=2000, tar=500, lot="L1", par="T1", tkt="7")]}),
        envelope({at + 3: [{"n": "H1-B/x", "u": "furlong", "v": 2}], at + 4: [reading(at=NOW + 10**9)]}, low=at),
        envelope({at + 5: [reading(0.25)]}, dropped=((at + 6, at + 7, "quota"),), ask=True),
        envelope({}, ask=True),
        Envelope(node="n1", epoch=EPOCH, runs=((at + 8, at + 9, 1),), pack=based),
        Envelope(node="n1", epoch=EPOCH, runs=((at + 10, at + 29, 1),), low=at, pack=many),
        Envelope(node="n1", epoch="00000000000000bb", runs=((at, at, 20),), pack=many),
    ]
