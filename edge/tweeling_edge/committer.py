"""The thread that writes the outbox: whatever waits when it is free goes into one transaction.

Many writers so share a sync, and a lone one waits for its own only. Deletions are in no hurry: they share the next
transaction, and have one of their own only where none comes. Where the disk is full, the room kept for that is given
back to it, readings are given up as if the quota were what is there now, and the transaction is tried once more.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum

from tweeling.errors import TweelingError, UnavailableError
from tweeling.wire.ranges import SeqSet
from tweeling_edge.events import Drop, Dropped
from tweeling_edge.logs import Seldom
from tweeling_edge.notices import Alarmed, Failed, Notice, Settled, merged
from tweeling_edge.outbox_file import DiskFullError
from tweeling_edge.outbox_store import Writer
from tweeling_edge.reserve import Reserve

log = logging.getLogger("tweeling_edge.outbox")

GROUP = 100  # samples in a transaction, and then the next; one driver's batch is never parted
LATER_S = 0.1  # deletions wait for company no longer
ROOM_EVERY_S = 5.0  # between two looks at a full disk

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


class Committer:
    """Carries out jobs, each in a transaction, and calls `listen` after each commit."""

    def __init__(self, writer: Writer, reserve: Reserve, listen: Callable[[Notice], None]) -> None:
        self._writer = writer
        self._reserve = reserve
        self._listen = listen
        self._owed: deque[tuple[str, SeqSet, SeqSet]] = deque()  # deletions; a full disk only delays them
        self._tasks: queue.SimpleQueue[_Task | _Signal] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._broken: TweelingError | None = None
        self._closed = False
        self.full = False
        self._look_at = 0.0  # for room
        self._given_up = 0  # in this pass
        self._thinned = Seldom(log, "outbox.thinned", "given_up")
        self._thread = threading.Thread(target=self._write, name="outbox")
        self._thread.start()

    def submit(self, job: Job, *, weight: int = 1) -> Future[None]:
        """Have a job done; the future is done when it is durable."""
        done: Future[None] = Future()
        if self._broken is not None:
            done.set_exception(self._broken)
        elif self._closed:
            done.set_exception(UnavailableError("outbox: closed"))
        else:
            self._tasks.put(_Task(job, weight, done))
        return done

    def owe(self, epoch: str, committed: SeqSet, refused: SeqSet) -> None:
        """Delete these soon."""
        if self._broken is None:
            self._owed.append((epoch, committed, refused))
            self._tasks.put(_Signal.LATER)

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until a commit (or `wake`) makes this true, or none will come any more."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or self._broken is not None)

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Commit what waits, and end."""
        if not self._closed:
            self._closed = True
            self._tasks.put(_Signal.END)
            self._thread.join()

    # ------------------------------------------------------------ the thread

    def _write(self) -> None:
        last = False
        while not last:
            tasks, last = self._group()
            self._look_for_room()
            if not tasks and not self._owed and not self._writer.thinning:
                continue
            try:
                self._commit_somehow([task.job for task in tasks])
            except UnavailableError as exc:
                self._refuse(tasks, exc)
            except Exception as exc:
                log.exception("outbox.broken")
                self._broken = exc if isinstance(exc, TweelingError) else TweelingError(f"outbox: {exc}")
                self._owed.clear()
                self._listen(Failed(str(self._broken)))
                self._refuse(tasks, self._broken)
            else:
                for task in tasks:
                    task.done.set_result(None)
                self.wake()

    def _commit_somehow(self, jobs: Sequence[Job]) -> None:
        try:
            self._commit(jobs)
        except DiskFullError as exc:
            self._make_room(exc)
            self._commit(jobs)

    def _commit(self, jobs: Sequence[Job]) -> None:
        owed = list(self._owed)
        notices: list[Notice] = [Settled()] if owed else []
        with self._writer.transaction():
            for epoch, committed, refused in owed:
                if epoch == self._writer.epoch:
                    self._writer.settle(committed, refused)
            for job in jobs:
                notices += job()
            thinned = self._writer.thin()
            notices += dropped(self._writer.epoch, thinned)
        for _ in owed:
            self._owed.popleft()
        self._tell_of(thinned)
        for notice in merged(notices):
            self._listen(notice)

    def _group(self) -> tuple[list[_Task], bool]:
        """Wait for a task; return what waits with it, up to a group's weight, and whether there will be no more."""
        tasks: list[_Task] = []
        weight = 0
        give_up_at = self._give_up_at()
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

    def _give_up_at(self) -> float | None:
        """Until when to wait for a task; None where nothing else is to be done."""
        now = time.monotonic()
        if self._writer.thinning:
            return now
        if self._owed:
            return now + LATER_S
        return self._look_at if self.full else None

    def _refuse(self, tasks: Sequence[_Task], exc: TweelingError) -> None:
        for task in tasks:
            task.done.set_exception(exc)
        self.wake()

    # ------------------------------------------------------------ a full disk

    def _make_room(self, exc: DiskFullError) -> None:
        self._reserve.release()
        if not self.full:
            self.full = True
            self._look_at = time.monotonic() + ROOM_EVERY_S
            log.warning("outbox.full", extra={"reason": str(exc), "rows": self._writer.rows})
            self._listen(Alarmed())
        self._writer.squeeze()
        while self._writer.thinning:
            self._commit(())

    def _tell_of(self, thinned: Sequence[Drop]) -> None:
        self._given_up += sum(drop.last - drop.first + 1 for drop in thinned)
        if not self._writer.thinning:
            self._thinned.note(self._given_up, rows=self._writer.rows)
            self._given_up = 0

    def _look_for_room(self) -> None:
        if self.full and time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + ROOM_EVERY_S
            if self._reserve.take():
                self.full = False
                self._writer.relax()
                log.info("outbox.room", extra={"rows": self._writer.rows})
                self._listen(Alarmed())


def dropped(epoch: str, drops: Sequence[Drop]) -> list[Notice]:
    """Tell the agent what was given up, if anything was."""
    return [Dropped(epoch, tuple(drops))] if drops else []
