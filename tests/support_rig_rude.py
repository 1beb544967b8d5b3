"""What no partner should send: events broken in every way, huge, twice, under strange names; the same by seed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any, NamedTuple

from support_custody import shipping

REFUSED = frozenset({400, 401, 403, 404, 405, 409, 411, 413, 415, 431, 503})
"""How a hub may answer what it does not take."""

_STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 1e400, 10**40, "", "x" * 5000, "\x00", "\ud800", "\u202e", "urn:x:\n"),
    *([], {}, [[]], [None] * 50, {"": ""}, {"type": "ObjectEvent"}, "ObjectEvent", ["urn:a"] * 2000),
)


class Rude(NamedTuple):
    """A request."""

    method: str
    path: str
    content: bytes
    headers: dict[str, str]


def request(rng: Random, token: str, number: int) -> Rude:
    """Make one up. number: of a good event that may be there already."""
    kind = rng.choice(tuple(_KINDS))
    mine = number if kind == "again" else 10**9 + rng.randrange(10**6)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return _KINDS[kind](rng, good(number, mine), headers)


def good(number: int, id_: int | None = None) -> dict[str, Any]:
    """An event that a hub takes, once."""
    return shipping(id_ or number, lot=f"urn:epc:class:lgtin:4012345.011111.{number % 5}")


def _again(_: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    return _post(json.dumps(event).encode(), headers)


def _mutated(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    """Some member, however deep, is something else, gone, or one too many."""
    holder: Any = event
    while True:
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = rng.choice(keys)
        inner = holder[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.6:
            holder = inner
            continue
        break
    match rng.randrange(3):
        case 0:
            holder[key] = rng.choice(_STRANGE)
        case 1:
            del holder[key]
        case _ if isinstance(holder, dict):
            holder[rng.choice(("", "x", "a:b", "@y", "/jcs", "\x00:"))] = rng.choice(_STRANGE)
        case _:
            holder.append(rng.choice(_STRANGE))
    return _post(json.dumps(event).encode(), headers)


def _bitten(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    """Bytes cut, flipped or put in."""
    raw = bytearray(json.dumps(event).encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        raw[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
    return _post(bytes(raw), headers)


def _huge(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    lots = [f"urn:epc:id:sgtin:4012345.011111.{rng.random()}" for _ in range(rng.choice((1500, 3000, 60_000)))]
    return _post(json.dumps(event | {"epcList": lots}).encode(), headers)


def _deep(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    depth = rng.choice((30, 63, 64, 65, 2000, 100_000))
    nest = "[" * depth + "]" * depth
    text = json.dumps(event | {"ex:deep": "@"}).replace('"@"', nest)
    return _post(text.encode(), headers)


def _document(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    events = [event] * rng.choice((0, 1, 2))
    return _post(json.dumps({"type": "EPCISDocument", "epcisBody": {"eventList": events}}).encode(), headers)


def _headed(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    sig = base64.b64encode(rng.randbytes(64)).decode()
    name, value = rng.choice(
        (
            ("Tweeling-Signature", f'keyid="T1", alg="ed25519", sig="{sig}"'),
            ("Tweeling-Signature", 'keyid="T1", alg="none", sig=""'),
            ("Tweeling-Signature", "x" * 1900),
            ("Content-Type", "text/plain"),
            ("Content-Type", "application/json; charset=utf-16"),
            ("Content-Encoding", "gzip"),
            ("Authorization", "Bearer no"),
            ("Authorization", "Basic Og=="),
            ("Authorization", ""),
        )
    )
    return _post(json.dumps(event).encode(), headers | {name: value})


def _elsewhere(rng: Random, event: dict[str, Any], headers: dict[str, str]) -> Rude:
    names = ("", "/", "..%2f..", "%00", "%ff", "x" * 4000, event["eventID"], "0" * 64, "urn%3Auuid%3A", "%F0%9F%92%A9")
    path = f"/custody/{rng.choice(names)}/receipt"
    return Rude(rng.choice(("GET", "POST", "DELETE", "HEAD")), path, b"", headers)


def _post(content: bytes, headers: dict[str, str]) -> Rude:
    return Rude("POST", "/events", content, headers)


_KINDS: dict[str, Callable[[Random, dict[str, Any], dict[str, str]], Rude]] = {
    "again": _again,
    "mutated": _mutated,
    "bitten": _bitten,
    "huge": _huge,
    "deep": _deep,
    "document": _document,
    "headed": _headed,
    "elsewhere": _elsewhere,
}
