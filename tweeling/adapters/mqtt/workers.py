"""Ingest in several processes: each worker reads and decodes messages of its own nodes, one writer commits for all.

A worker is a `Subscriber` whose inbox is a pipe to the hub's process. The writer takes what all workers have ready,
puts it into one commit, and sends each worker its answers; a worker acknowledges to the broker only then. A worker that
dies is started again, and the broker delivers again what it had not acknowledged; workers die with their hub.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from tweeling.adapters.mqtt.session import Address
from tweeling.adapters.mqtt.subscriber import Batching, Status, Subscriber
from tweeling.domain.now import NodeNow
from tweeling.errors import UnavailableError
from tweeling.ports.clock import Clock
from tweeling.ports.inbox import Answer, Inbox, Message, Outcome
from tweeling.ports.journal import Batch
from tweeling.wire import topics
from tweeling.wire.columnar import Decoder
from tweeling.wire.parcel import Parcel

log = logging.getLogger(__name__)

_STATUS_EVERY_S = 0.5
_RESTART_S = 1.0
_UNKNOWN = Status(False, 0, 0, 0, "not connected yet")


class Task(NamedTuple):
    """Everything a worker must know; nothing else reaches it."""

    address: Address
    filters: tuple[str, ...]
    batching: Batching
    clock: Clock
    skew_ms: int


class _Ask(NamedTuple):
    """What a worker asks of the writer: to commit a parcel, or for the gaps of its nodes (no parcel)."""

    parcel: Parcel | None
    load: float = 0.0


class Workers:
    """As a `Subscriber`, with one process per task; `inbox` is called by one thread here.

    on_batch and on_presence are called by that thread after each commit; they must be quick and must not raise.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        inbox: Inbox,
        *,
        on_batch: Callable[[Batch], None] = lambda _: None,
        on_presence: Callable[[NodeNow], None] = lambda _: None,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._inbox = inbox
        self._on_batch = on_batch
        self._on_presence = on_presence
        self._on_failed = on_failed
        self._stop = threading.Event()
        self._workers = [_Worker(task) for task in tasks]
        self._changed = threading.Condition()
        self._error = ""
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Start the processes; each connects now or as soon as there is a broker."""
        for worker in self._workers:
            worker.start()
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until every worker has its subscriptions; say whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: all(each.status.connected for each in self._workers), seconds)

    def status(self) -> Status:
        """How they are, all in one."""
        told = [worker.status for worker in self._workers]
        return Status(
            connected=all(each.connected for each in told),
            queued=sum(each.queued for each in told),
            received=sum(each.received for each in told),
            handled=sum(each.handled for each in told),
            error=self._error or next((each.error for each in told if each.error), ""),
        )

    def pids(self) -> list[int]:
        """The processes."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def close(self) -> None:
        """Let every worker finish what is under way, and end them."""
        for worker in self._workers:
            worker.ask_to_end()
        if self._thread.is_alive():
            self._thread.join()

    # ------------------------------------------------------------ the writer's thread

    def _run(self) -> None:
        try:
            while any(worker.alive for worker in self._workers):
                ready = set(wait([pipe for worker in self._workers for pipe in worker.pipes()], _STATUS_EVERY_S))
                for worker in self._workers:
                    if worker.control in ready and worker.hear():
                        with self._changed:
                            self._changed.notify_all()
                self._serve([worker for worker in self._workers if worker.data in ready])
                for worker in self._workers:
                    worker.restart_if_due()
        except Exception as exc:
            log.exception("ingest.stopped")
            self._error = f"ingest stopped: {exc}"
            for worker in self._workers:
                worker.ask_to_end()
                worker.hang_up()
            self._on_failed()

    def _serve(self, workers: Sequence[_Worker]) -> None:
        """Answer everything that workers ask now, with one commit."""
        asked = [(worker, ask) for worker in workers if (ask := worker.listen()) is not None]
        sent = [(worker, ask.parcel, ask.load) for worker, ask in asked if ask.parcel is not None]
        try:
            for worker, ask in asked:
                if ask.parcel is None:
                    worker.reply(tuple(answer for answer in self._inbox.gaps() if worker.covers(answer)))
            if not sent:
                return
            outcome = self._inbox.commit(
                Parcel.join([parcel for _, parcel, _ in sent]), load=max(load for _, _, load in sent)
            )
        except UnavailableError as exc:
            for worker, _ in asked:
                worker.reply(exc)
            return
        for worker, _, _ in sent:
            worker.reply(tuple(answer for answer in outcome.answers if worker.covers(answer)))
        for presence in outcome.presence:
            self._on_presence(presence)
        if outcome.batch is not None:
            self._on_batch(outcome.batch)


class _Worker:
    """One process, seen from the hub."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._process: multiprocessing.process.BaseProcess | None = None
        self._ending = False
        self._restart_at = 0.0
        self.status = _UNKNOWN
        self.data: Connection | None = None
        self.control: Connection | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or will again."""
        return self.control is not None or not self._ending

    def pipes(self) -> list[Connection]:
        return [pipe for pipe in (self.data, self.control) if pipe is not None]

    def start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.data, data = context.Pipe()
        self.control, control = context.Pipe()
        self._process = context.Process(target=_work, args=(self._task, data, control), name="ingest", daemon=True)
        self._process.start()
        data.close()
        control.close()

    def restart_if_due(self) -> None:
        if self.control is None and not self._ending and time.monotonic() >= self._restart_at:
            try:
                self.start()
            except OSError as exc:  # no memory, or no file handle, for another process
                log.warning("worker.not_started", extra={"reason": str(exc)})
                for pipe in self.pipes():
                    pipe.close()
                self.data = self.control = None
                self._restart_at = time.monotonic() + _RESTART_S

    def ask_to_end(self) -> None:
        self._ending = True
        if self.control is not None:
            _send(self.control, None)

    def hang_up(self) -> None:
        """Let it not wait for an answer that nobody gives any more."""
        if self.data is not None:
            self.data.close()
            self.data = None

    def covers(self, answer: Answer) -> bool:
        """Whether an answer belongs to one of its nodes."""
        return topics.covers(self._task.filters, topics.parse(answer.topic))

    def listen(self) -> _Ask | None:
        """What it asks; None where it died instead."""
        ask = None if self.data is None else _receive(self.data)
        if isinstance(ask, _Ask):
            return ask
        self._bury()
        return None

    def reply(self, answer: tuple[Answer, ...] | UnavailableError) -> None:
        if self.data is not None:
            _send(self.data, answer)

    def hear(self) -> bool:
        """Take in its status, or hand on what it logs; say whether its status changed."""
        told = None if self.control is None else _receive(self.control)
        match told:
            case Status():
                self.status = told
                return True
            case logging.LogRecord():
                if (heard := logging.getLogger(told.name)).isEnabledFor(told.levelno):
                    heard.handle(told)
            case None:
                self._bury()
        return False

    def _bury(self) -> None:
        if self._process is None or self.control is None:
            return
        for pipe in self.pipes():
            pipe.close()
        self.data = self.control = None
        self._process.join()
        if not self._ending:
            log.warning("worker.lost", extra={"pid": self.pid, "exit_code": self._process.exitcode})
            self.status = self.status._replace(connected=False, queued=0, error="a worker died and is started again")
            self._restart_at = time.monotonic() + _RESTART_S


# ---------------------------------------------------------------- in the worker's process


class _Pipe:
    """The `Inbox` of a worker: decodes here, has the hub commit."""

    def __init__(self, data: Connection, task: Task) -> None:
        self._data = data
        self._clock = task.clock
        self._decoder = Decoder(skew_ms=task.skew_ms)

    def handle(self, messages: Sequence[Message], *, load: float = 0.0) -> Outcome:
        """See `Inbox`."""
        parcel = self._decoder.read(messages, now_ms=self._clock.now_ms())
        return self.commit(parcel, load=load)

    def commit(self, parcel: Parcel, *, load: float = 0.0) -> Outcome:
        """See `Inbox`."""
        return Outcome(None, self._ask(_Ask(parcel, load)), (), parcel.suspects)

    def gaps(self) -> tuple[Answer, ...]:
        """See `Inbox`."""
        return self._ask(_Ask(None))

    def _ask(self, ask: _Ask) -> tuple[Answer, ...]:
        answer = _receive(self._data) if _send(self._data, ask) else None
        if isinstance(answer, tuple):
            return answer
        raise answer if isinstance(answer, UnavailableError) else UnavailableError("the hub's writer is gone")


class _Reports(logging.Handler):
    """Sends the hub what is logged, for it has the only log, and how the worker is."""

    def __init__(self, control: Connection) -> None:
        super().__init__()
        self._control = control
        self._told: Status | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record without what cannot travel."""
        if record.exc_info:
            record.msg = f"{record.getMessage()}\n{logging.Formatter().formatException(record.exc_info)}"
            record.args, record.exc_info = None, None
        _send(self._control, record)

    def tell(self, status: Status) -> bool:
        """Send a status that is news; say whether there is still a hub."""
        if status == self._told:
            return True
        self._told = status
        self.acquire()  # the lock of `emit`: a pipe takes one writer at a time
        try:
            return _send(self._control, status)
        finally:
            self.release()


def _work(task: Task, data: Connection, control: Connection) -> None:
    """A worker's life: until it is told to end, or its hub is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the hub says when
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reports = _Reports(control)
    logging.basicConfig(level=logging.INFO, handlers=[reports])
    failed = threading.Event()  # then the hub starts another
    subscriber = Subscriber(
        task.address, _Pipe(data, task), filters=task.filters, batching=task.batching, on_failed=failed.set
    )
    subscriber.start()
    while not failed.is_set() and not control.poll(_STATUS_EVERY_S) and reports.tell(subscriber.status()):
        pass
    subscriber.close()


def _send(pipe: Connection, what: object) -> bool:
    """Send; say whether there is still somebody at the other end."""
    try:
        pipe.send(what)
    except (OSError, ValueError):
        return False
    return True


def _receive(pipe: Connection) -> object:
    """Receive; None where nobody is at the other end any more."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None
