"""Many messages to columns at once: the hot path of a hub.

What is usual (an envelope in JSON, all of whose records are plain readings) is read by msgspec and numpy; whatever is
not, or is wrong in any way, goes to `envelope.decode`, whose verdict is the law. A test holds both to it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from tweeling.domain import units
from tweeling.domain.ids import EPOCH
from tweeling.errors import WireError
from tweeling.wire import envelope, senml, topics
from tweeling.wire.ack import State
from tweeling.wire.parcel import Arrival, Head, Parcel, Readings, Run, Suspect, concatenate
from tweeling.wire.ranges import SeqSet
from tweeling.wire.topics import Channel, Topic

_EPOCH = re.compile(EPOCH)
_MAX_KNOWN = 100_000  # names, topics, epochs; beyond it they are learned anew
_UNKNOWN = -1


class _Reading(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record of the usual kind; any other is left to the reference."""

    v: float
    n: str = ""
    t: float = 0.0
    u: str | UnsetType = UNSET  # null is a value, and none that a field may have
    bn: str | UnsetType = UNSET
    bt: float | UnsetType = UNSET
    bu: str | UnsetType = UNSET


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An envelope of the usual kind."""

    v: Literal[1]
    node: str
    epoch: str
    runs: list[tuple[int, int, int]] = []
    low: int = 1
    ask: bool = False
    pack: list[_Reading] = []


class Decoder:
    """Reads messages of any nodes; it remembers names it has seen, and nothing else. For one thread.

    skew_ms: how far a reading may lie in the future.
    """

    def __init__(self, *, skew_ms: int) -> None:
        self._skew_ms = skew_ms
        self._parse = msgspec.json.Decoder(_Envelope).decode
        self._topics: dict[str, Topic] = {}
        self._epochs: set[str] = set()
        self._channels = _Channels()

    def read(self, messages: Sequence[tuple[str, bytes]], *, now_ms: int) -> Parcel:
        """Read messages; what has no meaning becomes a suspect with the reason."""
        self._channels.forget_many()
        heads: list[tuple[Head | None, int]] = []  # None: to be read the careful way; and where its rows end
        columns = _Columns(self._channels)
        end = 0
        for topic, payload in messages:
            head = self._usual(topic, payload, columns)
            if head is None:
                columns.cut(end)
            else:
                end = len(columns)
            heads.append((head, end))
        return self._assemble(messages, heads, columns, now_ms)

    def _usual(self, topic: str, payload: bytes, columns: _Columns) -> Head | None:
        """The head of a usual envelope, its readings put into the columns; None for any other message."""
        place = self._topics.get(topic)
        if place is None:
            place = self._place(topic)
        if place is None or place.channel is not Channel.UP or len(payload) > envelope.MAX_BYTES:
            return None
        if not payload.startswith(b"{"):  # msgspec would skip spaces
            return None
        try:
            read = self._parse(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        if read.node != place.node or not self._is_epoch(read.epoch) or not 1 <= read.low <= envelope.MAX_SEQ:
            return None
        accepted = _accepted(read.runs, len(read.pack))
        if accepted is None or (read.pack and not columns.add(place.hub, read.pack)):
            return None
        runs = tuple(read.runs)
        return Head(place.hub, place.node, read.epoch, read.low, (), read.ask, accepted, (), runs, ())

    def _is_epoch(self, epoch: str) -> bool:
        if epoch in self._epochs:
            return True
        if not _EPOCH.fullmatch(epoch):
            return False
        if len(self._epochs) >= _MAX_KNOWN:
            self._epochs.clear()
        self._epochs.add(epoch)
        return True

    def _place(self, topic: str) -> Topic | None:
        try:
            place = topics.parse(topic)
        except WireError:
            return None
        if len(self._topics) >= _MAX_KNOWN:
            self._topics.clear()
        self._topics[topic] = place
        return place

    def _assemble(
        self,
        messages: Sequence[tuple[str, bytes]],
        heads: Sequence[tuple[Head | None, int]],
        columns: _Columns,
        now_ms: int,
    ) -> Parcel:
        readings, wrong = columns.finish(now_ms, self._skew_ms)
        arrivals: list[Arrival] = []
        suspects: list[Suspect] = []
        states: list[tuple[Topic, State]] = []
        parts: list[Readings] = []
        begun = start = 0  # usual rows behind `begun` are not yet in `parts`
        any_wrong = bool(wrong.any())
        for (topic, payload), (usual, end) in zip(messages, heads, strict=True):
            if usual and not (any_wrong and wrong[start:end].any()):
                arrivals.append(Arrival(topic, payload, now_ms, usual))
                start = end
                continue
            careful: list[Readings] = []
            match self._with_care(topic, payload, now_ms):
                case Head() as head, Readings() as rows:
                    arrivals.append(Arrival(topic, payload, now_ms, head))
                    careful = [rows]
                case Topic() as place, State() as state:
                    states.append((place, state))
                case Suspect() as suspect:
                    suspects.append(suspect)
            if careful or end != start:  # else the usual rows go on as if nothing had come
                parts += [readings.rows(begun, start), *careful]
                begun = end
            start = end
        if parts:
            readings = concatenate([*parts, readings.rows(begun, start)])
        return Parcel(tuple(arrivals), readings, tuple(suspects), tuple(states))

    def _with_care(
        self, topic: str, payload: bytes, now_ms: int
    ) -> tuple[Head, Readings] | tuple[Topic, State] | Suspect | None:
        """Say what a message means, by the reference; None for nothing at all."""
        try:
            place = self._topics.get(topic) or topics.parse(topic)
            if place.channel is Channel.UP:
                return split(envelope.decode(place, payload, now_ms=now_ms, skew_ms=self._skew_ms))
            if place.channel is Channel.STATE:
                # An empty retained message is MQTT's way to forget one.
                return (place, State.decode(payload)) if payload else None
        except WireError as exc:
            return Suspect(topic, payload, str(exc))
        return Suspect(topic, payload, f"a hub does not read {place.channel}")


class _Channels(dict[tuple[str, str, str], "_Table"]):
    """What a name of a hub means under a base name and a base unit, each learned once: series and conversion."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []  # by channel: hub/thing/attribute
        self._rules: list[tuple[float, float]] = []  # by channel: factor and offset
        self._arrays = np.empty((0, 2))

    def __missing__(self, key: tuple[str, str, str]) -> _Table:
        return self.setdefault(key, _Table(self, *key))

    def rules(self) -> NDArray[np.float64]:
        """Factor and offset of every channel."""
        if len(self._arrays) != len(self._rules):
            self._arrays = np.array(self._rules)
        return self._arrays

    def learn(self, hub: str, name: str, unit: str) -> int:
        """Return the channel of a name and a unit; _UNKNOWN where the reference must say what is wrong."""
        conversion = units.conversion(unit)
        if conversion is None or not senml.is_name(name) or not envelope.fits(name, conversion):
            return _UNKNOWN
        self.names.append(f"{hub}/{name}")
        self._rules.append((conversion.factor, conversion.offset))
        return len(self.names) - 1

    def forget_many(self) -> None:
        """Begin anew where somebody has made up too many names."""
        if len(self.names) + len(self) > _MAX_KNOWN:
            self.clear()
            self.names, self._rules, self._arrays = [], [], np.empty((0, 2))


class _Table(dict[str | tuple[str, str], int]):
    """The channel of a name (or of a name and its own unit) under one base."""

    def __init__(self, channels: _Channels, hub: str, base: str, unit: str) -> None:
        super().__init__()
        self._channels, self._hub, self._base, self._unit = channels, hub, base, unit

    def __missing__(self, key: str | tuple[str, str]) -> int:
        name, unit = (key, self._unit) if isinstance(key, str) else key
        channel = self._channels.learn(self._hub, self._base + name, unit)
        if channel != _UNKNOWN:
            self[key] = channel
        return channel


class _Columns:
    """The readings of usual envelopes, as they are collected."""

    def __init__(self, channels: _Channels) -> None:
        self._channels = channels
        self._codes: list[int] = []
        self._seconds: list[float] = []
        self._values: list[float] = []

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, hub: str, pack: list[_Reading]) -> bool:
        """Take in a pack whose base fields, if any, stand in its first record; say whether it is such a one."""
        first = pack[0]
        table = self._channels[hub, first.bn or "", first.bu or ""]
        base = first.bt or 0.0
        codes = [table[r.n if r.u is UNSET else (r.n, r.u)] for r in pack]
        rebased = [r for r in pack if r.bt is not UNSET or r.bu is not UNSET or r.bn is not UNSET]
        if _UNKNOWN in codes or (rebased and rebased != [first]):
            return False
        self._codes += codes
        self._seconds += [base + r.t for r in pack]
        self._values += [r.v for r in pack]
        return True

    def cut(self, rows: int) -> None:
        """Forget what lies behind `rows`."""
        del self._codes[rows:], self._seconds[rows:], self._values[rows:]

    def finish(self, now_ms: int, skew_ms: int) -> tuple[Readings, NDArray[np.bool_]]:
        """The columns, and which rows the reference would refuse."""
        codes = np.array(self._codes, dtype=np.int64)
        seconds = np.array(self._seconds, dtype=np.float64)
        rules = self._channels.rules()[codes] if len(codes) else np.empty((0, 2))
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.array(self._values, dtype=np.float64) * rules[:, 0] + rules[:, 1]
        sane = np.abs(seconds) < senml.MAX_MS / 1000
        relative = np.abs(seconds) < senml.RELATIVE_S
        times = np.rint(np.where(sane, seconds, 0.0) * 1000).astype(np.int64) + np.where(relative, now_ms, 0)
        wrong = ~(sane & np.isfinite(values) & (times >= 0) & (times < senml.MAX_MS) & (times <= now_ms + skew_ms))
        used = np.flatnonzero(np.bincount(codes, minlength=1)) if len(codes) else codes
        places = np.zeros(len(self._channels.names) + 1, dtype=np.int32)
        series: dict[str, int] = {}
        for code in used.tolist():  # two channels of one name, in two units, are one series
            places[code] = series.setdefault(self._channels.names[code], len(series))
        return Readings(tuple(series), places[codes], times, values), wrong


def _accepted(runs: list[Run], records: int) -> SeqSet | None:
    """The seqs of runs that follow each other and own exactly these records; None for any others."""
    before, owned = 0, 0
    for first, last, each in runs:
        if not before < first <= last <= envelope.MAX_SEQ or not 1 <= each <= envelope.MAX_RECORDS:
            return None
        before = last
        owned += (last - first + 1) * each
    if owned != records or records > envelope.MAX_RECORDS:
        return None
    if len(runs) == 1:
        return SeqSet(((runs[0][0], runs[0][1]),))
    return SeqSet.of((first, last) for first, last, _ in runs)


def split(decoded: envelope.Decoded) -> tuple[Head, Readings]:
    """The head and the columns of one envelope that the reference has read."""
    codes: dict[str, int] = {}
    series = [codes.setdefault(f"{decoded.hub}/{name}", len(codes)) for name in decoded.names]
    rows = tuple((seq, seq, sum(1 for _ in same)) for seq, same in groupby(decoded.seqs))
    head = Head(
        decoded.hub,
        decoded.node,
        decoded.epoch,
        decoded.low,
        decoded.dropped,
        decoded.ask,
        decoded.accepted,
        decoded.refused,
        rows,
        decoded.movements,
    )
    readings = Readings(
        tuple(codes),
        np.array(series, dtype=np.int32),
        np.array(decoded.times, dtype=np.int64),
        np.array(decoded.values, dtype=np.float64),
    )
    return head, readings
