"""What an operator watches of a hub: how much comes, what waits, what is missing, and what is left."""

from __future__ import annotations

from typing import NamedTuple

from tweeling.errors import Trouble


class Distribution(NamedTuple):
    """How often values were at most each bound, but above the one before; the last count is of those above all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Gaps(NamedTuple):
    """Seqs that nodes have sent past and a hub has not. outboxes: how many; oldest_s: since when, 0 without any."""

    seqs: int
    outboxes: int
    oldest_s: float


class Ingested(NamedTuple):
    """What an ingest tells of itself; commit_s, commit_messages: of every commit since start."""

    gaps: Gaps
    commit_s: Distribution
    commit_messages: Distribution


class Disk(NamedTuple):
    """Bytes of a folder, and what is free where it is."""

    used: int
    free: int


class LedgerSigns(NamedTuple):
    """How anchoring goes. trouble: what keeps it from going on, None where nothing does.

    unconfirmed: anchors that too few blocks confirm; confirmations: of the newest of them, of those wanted.
    reorganisations: since start. price_wei: of a unit of gas when last asked; most_wei: the dearest we pay, None for
    any.
    """

    trouble: Trouble | None
    unconfirmed: int
    confirmations: int | None
    wanted: int
    reorganisations: int
    price_wei: int | None
    most_wei: int | None


class Vitals(NamedTuple):
    """A hub's vital signs; seconds are of the machine's clock, None is not known yet.

    readings_per_s: over the last ten seconds; readings_per_s_minute: over the last minute. lag_s: how long the oldest
    batch waits that the stores do not answer with yet. journal_bytes: of its files. anchor_age_s: since the newest
    checkpoint that the chain holds was signed. anchors_left: how many more the account can pay. ledger: None without
    one. disk_growth: bytes a day, over the last day or since start; disk_days: until the disk is full at that rate,
    None also where it does not grow. commit_s, commit_messages: of every commit since start.
    """

    readings_per_s: float | None
    readings_per_s_minute: float | None
    lag_batches: int
    lag_s: float
    gaps: Gaps
    quarantined: int
    quarantine_reason: str
    journal_batches: int
    journal_bytes: int
    pending: int
    anchor_age_s: float | None
    anchors_left: int | None
    ledger: LedgerSigns | None
    disk: Disk
    disk_growth: float | None
    disk_days: float | None
    commit_s: Distribution
    commit_messages: Distribution
