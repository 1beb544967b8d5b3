"""The topic grammar: `tweeling/v1/{hub}/{node}/{channel}`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from tweeling.domain.ids import NAME
from tweeling.errors import WireError

_NAME = re.compile(NAME)
_ROOT = ("tweeling", "v1")


class Channel(StrEnum):
    """What travels on a topic."""

    UP = "up"  # node to hub: envelopes
    ACK = "ack"  # hub to node: acknowledgements
    CMD = "cmd"  # hub to node: commands with nonce and expiry
    STATE = "state"  # node, retained, with last will: presence


class Topic(NamedTuple):
    """One node's channel."""

    hub: str
    node: str
    channel: Channel

    def __str__(self) -> str:
        return "/".join((*_ROOT, self.hub, self.node, self.channel))


def parse(topic: str) -> Topic:
    """Read a topic, or raise WireError."""
    parts = topic.split("/")
    if len(parts) != 5 or tuple(parts[:2]) != _ROOT:
        raise WireError(f"unknown topic {topic[:200]!r}: expected tweeling/v1/<hub>/<node>/<channel>")
    hub, node, channel = parts[2:]
    if not _NAME.fullmatch(hub) or not _NAME.fullmatch(node):
        raise WireError(f"unknown topic {topic[:200]!r}: hub and node are letters, digits, - and _")
    try:
        return Topic(hub, node, Channel(channel))
    except ValueError:
        raise WireError(f"unknown channel {channel[:64]!r}: expected up, ack, cmd or state") from None


def every(channel: Channel, *, hub: str = "+") -> str:
    """The filter of one channel of every node, of one hub or of all."""
    return "/".join((*_ROOT, hub, "+", channel))


def of_nodes(pattern: str) -> tuple[str, str]:
    """The filters of what nodes publish; pattern is `hub/node` with `+` for any. Raise ValueError for anything else."""
    hub, _, node = pattern.partition("/")
    if not all(name == "+" or _NAME.fullmatch(name) for name in (hub, node)):
        raise ValueError(f"{pattern[:132]!r} is not hub/node, with + for any")
    return "/".join((*_ROOT, hub, node, Channel.UP)), "/".join((*_ROOT, hub, node, Channel.STATE))


def overlap(one: str, other: str) -> bool:
    """Whether a node can be in both of two patterns `hub/node`."""
    return all(a == b or "+" in {a, b} for a, b in zip(one.split("/"), other.split("/"), strict=True))


def covers(filters: Iterable[str], topic: Topic) -> bool:
    """Whether a node of this topic publishes under one of these filters."""
    place = f"{topic.hub}/{topic.node}"
    return any(overlap("/".join(each.split("/")[2:4]), place) for each in filters)
