"""`tweeling bench custody`: how soon an event is durable in the log, how many a second, and what anchors cost."""

from __future__ import annotations

import http.client
import json
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling.adapters.clock import SystemClock
from tweeling.adapters.sql.engine import open_records
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.cli.bench import anchors, limits, rates
from tweeling.cli.bench.events import event
from tweeling.cli.bench.pace import paced, quantiles
from tweeling.cli.bench.report import Report, Row, at_least, at_most
from tweeling.cli.bench.tree import tree_rows
from tweeling.cli.installation import Installation
from tweeling.cli.supervisor import Supervisor, free_port, listening
from tweeling.domain import epcis
from tweeling.domain.canonical import jcs
from tweeling.domain.note import Signer
from tweeling.domain.partners import Partners
from tweeling.domain.signature import ED25519
from tweeling.errors import ConfigError, UnavailableError
from tweeling.ports.custody_api import DetachedSignature
from tweeling.services.custody import Custody, Submission

_RATE = 200.0  # events a second
_SOON_MS = 5.0
_BULK, _JCS = 3_000.0, 15_000.0  # events a second
_BATCH = 500
_WARM = 50
_PARTNER = "T1"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """events: in bulk. seconds: at 200 events/s. anchors: for each size of batch, 0 for none.

    leaves: of a tree in memory. cold: entries of a log of which the system remembers nothing, 0 for none.
    records: the URL of an empty record store, None for a SQLite file.
    """

    events: int
    seconds: float
    anchors: int
    leaves: int
    cold: int
    submitters: int = 8
    records: str | None = None


class Log:
    """A log of its own on a record store, its checkpoints signed as a hub's are; events are numbered as they come."""

    def __init__(self, store: SqlLogStore) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key().public_bytes_raw()
        self._custody = Custody(
            store,
            Signer("tweeling.bench/log", public, self._key.sign),
            clock=SystemClock(),
            random=secrets.token_bytes,
            partners=Partners({_PARTNER: {ED25519: public.hex()}}),
        )
        self.run = self._custody.run
        self.taken = 0

    def fresh(self, count: int) -> list[bytes]:
        """So many events that the log does not have."""
        self.taken += count
        return [event(number) for number in range(self.taken - count, self.taken)]

    def signed(self, body: bytes) -> DetachedSignature:
        """A partner's signature over an event."""
        return DetachedSignature(_PARTNER, ED25519, self._key.sign(jcs(json.loads(body))))

    def verifications_a_second(self, count: int = 2000) -> float:
        """How many signatures over such events are verified a second, and nothing else done."""
        body, public = event(0), self._key.public_key()
        signature = self._key.sign(body)
        return _rate(lambda _: public.verify(signature, body), [body] * count)

    def capture(self, body: bytes) -> None:
        """Capture one event."""
        self._custody.capture(body, token_id="bench")  # noqa: S106 -- a token's name

    def capture_many(self, bodies: Sequence[bytes], signatures: Sequence[DetachedSignature | None]) -> None:
        """Capture a batch of events, from the bytes that came to the answer."""
        parsed = [epcis.parse(body)[0] for body in bodies]
        self._custody.sequence(list(map(Submission, parsed, signatures)), token_id="bench")  # noqa: S106 -- likewise


def run(options: Options, report: Report) -> int:
    """Measure everything; return 0 when every goal was reached, 1 else."""
    if options.anchors:
        anchors.anvil()  # said now, and not after minutes
    with tempfile.TemporaryDirectory(prefix="tweeling-bench-", dir=Path.cwd()) as name:
        folder = Path(name)
        where = "SQLite" if options.records is None else "the record store given"
        report.say(f"events of {len(event(1))} bytes, {where}, {options.submitters} submitters")
        report.add(_computed(options))
        report.add(_captured(folder, options))
        if options.records is None:
            report.add(_through_http(folder, options))
        report.add(tree_rows(leaves=options.leaves, cold_entries=options.cold, folder=folder))
        if options.anchors:
            report.add(anchors.measure(folder, options.anchors))
    return 0 if report.kept else 1


def _computed(options: Options) -> Iterator[Row]:
    """What needs no disk, on one core."""
    bodies = [event(number) for number in range(options.events)]
    plain = list(map(json.loads, bodies))
    loads, dumps = _rate(json.loads, bodies), _rate(lambda value: json.dumps(value, sort_keys=True), plain)
    yield _at_least("jcs", _rate(jcs, plain), _JCS, limit=dumps)
    yield _at_least("parse_and_validate", _rate(epcis.parse, bodies), None, limit=loads)


def _captured(folder: Path, options: Options) -> Iterator[Row]:
    """Through the service onto the record store, one by one and in bulk."""
    with _log(folder, options.records) as (log, store):
        for body in log.fresh(_WARM):
            log.capture(body)
        plain = _bulk_rate(log, options.events, signed=False)
        with_signatures = _bulk_rate(log, options.events, signed=True)
        limit = bytes_each = None
        if options.records is None:
            bytes_each = (folder / "records.db").stat().st_size // store.size()
            limit = limits.rows_a_second(folder / "rows.db", bytes_each, options.events, at_once=_BATCH)
            yield at_most("bytes_an_event", bytes_each, "bytes", None, bench="custody")
        yield from _soon(folder, log, options, bytes_each)
        kept = store.size()
    yield _at_least("bulk", plain, _BULK, limit=limit)
    yield _at_least("bulk_signed", with_signatures, None, limit=log.verifications_a_second())
    yield at_most("lost_or_double", abs(kept - log.taken), "events", 0.0, bench="custody")


def _soon(folder: Path, log: Log, options: Options, bytes_each: int | None) -> Iterator[Row]:
    """Capture to durable entry at a steady rate; beside it a bare commit, and a bare sync, at the same rate.

    bytes_each: what an event takes in the file, and a bare commit with it; None on a database server.
    """
    count = round(_RATE * options.seconds)
    bare = None
    if bytes_each is not None:
        with limits.commits(folder / "bare.db", bytes_each) as commit:
            bare = paced(commit, rate=_RATE, count=count, submitters=options.submitters)
    for name, submitters in (("capture", options.submitters), ("capture_by_one_submitter", 1)):
        bodies = log.fresh(count)
        took = paced(lambda number: log.capture(bodies[number]), rate=_RATE, count=count, submitters=submitters)  # noqa: B023 -- at once
        yield from quantiles("custody", name, took, beside=bare, p95=_SOON_MS)
    with limits.syncs(folder / "bare", len(event(1))) as sync:
        yield from quantiles("custody", "fsync", paced(sync, rate=_RATE, count=count, submitters=1))


def _through_http(folder: Path, options: Options) -> Iterator[Row]:
    """POST /events of a hub in a process of its own, from the request to the answer 201."""
    installation = Installation(folder / "hub")
    port, mqtt = free_port(), free_port()
    tweeling = [sys.executable, "-m", "tweeling"]
    made = [*tweeling, "init", "--data", str(installation.folder), "--port", str(port), "--mqtt-port", str(mqtt)]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnavailableError(f"no hub could be made: {done.stderr.strip()[-500:]}")
    token = installation.token("partners").read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    count = round(_RATE * options.seconds)
    bodies = [event(number) for number in range(count + _WARM)]
    each = threading.local()

    def post(number: int) -> None:
        if not hasattr(each, "line"):
            each.line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        each.line.request("POST", "/events", bodies[number], headers)
        answer = each.line.getresponse()
        text = answer.read()
        if answer.status != http.client.CREATED:
            raise UnavailableError(f"the hub answers {answer.status}: {text[:300]!r}")

    with Supervisor(folder / "log") as children:
        argv = [*tweeling, "up", "--data", str(installation.folder)]
        children.start("hub", argv, ready=lambda: listening(port), within=60)
        for number in range(count, count + _WARM):
            post(number)
        took = paced(post, rate=_RATE, count=count, submitters=options.submitters)
    yield from quantiles("custody", "http", took)


@contextmanager
def _log(folder: Path, url: str | None) -> Iterator[tuple[Log, SqlLogStore]]:
    with closing(open_records(url or f"sqlite:///{folder / 'records.db'}")) as records:
        store = SqlLogStore(records)
        if store.size():
            raise ConfigError("holds a log", field="--records", remedy="Name an empty database: the bench fills it")
        log = Log(store)
        stop = threading.Event()
        checkpoints = threading.Thread(target=log.run, args=(stop,))
        checkpoints.start()
        try:
            yield log, store
        finally:
            stop.set()
            checkpoints.join()


def _bulk_rate(log: Log, count: int, *, signed: bool) -> float:
    bodies = log.fresh(count)
    signatures = [log.signed(body) if signed else None for body in bodies]
    began = time.perf_counter()
    for start in range(0, count, _BATCH):
        log.capture_many(bodies[start : start + _BATCH], signatures[start : start + _BATCH])
    return count / (time.perf_counter() - began)


def _rate(work: Callable[[_T], object], values: Sequence[_T]) -> float:
    return rates.best(len(values), lambda: deque(map(work, values), maxlen=0)).by_clock


def _at_least(metric: str, rate: float, goal: float | None, *, limit: float | None) -> Row:
    return at_least(metric, rate, "events/s", goal, limit=limit, bench="custody")
