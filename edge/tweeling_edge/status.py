"""What waits in an outbox, how long it still can, and what became of the rest; beside a running agent or without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tweeling_edge import outbox_file, outbox_store
from tweeling_edge.config import Config
from tweeling_edge.outbox_store import Quota, Stats
from tweeling_edge.reserve import Reserve

_COUNTED = ("queued", "committed", "refused", "dropped")


def look(config: Config, now_ms: int) -> dict[str, Any]:
    """Look at the outbox; raise UnavailableError where it cannot be read now."""
    path = config.outbox.path
    running = outbox_file.is_held(path)
    damaged = ", ".join(kept.name for kept in outbox_file.set_aside(path))
    troubles = [f"outbox damaged, kept as {damaged}"] if damaged else []
    if running and not Reserve(path).kept:
        troubles.append("outbox: the disk is full, or nearly")
    answer: dict[str, Any] = {
        "outbox": str(path),
        "exists": path.exists(),
        "running": running,
        "damaged": damaged or "no",
        "alarm": "; ".join(troubles),
    }
    if path.exists():
        quota = Quota.of(config.outbox.max_mb, config.outbox.max_rows)
        answer |= _counts(_stats(path, now_ms), quota, disk_free=shutil.disk_usage(path.parent).free, now_ms=now_ms)
    return answer


def _stats(path: Path, now_ms: int) -> Stats:
    with outbox_file.translated(), closing(outbox_file.look(path)) as connection:
        return outbox_store.stats(connection, now_ms)


def _counts(stats: Stats, quota: Quota, *, disk_free: int, now_ms: int) -> dict[str, Any]:
    inflow = stats.inflow
    return {
        "epoch": stats.epoch,
        "last_seq": stats.last,
        "queued": stats.queued,
        "queued_weighings": stats.weighings,
        "bytes": stats.size,
        "quota_used": round(stats.used(quota), 4),
        "disk_free_mb": disk_free >> 20,
        "oldest_unsent_s": None if stats.oldest_ms is None else max(0.0, round((now_ms - stats.oldest_ms) / 1000, 1)),
        "inflow_per_hour": inflow and inflow.per_hour and round(inflow.per_hour),
        "hours_left": stats.hours_left(quota, disk_free),
        "sent": sum(stats.tallies.get("sent", {}).values()),
        "repeated": sum(stats.tallies.get("repeated", {}).values()),
        "committed": sum(source.committed for source in stats.sources.values()),
        "refused": sum(source.refused for source in stats.sources.values()),
        "dropped": stats.tallies.get("dropped", {}),
        "unread": stats.tallies.get("unread", {}),
        "sources": {name or "-": asdict(source) for name, source in stats.sources.items()},
    }


def as_text(answer: dict[str, Any]) -> Iterator[str]:
    """What `look` found, as a person reads it."""

    def line(key: str, value: str) -> str:
        return f"{key:10} {value}"

    yield line("outbox", f"{answer['outbox']}, {'an agent runs' if answer['running'] else 'no agent runs'}")
    yield line("alarm", answer["alarm"] or "none")
    if not answer["exists"]:
        yield line("queued", "nothing: no agent has run with this configuration")
        return
    oldest, left = answer["oldest_unsent_s"], answer["hours_left"]
    waits = "" if oldest is None else f"; the oldest waits for {_span(oldest)}"
    yield line("queued", f"{answer['queued']}, of these {answer['queued_weighings']} weighings{waits}")
    room = "unknown, too little came in lately" if left is None else f"{_span(left * 3600)} if no hub answers"
    yield line("room", f"{room}; quota {answer['quota_used']:.1%} used, disk {answer['disk_free_mb']} MB free")
    yield line("sent", f"{answer['sent']} (once a minute), of these again {answer['repeated']}")
    yield line("settled", f"{answer['committed']} committed, {answer['refused']} refused")
    for what in ("dropped", "unread"):
        for reason, count in answer[what].items():
            yield line(what, f"{count}: {reason}")
    for name, source in answer["sources"].items():
        yield line("source", f"{name}: {', '.join(f'{source[key]} {key}' for key in _COUNTED)}")
    yield line("epoch", f"{answer['epoch']}, last seq {answer['last_seq']}")


def _span(seconds: float) -> str:
    for size, name in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.0f} seconds"
