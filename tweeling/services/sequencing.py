"""Sequencing: events get their places in the log, and are durable there before anybody is answered.

What several callers bring at the same time shares a transaction, and its one sync to disk. Whoever finds nobody writing
writes for all who wait. What one caller brings stays together: all of it gets places, or none; and whatever is wrong
with it is no harm to the others.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from tweeling.domain import disclosure, entry, epcis, merkle
from tweeling.domain.disclosure import Provenance
from tweeling.domain.entry import RandomBytes
from tweeling.domain.log import LotLink
from tweeling.errors import AlreadyCapturedError, InvariantError, RejectedError
from tweeling.ports.custody_api import Captured
from tweeling.ports.logstore import LogStore, NewEntry
from tweeling.services.gate import Gate

_TRIES = 5
_TOGETHER = 1000  # events that share a transaction; a single caller may bring more


class Admitted(NamedTuple):
    """An event, and who is known to have brought it."""

    event: epcis.Event
    provenance: Provenance


class _Parcel:
    """What one caller brings, and what becomes of it."""

    def __init__(self, items: Sequence[Admitted]) -> None:
        # Here, in the caller's thread, not while others wait.
        for item in items:
            _check_fits(item)
        self.items = items
        self.hashes = [item.event.jcs for item in items]
        self.outcome: list[Captured] | Exception | None = None

    def result(self) -> list[Captured]:
        if not isinstance(self.outcome, list):
            raise self.outcome or AssertionError("not settled")
        return self.outcome


class Sequencer:
    """Writes one log. Safe from any thread; one process writes."""

    def __init__(self, store: LogStore, *, random: RandomBytes, gate: Gate) -> None:
        self._store = store
        self._random = random
        self._gate = gate
        self._turn = threading.Condition()
        self._waiting: list[_Parcel] = []
        self._writing = False
        self._alone = 0  # so many of those who wait go each by itself
        self._edge: merkle.Frontier | None = None

    def edge(self) -> merkle.Frontier:
        """The right edge of the tree over what is durable."""
        edge = self._edge
        return merkle.frontier(self._store.size(), self._store.nodes) if edge is None else edge

    def sequence(self, items: Sequence[Admitted]) -> list[Captured]:
        """Put events in the log, all or none, and return their places once they are durable.

        Raises AlreadyCapturedError or InvariantError for an event that cannot be in it, UnavailableError while the log
        may not grow or the store does not answer.
        """
        mine = _Parcel(items)
        with self._turn:
            self._waiting.append(mine)
        while True:
            with self._turn:
                self._turn.wait_for(lambda: mine.outcome is not None or not self._writing)
                if mine.outcome is not None:
                    return mine.result()
                self._writing = True
                group = self._group()
            self._write(group)

    def _group(self) -> list[_Parcel]:
        if self._alone:
            return self._waiting[:1]
        counts = accumulate(len(parcel.items) for parcel in self._waiting[1:])
        first = len(self._waiting[0].items)
        return self._waiting[: 1 + sum(first + count <= _TOGETHER for count in counts)]

    def _write(self, group: Sequence[_Parcel]) -> None:
        outcomes: Sequence[list[Captured] | Exception] = ()
        try:
            outcomes = self._commit(group)
        except (RejectedError, InvariantError) as exc:
            if len(group) == 1:
                outcomes = [exc]
            else:  # the store does not say whom it refuses, so each tries again by itself
                self._alone = len(group)
        except Exception as exc:  # noqa: BLE001  # raised in the thread of each who waits
            outcomes = [exc] * len(group)
        finally:
            with self._turn:
                for parcel, outcome in zip(group, outcomes, strict=False):
                    parcel.outcome = outcome
                del self._waiting[: len(outcomes)]
                if len(outcomes) == 1:
                    self._alone = max(0, self._alone - 1)
                self._writing = False
                self._turn.notify_all()

    def _commit(self, group: Sequence[_Parcel]) -> list[list[Captured] | Exception]:
        self._gate.check()
        for left in reversed(range(_TRIES)):
            edge = self.edge()
            made, outcomes = self._entries(edge.size, group)
            if made:
                grown, nodes = merkle.grow(edge, [new.leaf for new in made])
                self._edge = None  # until the store has said yes, nobody knows where the edge is
                try:
                    self._store.append(made, expected_size=edge.size, nodes=nodes)
                except RejectedError:  # another process wrote: once more, on what there is now
                    if not left:
                        raise
                    continue
                self._edge = grown
            break
        return outcomes

    def _entries(self, size: int, group: Sequence[_Parcel]) -> tuple[list[NewEntry], list[list[Captured] | Exception]]:
        """The entries of all parcels that can be taken, and what to tell each once those are durable."""
        known = dict(self._store.known([jcs for parcel in group for jcs in parcel.hashes]))
        lots = {lot for parcel in group for item in parcel.items for lot in item.event.lots}
        links = dict(self._store.lots(sorted(lots)))
        made: list[NewEntry] = []
        outcomes: list[list[Captured] | Exception] = []
        for parcel in group:
            first = size + len(made)
            try:
                _refuse_repeats(parcel, known)
                new = self._sealed(first, parcel.items, links)
            except (AlreadyCapturedError, InvariantError) as exc:
                outcomes.append(exc)
                continue
            made += new
            known.update(zip(parcel.hashes, range(first, first + len(new)), strict=True))
            links.update((link.lot, link) for item in new for link in item.lots)
            outcomes.append([Captured(item.event_id, index) for index, item in enumerate(new, first)])
        return made, outcomes

    def _sealed(self, first: int, items: Sequence[Admitted], links: Mapping[str, LotLink]) -> list[NewEntry]:
        links, made = dict(links), []
        for index, item in enumerate(items, first):
            new = self._entry(index, item, [(lot, links.get(lot)) for lot in item.event.lots])
            links.update((link.lot, link) for link in new.lots)
            made.append(new)
        return made

    def _entry(self, index: int, item: Admitted, lots: Sequence[tuple[str, LotLink | None]]) -> NewEntry:
        event, provenance = item
        keys = [before.key if before else self._random(entry.LOT_KEY_SIZE) for _, before in lots]
        fields = disclosure.disclose(
            event.members,
            event.jcs,
            provenance,
            [(lot, key, before.leaf if before else None) for key, (lot, before) in zip(keys, lots, strict=True)],
            self._random,
            context=event.context,
        )
        links = [entry.link(key, before.leaf if before else None) for key, (_, before) in zip(keys, lots, strict=True)]
        try:
            sealed = entry.seal(entry.EPCIS, [*map(entry.digest, fields), *links], self._random)
        except InvariantError as exc:
            raise InvariantError(str(exc), field=f"event {event.id}") from exc
        leaf = merkle.leaf_hash(sealed)
        return NewEntry(
            entry=sealed,
            leaf=leaf,
            event_id=event.id,
            jcs=event.jcs,
            event=event.canonical,
            disclosures=fields,
            lots=tuple(LotLink(lot, key, index, leaf) for key, (lot, _) in zip(keys, lots, strict=True)),
            captured_ms=provenance.captured_ms,
            submitter=provenance.by,
        )


def _check_fits(item: Admitted) -> None:
    """Refuse an event that no entry can hold; `seal` would, after all of it was hashed."""
    event, signed = item.event, item.provenance.signature is not None
    own = len((disclosure.JCS, disclosure.CAPTURED, disclosure.SUBMITTER)) + signed + (event.context is not None)
    try:
        entry.padded(len(event.members) + own + 2 * len(event.lots))  # a lot is a field, and a link
    except InvariantError as exc:
        raise InvariantError(str(exc), field=f"event {event.id}") from exc


def _refuse_repeats(parcel: _Parcel, known: Mapping[bytes, int]) -> None:
    seen: set[bytes] = set()
    for jcs, item in zip(parcel.hashes, parcel.items, strict=True):
        if jcs in known:
            raise AlreadyCapturedError(item.event.id, known[jcs])
        if jcs in seen:
            raise InvariantError("stands twice in what was sent", field=f"event {item.event.id}")
        seen.add(jcs)
