"""What the reference says of messages, and what the hub's hot path says: the same, or a test fails."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from support_ingest import NOW, SKEW

from tweeling.errors import WireError
from tweeling.wire import envelope, topics
from tweeling.wire.ack import State
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Head, Readings
from tweeling.wire.topics import Channel

Verdict = tuple[Any, ...]


def by_reference(topic: str, payload: bytes, *, now_ms: int = NOW) -> Verdict:
    """The verdict of the specification: `envelope.decode` and `State.decode`; only WireError may come out of them."""
    try:
        place = topics.parse(topic)
        if place.channel is Channel.UP:
            said = envelope.decode(place, payload, now_ms=now_ms, skew_ms=SKEW)
            rows = zip(said.seqs, said.names, said.times, said.values, strict=True)
            readings = [(seq, f"{said.hub}/{name}", at, _bits(value)) for seq, name, at, value in rows]
            head = (said.hub, said.node, said.epoch, said.low, said.dropped, said.ask, said.accepted, said.refused)
            return "envelope", head, said.movements, readings
        if place.channel is Channel.STATE:
            return ("state", place, State.decode(payload)) if payload else ("nothing",)
    except WireError as exc:
        return "suspect", str(exc)
    return "suspect", f"a hub does not read {place.channel}"


def by_decoder(decoder: Decoder, messages: Sequence[tuple[str, bytes]], *, now_ms: int = NOW) -> list[Verdict]:
    """The verdicts of the hot path on messages that are read together."""
    parcel = decoder.read(messages, now_ms=now_ms)
    arrivals, suspects, states = list(parcel.arrivals), list(parcel.suspects), list(parcel.states)
    verdicts: list[Verdict] = []
    start = 0
    for topic, payload in messages:
        if arrivals and arrivals[0][:2] == (topic, payload):
            arrival = arrivals.pop(0)
            end = start + arrival.head.size
            assert arrival.heard_ms == now_ms
            verdicts.append(_envelope(arrival.head, parcel.readings.rows(start, end)))
            start = end
        elif suspects and suspects[0][:2] == (topic, payload):
            verdicts.append(("suspect", suspects.pop(0).reason))
        elif states and str(states[0][0]) == topic:
            verdicts.append(("state", *states.pop(0)))
        else:
            verdicts.append(("nothing",))
    assert (arrivals, suspects, states, start) == ([], [], [], len(parcel.readings))
    return verdicts


def check(decoder: Decoder, messages: Sequence[tuple[str, bytes]], *, now_ms: int = NOW) -> list[Verdict]:
    """Hold the hot path to the reference; return the verdicts."""
    expected = [by_reference(*message, now_ms=now_ms) for message in messages]
    found = by_decoder(decoder, messages, now_ms=now_ms)
    for message, one, other in zip(messages, expected, found, strict=True):
        assert one == other, f"{message!r}\nreference {one!r}\nhot path  {other!r}"
    return expected


def _envelope(head: Head, readings: Readings) -> Verdict:
    seqs = [seq for first, last, each in head.rows for seq in range(first, last + 1) for _ in range(each)]
    columns = (readings.series.tolist(), readings.times.tolist(), readings.values.tolist())
    rows = [(seq, readings.names[code], at, _bits(value)) for seq, code, at, value in zip(seqs, *columns, strict=True)]
    told = (head.hub, head.node, head.epoch, head.low, head.dropped, head.ask, head.accepted, head.refused)
    return "envelope", told, head.movements, rows


def _bits(value: float) -> bytes:
    return struct.pack("d", value)
