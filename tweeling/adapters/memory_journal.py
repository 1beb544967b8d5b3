"""The ingest journal in memory: the same promises, until the process ends."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from itertools import islice

from tweeling.adapters import intake
from tweeling.errors import RejectedError
from tweeling.ports.journal import Again, Batch, Extent, NodeEpoch, Quarantined, Replayed, Settled
from tweeling.wire.parcel import Parcel, Suspect


class MemoryJournal:
    """A `Journal` that survives nothing; late_ms, keep: see `intake`, but that trimmed batches go at once."""

    def __init__(self, *, late_ms: int = intake.LATE_MS, keep: intake.Keep = intake.KEEP) -> None:
        self.id = secrets.token_hex(8)
        self._late_ms = late_ms
        self._keep = keep
        self._lock = threading.Lock()
        self._settled: dict[NodeEpoch, Settled] = {}
        self._batches: list[Batch] = []
        self._trimmed = 0
        self._quarantine: dict[tuple[str, bytes], Quarantined] = {}
        self._quarantine_bytes = 0
        self._suspects = 0
        self._totals = dict.fromkeys(intake.TOTALS, 0)

    def commit(self, parcel: Parcel, *, recorded_ms: int) -> Batch | None:
        """See `Journal`."""
        with self._lock:
            taken = intake.sort_out(parcel, self._known)
            self._keep_suspects(taken.evidence, recorded_ms)
            return self._keep_batch(taken, recorded_ms)

    def replay(self, messages: Sequence[Again], *, recorded_ms: int) -> Replayed:
        """See `Journal`."""
        with self._lock:
            parcel = Parcel.join([each.parcel for each in messages])
            taken = intake.sort_out(parcel, self._known, again=True)
            reasons = {each.id: intake.why_not(each.parcel, taken.after) for each in messages}
            for key, kept in list(self._quarantine.items()):
                if kept.id in reasons:
                    self._settle_suspect(key, kept, reasons[kept.id])
            batch = self._keep_batch(taken, recorded_ms)
            return Replayed(batch, tuple(id_ for id_, reason in reasons.items() if reason))

    def _known(self, node: NodeEpoch) -> Settled:
        return self._settled.get(node, Settled())

    def _keep_suspects(self, suspects: Sequence[Suspect], recorded_ms: int) -> None:
        for suspect in suspects:
            key = (suspect.topic, suspect.payload)
            kept = self._quarantine.get(key)
            if kept is None:
                self._suspects += 1
                kept = Quarantined(self._suspects, recorded_ms, suspect, 0)
                self._quarantine_bytes += intake.size(suspect)
            self._quarantine[key] = kept._replace(seen=kept.seen + 1)
        while len(self._quarantine) > self._keep.rows or self._quarantine_bytes > self._keep.bytes:
            oldest = self._quarantine.pop(next(iter(self._quarantine)))
            self._quarantine_bytes -= intake.size(oldest.suspect)
            self._totals["quarantine_dropped"] += oldest.seen
        self._totals["quarantined"] += len(suspects)

    def _settle_suspect(self, key: tuple[str, bytes], kept: Quarantined, reason: str) -> None:
        self._quarantine_bytes -= intake.size(kept.suspect)
        if reason:
            self._quarantine[key] = kept._replace(suspect=kept.suspect._replace(reason=reason))
            self._quarantine_bytes += intake.size(self._quarantine[key].suspect)
        else:
            del self._quarantine[key]
            self._totals["replayed"] += kept.seen

    def _keep_batch(self, taken: intake.Intake, recorded_ms: int) -> Batch | None:
        self._settled |= taken.after
        for name, count in taken.totals.items():
            self._totals[name] += count
        if not taken.fresh:
            return None
        number = self._totals["batches"] + 1
        made = intake.batch(number, recorded_ms, self._late_ms, taken.readings, taken.movements())
        self._batches.append(made)
        self._totals["batches"] += 1
        self._totals["readings"] += len(made.points)
        self._totals["movements"] += len(made.movements)
        return made

    def settled(self, node: NodeEpoch) -> Settled:
        """See `Journal`."""
        with self._lock:
            return self._settled.get(node, Settled())

    def read(self, after: int, limit: int) -> Sequence[Batch]:
        """See `Journal`."""
        with self._lock:
            if after < self._trimmed:
                raise RejectedError(
                    f"journal: batches through {self._trimmed} are trimmed, asked for those after {after}"
                )
            return tuple(islice(self._batches, after - self._trimmed, after - self._trimmed + limit))

    def last(self) -> int:
        """See `Journal`."""
        with self._lock:
            return self._totals["batches"]

    def extent(self, after: int) -> Extent:
        """See `Journal`; memory has no files."""
        with self._lock:
            waiting = self._batches[max(after - self._trimmed, 0) :][:1]
            return Extent(len(self._batches), 0, waiting[0].recorded_ms if waiting else None, self._trimmed)

    def trim(self, through: int) -> None:
        """See `Journal`."""
        with self._lock:
            upto = min(through, self._totals["batches"])
            if upto > self._trimmed:
                del self._batches[: upto - self._trimmed]
                self._trimmed = upto

    def quarantine(
        self, limit: int = 100, *, before: int | None = None, reason: str = "", topic: str = ""
    ) -> Sequence[Quarantined]:
        """See `Journal`."""
        found: list[Quarantined] = []
        size = 0
        with self._lock:
            for each in reversed(self._quarantine.values()):
                if len(found) == limit or size >= intake.PAGE_BYTES:
                    break
                named = reason in each.suspect.reason and topic in each.suspect.topic
                if named and (before is None or each.id < before):
                    found.append(each)
                    size += len(each.suspect.payload)
        return found

    def counts(self) -> dict[str, int]:
        """See `Journal`."""
        with self._lock:
            return dict(self._totals)

    def close(self) -> None:
        """See `Journal`."""
