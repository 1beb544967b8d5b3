"""The outbox: what is put here is durable, has its seq, and stays until the hub has settled it.

One thread writes. Whatever waits when it is free goes into one transaction (at most 100 samples and then the next), so
that many writers share a sync and a lone one waits for its own only. Deletions are in no hurry: they share the next
transaction, and have one of their own only where none comes.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tweeling.errors import TweelingError, UnavailableError
from tweeling.wire.ranges import SeqSet
from tweeling_edge import outbox_file, outbox_store
from tweeling_edge.events import Drop, Dropped, Queued, Renewed
from tweeling_edge.outbox_store import Entry, Quota, Source, Stats
from tweeling_edge.sample import Sample, is_weighing, to_body

log = logging.getLogger("tweeling_edge.outbox")

GROUP = 100
LATER_S = 0.1  # deletions wait for company no longer


@dataclass(frozen=True, slots=True)
class Settled:
    """Samples left the outbox."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The outbox, or a part of the agent, can go no further."""

    reason: str


Notice = Queued | Dropped | Renewed | Settled | Failed
Job = Callable[[], list[Notice]]


class _Signal(Enum):
    """What is no job: there are deletions, or no more jobs."""

    LATER = 1
    END = 2


@dataclass(frozen=True, slots=True)
class _Task:
    """A job, how many samples it keeps, and who waits for it."""

    job: Job
    weight: int
    done: Future[None]


class Outbox:
    """A durable queue of samples. The writing thread calls `listen` after each commit, in the order of commits."""

    def __init__(
        self,
        path: Path,
        *,
        now_ms: Callable[[], int],
        new_epoch: Callable[[], str],
        quota: Quota | None = None,
        listen: Callable[[Notice], None] = lambda _: None,
    ) -> None:
        """Open or create the file; raise ConfigError where another process has it."""
        self.quota = quota or Quota()
        self._now_ms = now_ms
        self._new_epoch = new_epoch
        self._listen = listen
        self._owed: deque[tuple[str, SeqSet, SeqSet]] = deque()  # deletions; a full disk only delays them
        self._tasks: queue.SimpleQueue[_Task | _Signal] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._broken: TweelingError | None = None
        self._closed = False
        with ExitStack() as opened:
            opened.callback(os.close, outbox_file.hold(path))
            self._db = opened.enter_context(
                closing(outbox_file.open_or_set_aside(path, now_ms=now_ms(), new_epoch=new_epoch))
            )
            self._reader = opened.enter_context(closing(outbox_file.connect(path)))
            self._writer = outbox_store.Writer(self._db, self.quota)
            self._files = opened.pop_all()
        self._reading = threading.Lock()
        self._thread = threading.Thread(target=self._write, name="outbox")
        self._thread.start()

    # ------------------------------------------------------------ what drivers use

    def put(self, sample: Sample, *, source: str = "", live: bool = True) -> int:
        """Keep one sample; return its seq once it is durable."""
        return self.put_many((sample,), source=source, live=live)[0]

    def put_many(
        self, samples: Sequence[Sample], *, source: str = "", cursor: str | None = None, live: bool = True
    ) -> tuple[int, int]:
        """Keep samples and the source's cursor, all or none; return first and last seq once they are durable.

        Raises UnavailableError when the disk does not take them; then nothing of them is kept.
        """
        entries = [Entry(to_body(sample), is_weighing(sample)) for sample in samples]
        seqs: list[int] = []

        def job() -> list[Notice]:
            first, last = self._writer.append(entries, source=source, cursor=cursor, now_ms=self._now_ms())
            seqs[:] = first, last
            queued = [Queued(self._writer.epoch, first, last, live)] if entries else []
            return [*queued, *self._dropped(self._writer.thin())]

        self._submit(job, weight=len(entries)).result()
        return seqs[0], seqs[1]

    def source(self, name: str) -> Source:
        """What is known of a source, and where it goes on."""
        return self.sources().get(name, Source())

    def sources(self) -> dict[str, Source]:
        """What is known of every source."""
        with self._reading:
            return outbox_store.sources(self._reader)

    def rewind(self, name: str) -> None:
        """Let a source begin again."""
        self._submit(_silent(lambda: self._writer.rewind(name))).result()

    def wait_for_room(self, rows: int, stop: threading.Event) -> None:
        """Wait until fewer than `rows` are held, or stop is set (and the outbox woken)."""
        with self._changed:
            self._changed.wait_for(lambda: self._writer.rows < rows or stop.is_set() or self._broken is not None)

    def wake(self) -> None:
        """Let those who wait look at their stop event."""
        with self._changed:
            self._changed.notify_all()

    # ------------------------------------------------------------ what the agent uses

    def state(self) -> tuple[str, int, SeqSet, int | None, list[Drop]]:
        """Epoch, last seq, what is held, the first seq in doubt, and unheard drops; before anything else is done."""
        with self._reading:
            return (
                self._writer.epoch,
                self._writer.last,
                outbox_store.held(self._reader),
                self._writer.fresh,
                outbox_store.drops(self._reader),
            )

    def page(self, seqs: SeqSet) -> dict[int, str]:
        """The bodies of some seqs that are still there; others that lie between may come too."""
        with self._reading:
            return outbox_store.page(self._reader, seqs)

    def settle(self, epoch: str, committed: SeqSet, refused: SeqSet) -> None:
        """Delete what the hub has settled, soon; a crash before that only causes a repeat."""
        if self._broken is None:
            self._owed.append((epoch, committed, refused))
            self._tasks.put(_Signal.LATER)

    def drop(self, epoch: str, seqs: SeqSet, reason: str) -> None:
        """Give samples up, soon, and tell the agent."""
        self._submit(lambda: self._dropped(self._writer.drop(seqs, reason)) if epoch == self._writer.epoch else [])

    def forget(self, ids: Sequence[int]) -> None:
        """The hub has heard of these drops."""
        self._submit(_silent(lambda: self._writer.forget(ids)))

    def trust(self) -> None:
        """The hub agrees on the past: durable on return."""
        self._submit(_silent(self._writer.trust)).result()

    def renew(self, settled: SeqSet) -> None:
        """Begin a new epoch, soon, and tell the agent, or that it failed."""

        def job() -> list[Notice]:
            epoch = self._new_epoch()
            return [Renewed(epoch, self._writer.renew(epoch, settled)), Settled()]

        def failed(done: Future[None]) -> None:
            if exc := done.exception():
                self._listen(Failed(str(exc)))

        self._submit(job).add_done_callback(failed)

    def stats(self) -> Stats:
        """Count what is there."""
        with self._reading:
            return outbox_store.stats(self._reader)

    @property
    def rows(self) -> int:
        """How many samples are held, about now."""
        return self._writer.rows

    def close(self) -> None:
        """Commit what waits, and let go of the outbox_file."""
        if self._closed:
            return
        self._closed = True
        self._tasks.put(_Signal.END)
        self._thread.join()
        self._files.close()

    # ------------------------------------------------------------ the writing thread

    def _submit(self, job: Job, *, weight: int = 1) -> Future[None]:
        done: Future[None] = Future()
        if self._broken is not None:
            done.set_exception(self._broken)
        elif self._closed:
            done.set_exception(UnavailableError("outbox: closed"))
        else:
            self._tasks.put(_Task(job, weight, done))
        return done

    def _dropped(self, drops: list[Drop]) -> list[Notice]:
        return [Dropped(self._writer.epoch, tuple(drops))] if drops else []

    def _write(self) -> None:
        last = False
        while not last:
            tasks, last = self._group()
            if not tasks and not self._owed:
                continue
            try:
                notices = self._commit([task.job for task in tasks])
            except UnavailableError as exc:
                self._refuse(tasks, exc)
                continue
            except Exception as exc:
                log.exception("outbox.broken")
                self._broken = exc if isinstance(exc, TweelingError) else TweelingError(f"outbox: {exc}")
                self._owed.clear()
                self._listen(Failed(str(self._broken)))
                self._refuse(tasks, self._broken)
                continue
            for notice in _merged(notices):
                self._listen(notice)
            for task in tasks:
                task.done.set_result(None)
            self.wake()

    def _commit(self, jobs: list[Job]) -> list[Notice]:
        owed = list(self._owed)
        notices: list[Notice] = [Settled()] if owed else []
        with self._writer.transaction():
            for epoch, committed, refused in owed:
                if epoch == self._writer.epoch:
                    self._writer.settle(committed, refused)
            for job in jobs:
                notices += job()
        for _ in owed:
            self._owed.popleft()
        return notices

    def _group(self) -> tuple[list[_Task], bool]:
        """Wait for a task; return what waits with it, up to a group's weight, and whether there will be no more."""
        tasks: list[_Task] = []
        weight = 0
        give_up_at = time.monotonic() + LATER_S if self._owed else None
        while weight < GROUP:
            try:
                if tasks:
                    item = self._tasks.get_nowait()
                else:
                    item = self._tasks.get(timeout=give_up_at and max(0.0, give_up_at - time.monotonic()))
            except queue.Empty:
                break
            if item is _Signal.END:
                return tasks, True
            if item is _Signal.LATER:
                give_up_at = give_up_at or time.monotonic() + LATER_S
            else:
                tasks.append(item)
                weight += item.weight
        return tasks, False

    def _refuse(self, tasks: list[_Task], exc: TweelingError) -> None:
        for task in tasks:
            task.done.set_exception(exc)
        self.wake()


def _silent(action: Callable[[], None]) -> Job:
    def job() -> list[Notice]:
        action()
        return []

    return job


def _merged(notices: list[Notice]) -> list[Notice]:
    """Join neighbouring Queued of one kind, so that they can share an envelope."""
    merged: list[Notice] = []
    for notice in notices:
        before = merged[-1] if merged else None
        if (
            isinstance(notice, Queued)
            and isinstance(before, Queued)
            and (before.epoch, before.live, before.last + 1) == (notice.epoch, notice.live, notice.first)
        ):
            merged[-1] = Queued(before.epoch, before.first, notice.last, before.live)
        else:
            merged.append(notice)
    return merged
