"""Envelopes made from memory, at the price of one string: only seq, `low` and time change, and values take turns."""

from __future__ import annotations

from tweeling.wire.envelope import Envelope
from tweeling.wire.senml import Resolved, encode

THINGS = 1000  # of a node
_TURNS = 7  # values that a thing takes in turn
_FIRST, _LAST, _LOW, _MS = 111_111_111_111, 222_222_222_222, 333_333_333_333, 1_444_444_444_444


class Load:
    """The envelopes of one node. Each holds readings of different things; a thing comes back as late as possible.

    seqs: how many sequence numbers share the readings of a message.
    """

    def __init__(self, hub: str, node: str, epoch: str, *, records: int, seqs: int = 1, first_thing: int = 0) -> None:
        self.seqs = seqs
        parts = [
            self._parts(hub, node, epoch, [first_thing + start + each for each in range(records)], turn)
            for turn in range(_TURNS)
            for start in range(0, max(THINGS - records, 0) + 1, records)
        ]
        self._head, self._records, self._before_time, _ = parts[0]
        self._tails = [part[3] for part in parts]

    def first(self, message: int) -> int:
        """The first seq of a message; messages are counted from 0."""
        return message * self.seqs + 1

    def payload(self, message: int, low: int, now_ms: int) -> bytes:
        """The envelope of a message, as `Envelope.to_json` would write it."""
        first = message * self.seqs + 1
        run = f"{first},{first + self.seqs - 1}{self._records}"
        told = f',"low":{low}' if low > 1 else ""  # 1 goes without saying
        tail = self._tails[message % len(self._tails)]
        return f"{self._head}{run}{told}{self._before_time}{now_ms / 1000}{tail}".encode()

    def _parts(self, hub: str, node: str, epoch: str, things: list[int], turn: int) -> tuple[str, str, str, str]:
        """What stands before first and last, behind them, before the time, and behind it."""
        records = [
            Resolved(f"{hub}-c{thing:03}/fillingLevel", _MS, (37 * thing + 101 * turn) % 1000 / 1000, "/", None)
            for thing in things
        ]
        per_seq = len(records) // self.seqs
        envelope = Envelope(node=node, epoch=epoch, runs=((_FIRST, _LAST, per_seq),), low=_LOW, pack=encode(records))
        head, rest = envelope.to_json().decode().split(f"{_FIRST},{_LAST}")
        behind, rest = rest.split(f',"low":{_LOW}')
        before_time, tail = rest.split(str(_MS / 1000))
        return head, behind, before_time, tail
