"""Readings that were given up, and whether the hub has surely heard why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from tweeling.wire.ranges import SeqSet
from tweeling_edge.events import Drop
from tweeling_edge.seqs import Seqs

Announcement = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class _Proof:
    """Whoever has one of these readings has heard of these drops: they never travelled without them."""

    seqs: SeqSet
    ids: tuple[int, ...]


class Drops:
    """The oldest travel first, with every message: a reading sent again travels with what it first travelled with."""

    def __init__(self, drops: Iterable[Drop], most: int) -> None:
        """most: how many travel in one message."""
        self._most = most
        self._drops: dict[int, Drop] = {}
        self._seqs = Seqs()
        self._proofs: list[_Proof] = []
        self._next: tuple[Drop, ...] | None = ()  # those that travel next; None: to be chosen again
        self.add(drops)

    @property
    def lowest(self) -> int | None:
        """The oldest reading that was given up without the hub's knowledge."""
        return self._seqs.lowest

    def add(self, drops: Iterable[Drop]) -> None:
        """Something was given up."""
        for drop in drops:
            self._drops[drop.id] = drop
            self._seqs.add(drop.first, drop.last)
        self._next = None

    def clear(self) -> None:
        """A new epoch: nobody expects these any more."""
        self._drops.clear()
        self._proofs.clear()
        self._seqs, self._next = Seqs(), ()

    def common(self, seqs: SeqSet) -> SeqSet:
        """Those of `seqs` that are to be announced."""
        return self._seqs.common(seqs)

    def announcement(self) -> Announcement:
        """What travels with the next message."""
        return tuple((drop.first, drop.last, drop.reason) for drop in self._chosen())

    def travel(self, seqs: SeqSet) -> None:
        """These readings travel, for the first time, with the present announcement."""
        if seqs and (chosen := self._chosen()):
            self._proofs.append(_Proof(seqs, tuple(drop.id for drop in chosen)))

    def heard(self, settled: SeqSet) -> tuple[int, ...]:
        """The hub named these seqs: forget, and return, what it must have heard of."""
        if not self._drops or not settled:
            return ()
        proven = {i for proof in self._proofs if proof.seqs & settled for i in proof.ids}
        if named := self.common(settled):
            proven |= {i for i, drop in self._drops.items() if not SeqSet(((drop.first, drop.last),)) - named}
        heard = tuple(i for i in self._drops if i in proven) if proven else ()
        for i in heard:
            drop = self._drops.pop(i)
            self._seqs.remove(drop.first, drop.last)
        if heard:
            self._proofs = [proof for proof in self._proofs if any(i in self._drops for i in proof.ids)]
            self._next = None
        return heard

    def _chosen(self) -> tuple[Drop, ...]:
        if self._next is None:
            self._next = tuple(islice(self._drops.values(), self._most))
        return self._next
