"""The outbox's whole life, from `put` to durable to settled and deleted; beside it what the disk and SQLite allow."""

from __future__ import annotations

import os
import queue
import secrets
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from tweeling.errors import TweelingError
from tweeling.wire.ranges import SeqSet
from tweeling.wire.senml import Resolved
from tweeling_edge import outbox_file
from tweeling_edge.bench import memory
from tweeling_edge.clock import system_ms
from tweeling_edge.committer import GROUP
from tweeling_edge.events import Queued
from tweeling_edge.notices import Notice
from tweeling_edge.outbox import Outbox
from tweeling_edge.sample import Sample, to_body

GOAL = 5000.0  # durable readings a second
GOAL_MS = 20.0  # of waiting for a group


def run(folder: Path, *, seconds: float, writers: int) -> Iterator[dict[str, Any]]:
    """Measure in this folder, each for so many seconds; yield a figure as soon as it is known."""
    syncs = _syncs(folder, seconds)
    yield _figure("fsync", syncs, "syncs/s")
    single, hundred = (_raw(folder, rows, seconds) for rows in (1, GROUP))
    yield _figure("sqlite_transactions_of_1", single, "rows/s", limit=syncs)
    yield _figure(f"sqlite_transactions_of_{GROUP}", hundred, "rows/s", limit=syncs * GROUP)
    for threads, limit in ((1, single), (writers, hundred)):
        rate, latencies_ms = _put_one(folder, threads, seconds)
        name = f"outbox_put_1_by_{threads}"
        yield _figure(name, rate, "readings/s", limit=limit, goal=GOAL if threads == writers else None)
        p99 = latencies_ms[int(0.99 * (len(latencies_ms) - 1))]
        yield _figure(f"{name}_p99", p99, "ms", goal=GOAL_MS, most=True)
    yield _figure(f"outbox_put_{GROUP}", _put_many(folder, seconds), "readings/s", limit=hundred, goal=GOAL)
    yield _figure("agent_rss", memory.of_agent(folder, seconds), "MB", goal=memory.GOAL_MB, most=True)


def _figure(
    metric: str, value: float, unit: str, *, limit: float | None = None, goal: float | None = None, most: bool = False
) -> dict[str, Any]:
    ok = None if goal is None else value <= goal if most else value >= goal
    return {
        "bench": "edge",
        "metric": metric,
        "value": round(value, 2),
        "unit": unit,
        "limit": limit and round(limit, 2),
        "goal": goal,
        "ok": ok,
    }


def samples() -> Iterator[Sample]:
    """Readings of a hundred containers, one after the other."""
    for number in count():
        name = f"H1-c{number % 100:03}/fillingLevel"
        yield (Resolved(name, system_ms(), number * 7 % 1000 / 1000, "/", None),)


# ---------------------------------------------------------------- the machine's own limits


def _syncs(folder: Path, seconds: float) -> float:
    path = folder / "sync"
    page = os.urandom(4096)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:

        def step() -> int:
            os.write(handle, page)
            os.fsync(handle)
            return 1

        return _rate(step, seconds)
    finally:
        os.close(handle)
        path.unlink()


def _raw(folder: Path, rows: int, seconds: float) -> float:
    """Rows a second that SQLite alone makes durable in a table like ours."""
    path = folder / f"raw-{rows}.sqlite3"
    made = samples()
    with outbox_file.translated():
        connection = outbox_file.connect(path)
        try:
            connection.execute("CREATE TABLE reading (seq INTEGER PRIMARY KEY, queued_ms INTEGER, body TEXT)")

            def step() -> int:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(
                    "INSERT INTO reading (queued_ms, body) VALUES (?, ?)",
                    [(system_ms(), to_body(next(made))) for _ in range(rows)],
                )
                connection.execute("COMMIT")
                return rows

            return _rate(step, seconds)
        finally:
            connection.close()


def _rate(step: Callable[[], int], seconds: float) -> float:
    began = time.monotonic()
    done = 0
    while time.monotonic() - began < seconds:
        done += step()
    return done / (time.monotonic() - began)


# ---------------------------------------------------------------- the outbox


class _Life:
    """An outbox in which a second thread settles, as the agent does, whatever became durable."""

    def __init__(self, path: Path) -> None:
        self._notices: queue.SimpleQueue[Notice | None] = queue.SimpleQueue()
        self.outbox = Outbox(path, now_ms=system_ms, new_epoch=lambda: secrets.token_hex(8), listen=self._notices.put)
        self._thread = threading.Thread(target=self._settle)
        self._thread.start()

    def _settle(self) -> None:
        while (notice := self._notices.get()) is not None:
            if isinstance(notice, Queued):
                self.outbox.settle(notice.epoch, SeqSet(((notice.first, notice.last),)), SeqSet())

    def end(self) -> None:
        """Wait until all is settled and deleted."""
        self._notices.put(None)
        self._thread.join()
        self.outbox.trust()  # behind every deletion
        left = self.outbox.stats().queued
        self.outbox.close()
        if left:
            raise TweelingError(f"{left} readings were left in the outbox")


def _put_one(folder: Path, threads: int, seconds: float) -> tuple[float, array[float]]:
    """Lives a second, and how long each writer waited for its reading to be durable, sorted."""
    life = _Life(folder / f"one-{threads}.sqlite3")
    waits_ms = [array("f") for _ in range(threads)]
    began = time.monotonic()

    def write(waited: array[float]) -> None:
        for sample in samples():
            start = time.monotonic()
            if start - began >= seconds:
                return
            life.outbox.put(sample)
            waited.append((time.monotonic() - start) * 1000)

    workers = [threading.Thread(target=write, args=(waited,)) for waited in waits_ms]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    life.end()
    took = time.monotonic() - began
    merged = array("f", sorted(each for waited in waits_ms for each in waited))
    return len(merged) / took, merged


def _put_many(folder: Path, seconds: float) -> float:
    life = _Life(folder / "many.sqlite3")
    made = samples()
    began = time.monotonic()
    done = 0
    while time.monotonic() - began < seconds:
        life.outbox.put_many([next(made) for _ in range(GROUP)])
        done += GROUP
    life.end()
    return done / (time.monotonic() - began)
