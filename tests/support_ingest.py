"""Envelopes and arrivals for tests of the way from a broker to the journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tweeling.ports.inbox import Message
from tweeling.wire import senml, topics
from tweeling.wire.columnar import Decoder, split
from tweeling.wire.envelope import Envelope, decode
from tweeling.wire.parcel import Parcel, Suspect

NOW = 1_750_000_000_000
EPOCH = "00000000000000aa"
SKEW = 300_000


class HandClock:
    """A clock that stands until it is moved."""

    def __init__(self, now_ms: int = NOW) -> None:
        self.at = now_ms

    def now_ms(self) -> int:
        return self.at


def reading(value: float = 0.5, *, at: int = NOW, name: str = "H1-A/fillingLevel", unit: str = "/") -> senml.Resolved:
    return senml.Resolved(name, at, value, unit, None)


def weighing(net_g: int = 1000, *, at: int = NOW, direction: str = "in", **more: Any) -> senml.Resolved:
    return senml.Resolved("H1-A/scale", at, net_g, "g", {"mv_": direction, "mat": "wood", **more})


def envelope(
    seqs: dict[int, Sequence[senml.Resolved | dict[str, Any]]], *, node: str = "n1", epoch: str = EPOCH, **more: Any
) -> Envelope:
    """Each seq with its records; a dict is taken as it is."""
    pack: list[Any] = []
    for records in seqs.values():
        for record in records:
            pack += senml.encode([record]) if isinstance(record, senml.Resolved) else [{"bn": "", "bt": 0, **record}]
    runs = tuple((seq, seq, len(records)) for seq, records in seqs.items())
    return Envelope(node=node, epoch=epoch, runs=runs, pack=pack, **more)


def message(
    seqs: dict[int, Sequence[senml.Resolved | dict[str, Any]]], *, hub: str = "H1", node: str = "n1", **more: Any
) -> Message:
    return Message(f"tweeling/v1/{hub}/{node}/up", envelope(seqs, node=node, **more).to_json())


def arrive(sent: Message, *, now_ms: int = NOW) -> Parcel:
    """What one message says; read by the reference, and by the hot path, which must agree."""
    head, readings = split(decode(topics.parse(sent.topic), sent.payload, now_ms=now_ms, skew_ms=SKEW))
    parcel = Decoder(skew_ms=SKEW).read([sent], now_ms=now_ms)
    (quick,) = parcel.arrivals
    assert quick.head._replace(rows=()) == head._replace(rows=())
    assert [quick.head.size, *parcel.readings.values.tolist()] == [head.size, *readings.values.tolist()]
    return parcel


def arrival(seqs: dict[int, Sequence[senml.Resolved | dict[str, Any]]], *, now_ms: int = NOW, **more: Any) -> Parcel:
    return arrive(message(seqs, **more), now_ms=now_ms)


def of(parcels: Sequence[Parcel], suspects: Sequence[Suspect] = ()) -> Parcel:
    """Several as one."""
    return Parcel.join(parcels)._replace(suspects=tuple(suspects))
