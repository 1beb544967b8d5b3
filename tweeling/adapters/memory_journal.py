"""The ingest journal in memory: the same promises, until the process ends."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import islice

from tweeling.adapters import intake
from tweeling.errors import RejectedError
from tweeling.ports.journal import Arrival, Batch, NodeEpoch, Quarantined, Settled, Suspect
from tweeling.wire.envelope import Decoded
from tweeling.wire.ranges import SeqSet


class MemoryJournal:
    """A `Journal` that survives nothing; late_ms, keep: see `intake`."""

    def __init__(self, *, late_ms: int = intake.LATE_MS, keep: intake.Keep = intake.KEEP) -> None:
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

    def commit(self, arrivals: Sequence[Arrival], suspects: Sequence[Suspect], *, recorded_ms: int) -> Batch | None:
        """See `Journal`."""
        with self._lock:
            evidence = list(suspects)
            fresh: list[tuple[Decoded, SeqSet]] = []
            for arrival in arrivals:
                decoded = arrival.decoded
                name = NodeEpoch(decoded.hub, decoded.node, decoded.epoch)
                new = intake.take(decoded, self._settled.get(name, Settled()))
                self._settled[name] = new.after
                self._totals["refused"] += len(new.refused)
                self._totals["dropped"] += len(new.dropped)
                self._totals["repeated"] += new.repeated
                if new.refused:
                    evidence.append(intake.evidence(arrival, new.refused))
                if new.committed:
                    fresh.append((decoded, new.committed))
            self._keep_suspects(evidence, recorded_ms)
            return self._keep_batch(fresh, recorded_ms) if fresh else None

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
            self._totals["quarantine_dropped"] += 1
        self._totals["quarantined"] += len(suspects)

    def _keep_batch(self, fresh: list[tuple[Decoded, SeqSet]], recorded_ms: int) -> Batch:
        made = intake.batch(self._totals["batches"] + 1, recorded_ms, self._late_ms, fresh)
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

    def trim(self, through: int) -> None:
        """See `Journal`."""
        with self._lock:
            upto = min(through, self._totals["batches"])
            if upto > self._trimmed:
                del self._batches[: upto - self._trimmed]
                self._trimmed = upto

    def quarantine(self, limit: int = 100) -> Sequence[Quarantined]:
        """See `Journal`."""
        with self._lock:
            return list(reversed(self._quarantine.values()))[:limit]

    def counts(self) -> dict[str, int]:
        """See `Journal`."""
        with self._lock:
            return dict(self._totals)

    def close(self) -> None:
        """See `Journal`."""
