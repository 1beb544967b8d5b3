"""The outbox: what is put here is durable, has its seq, and stays until the hub has settled it."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path

from tweeling.errors import UnavailableError
from tweeling.wire.ranges import SeqSet
from tweeling_edge import outbox_file, outbox_store
from tweeling_edge.committer import Committer, Job, dropped
from tweeling_edge.events import Drop, Queued, Renewed
from tweeling_edge.notices import Failed, Notice, Settled
from tweeling_edge.outbox_store import Entry, Quota, Source, Stats
from tweeling_edge.reserve import Reserve
from tweeling_edge.sample import Sample, is_weighing, to_body
from tweeling_edge.seqs import Seqs


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
        self._path = path
        self._now_ms = now_ms
        self._new_epoch = new_epoch
        self._listen = listen
        reserve = Reserve(path)
        with ExitStack() as opened:
            opened.callback(os.close, outbox_file.hold(path))
            database = opened.enter_context(closing(self._opened(reserve)))
            self._reader = opened.enter_context(closing(outbox_file.connect(path)))
            self._writer = outbox_store.Writer(database, self.quota)
            reserve.take()
            self._committer = Committer(self._writer, reserve, listen)
            opened.callback(self._committer.close)
            self._files = opened.pop_all()
        self._reading = threading.Lock()

    def _opened(self, reserve: Reserve) -> sqlite3.Connection:
        def opened() -> sqlite3.Connection:
            return outbox_file.open_or_set_aside(self._path, now_ms=self._now_ms(), new_epoch=self._new_epoch)

        try:
            return opened()
        except UnavailableError:  # a full disk says many things before the file is open
            reserve.release()
            return opened()

    # ------------------------------------------------------------ what drivers use

    def put(self, sample: Sample, *, source: str = "", live: bool = True) -> int:
        """Keep one sample; return its seq once it is durable."""
        return self.put_many((sample,), source=source, live=live)[0]

    def put_many(
        self,
        samples: Sequence[Sample],
        *,
        source: str = "",
        cursor: str | None = None,
        live: bool = True,
        unread: Mapping[str, int] | None = None,
    ) -> tuple[int, int]:
        """Keep samples, the source's cursor and what it could not read; return first and last seq once all is durable.

        Raises UnavailableError when the disk does not take them; then nothing of them is kept.
        """
        entries = [Entry(to_body(sample), is_weighing(sample)) for sample in samples]
        seqs: list[int] = []

        def job() -> list[Notice]:
            first, last = self._writer.append(entries, source=source, cursor=cursor, now_ms=self._now_ms())
            seqs[:] = first, last
            if unread:
                self._writer.count("unread", unread)
            return [Queued(self._writer.epoch, first, last, live)] if entries else []

        self._committer.submit(job, weight=len(entries)).result()
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
        self._committer.submit(_silent(lambda: self._writer.rewind(name))).result()

    def wait_for_room(self, rows: int, stop: threading.Event) -> None:
        """Wait until fewer than `rows` are held, or stop is set (and the outbox woken)."""
        self._committer.wait_for(lambda: self._writer.rows < rows or stop.is_set())

    def wake(self) -> None:
        """Let those who wait look at their stop event."""
        self._committer.wake()

    # ------------------------------------------------------------ what the agent uses

    def state(self) -> tuple[str, int, Seqs, int | None, list[Drop]]:
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
        self._committer.owe(epoch, committed, refused)

    def drop(self, epoch: str, seqs: SeqSet, reason: str) -> None:
        """Give samples up, soon, and tell the agent."""
        self._committer.submit(
            lambda: dropped(epoch, self._writer.drop(seqs, reason)) if epoch == self._writer.epoch else []
        )

    def forget(self, ids: Sequence[int]) -> None:
        """The hub has heard of these drops."""
        self._committer.submit(_silent(lambda: self._writer.forget(ids)))

    def trust(self) -> None:
        """The hub agrees on the past: durable on return."""
        self._committer.submit(_silent(self._writer.trust)).result()

    def renew(self, settled: SeqSet) -> None:
        """Begin a new epoch, soon, and tell the agent, or that it failed."""

        def job() -> list[Notice]:
            epoch = self._new_epoch()
            return [Renewed(epoch, self._writer.renew(epoch, settled)), Settled()]

        def failed(done: Future[None]) -> None:
            if exc := done.exception():
                self._listen(Failed(str(exc)))

        self._committer.submit(job).add_done_callback(failed)

    def count(self, what: str, count: int) -> None:
        """Add to a count, soon."""
        self._committer.submit(_silent(lambda: self._writer.count(what, {"": count})))

    def stats(self) -> Stats:
        """Count what is there."""
        with self._reading:
            return outbox_store.stats(self._reader, self._now_ms())

    @property
    def rows(self) -> int:
        """How many samples are held, about now."""
        return self._writer.rows

    @property
    def alarm(self) -> str:
        """What an operator should know; empty where all is well."""
        troubles = [f"outbox damaged, kept as {path.name}" for path in outbox_file.set_aside(self._path)[-1:]]
        if self._committer.full:
            troubles.append("outbox: the disk is full")
        return "; ".join(troubles)

    def close(self) -> None:
        """Commit what waits, and let go of the file."""
        self._files.close()


def _silent(action: Callable[[], None]) -> Job:
    def job() -> list[Notice]:
        action()
        return []

    return job
