"""A small hub that commits in memory and acknowledges, and the real agent as a process."""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from support_broker import DEADLINE, Broker, Client
from support_servers import free_port

from tweeling.domain.telemetry import Movement
from tweeling.wire import topics
from tweeling.wire.ack import Ack, State
from tweeling.wire.envelope import Decoded, decode
from tweeling.wire.ranges import SeqSet
from tweeling.wire.senml import Resolved
from tweeling.wire.topics import Channel, Topic
from tweeling_edge.bench.memory import peak_mb
from tweeling_edge.clock import system_ms
from tweeling_edge.outbox import Outbox

FAR_MS = 10**13


class Hub:
    """Commits readings by (epoch, seq), once. loss: the share of envelopes that vanish behind the broker.

    slow_s: how long it takes for each envelope that holds readings.
    """

    def __init__(self, broker: Broker, *, loss: float = 0.0, rate: float = 0.0, slow_s: float = 0.0) -> None:
        self.readings: list[tuple[str, int, float, str]] = []
        self.movements: list[Movement] = []
        self.settled: dict[str, SeqSet] = {}
        self.dropped: dict[str, SeqSet] = {}
        self.arrived_ms: dict[tuple[str, int], int] = {}  # (name, time) -> when it was first committed
        self.states: list[State] = []
        self.envelopes: list[Decoded] = []
        self.counts: Counter[str] = Counter()
        self._loss, self.rate, self._slow_s = loss, rate, slow_s
        self._ending = threading.Event()
        self._random = random.Random(7)
        self._changed = threading.Condition()
        self._client = Client(broker, broker.hub(), client_id=None if broker.config is None else broker.hub().client_id)
        assert self._client.subscribe(topics.every(Channel.UP), qos=1) == 1
        assert self._client.subscribe(topics.every(Channel.STATE), qos=1) == 1
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._client.__exit__()

    def wait(self, condition: Callable[[], object], what: str, *, seconds: float = DEADLINE) -> None:
        """Wait until a message makes the condition true."""
        with self._changed:
            assert self._changed.wait_for(condition, seconds), f"not within {seconds:.0f} s: {what}; {self.counts}"

    def _run(self) -> None:
        while not self._ending.is_set():
            with suppress(queue.Empty):
                topic, payload = self._client.receive(0.1)
                with self._changed:
                    self._take(topics.parse(topic), payload)
                    self._changed.notify_all()

    def _take(self, topic: Topic, payload: bytes) -> None:
        if topic.channel is Channel.STATE:
            self.states.append(State.decode(payload))
            return
        self.counts["envelopes"] += 1
        if self._random.random() < self._loss:
            self.counts["lost"] += 1
            return
        came = decode(topic, payload, now_ms=FAR_MS, skew_ms=0)
        self.envelopes.append(came)
        known = self.settled.get(came.epoch, SeqSet())
        refused = SeqSet.of((first, last) for first, last, _ in came.refused)
        rows = zip(came.names, came.times, came.values, came.units, came.seqs, strict=True)
        news = [(name, at, value, unit) for name, at, value, unit, seq in rows if seq not in known]
        self.readings += news
        now_ms = system_ms()
        for name, at, _, _ in news:
            self.arrived_ms.setdefault((name, at), now_ms)
        self.movements += [movement for movement in came.movements if movement.identity.seq not in known]
        self.counts["repeated"] += len(came.accepted & known)
        known = self.settled[came.epoch] = known | came.accepted | refused
        dropped = SeqSet.of((first, last) for first, last, _ in came.dropped)
        self.dropped[came.epoch] = self.dropped.get(came.epoch, SeqSet()) | dropped
        ack = Ack(
            epoch=came.epoch,
            committed=(known - refused).ranges if came.ask else came.accepted.ranges,
            refused=came.refused,
            known=came.ask,
            rate=self.rate,
        )
        if came.seqs and self._slow_s:
            self._changed.notify_all()
            self._changed.wait_for(self._ending.is_set, self._slow_s)
        self._client.publish(str(topic._replace(channel=Channel.ACK)), ack.encode(), qos=0)


class Process:
    """`tweeling-edge` as it is started on a gateway; `program` may take the place of `-m tweeling_edge`."""

    def __init__(self, *arguments: str | Path, program: Sequence[str] = ("-m", "tweeling_edge")) -> None:
        self.lines: list[str] = []
        self.out = ""
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            [sys.executable, *program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )
        self._readers = [threading.Thread(target=self._read_err), threading.Thread(target=self._read_out)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._finish()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_line(self, part: str, *, seconds: float = DEADLINE) -> str:
        """Wait for a log line that contains this."""

        def found() -> str | None:
            return next((line for line in self.lines if part in line), None)

        with self._changed:
            assert self._changed.wait_for(found, seconds), f"no {part!r} in:\n" + "\n".join(self.lines)
            return found() or ""

    def wait(self, *, seconds: float = 60.0) -> int:
        """Wait for its end; return the exit code."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("still running:\n" + "\n".join(self.lines)) from None
        self._finish()
        return self._process.returncode

    def terminate(self) -> int:
        """Ask for the end as systemd does."""
        self._process.terminate()
        return self.wait()

    def kill(self) -> None:
        """As a power cut would."""
        self._process.kill()
        self._finish()

    def freeze(self) -> None:
        """Stop it in its tracks: its sockets stay open, and nobody answers at them."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on as if nothing had been."""
        self._process.send_signal(signal.SIGCONT)

    def peak_mb(self) -> float:
        """The most memory it has held so far."""
        return peak_mb(self.pid)

    def _finish(self) -> None:
        self._process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)

    def _read_err(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._changed:
                self.lines.append(line.rstrip())
                self._changed.notify_all()
        self._process.stderr.close()

    def _read_out(self) -> None:
        assert self._process.stdout is not None
        self.out = self._process.stdout.read()
        self._process.stdout.close()


def write_config(
    folder: Path,
    *,
    broker: Broker | None,
    hub: str = "H1",
    node: str = "gw1",
    extra: str = "",
    top: str = "",
    outbox: str = "",
    settings: str = "",
) -> Path:
    """Write the agent's configuration for a broker (`settings`: of it), or for a port where nobody listens."""
    lines = [f'hub = "{hub}"\nnode = "{node}"\n{top}', f"[broker]\n{settings}"]
    if broker is None:
        lines.append(f"port = {free_port()}")
    else:
        lines.append(f'host = "{broker.host}"\nport = {broker.port}')
        if who := broker.node(hub, node).username:
            path = folder / "credentials.json"
            path.touch(mode=0o600)
            path.write_text(json.dumps({"username": who, "password": broker.node(hub, node).password}))
            lines.append('credentials = "credentials.json"')
    path = folder / "edge.toml"
    path.write_text("\n".join([*lines, f'[outbox]\npath = "outbox.sqlite3"\n{outbox}', extra]))
    return path


def fill_outbox(path: Path, rows: int, *, name: str = "old") -> None:
    """Leave an outbox with this many readings of a past time, as an outage would."""
    outbox = Outbox(path, now_ms=system_ms, new_epoch=lambda: "0123456789abcdef")
    try:
        for start in range(0, rows, 1000):
            outbox.put_many(
                [
                    (Resolved(f"{name}/level", 1_700_000_000_000 + 60_000 * row, row % 101, "", None),)
                    for row in range(start, min(start + 1000, rows))
                ]
            )
        outbox.trust()
    finally:
        outbox.close()


def write_csv(
    path: Path, rows: int, *, sensors: Sequence[str] = ("s1", "s2", "s3"), start_s: int = 1_700_000_000
) -> Path:
    """Write `rows` readings, each with its own time."""
    lines = ["sensor,time,value,unit"]
    lines += [f"{sensors[i % len(sensors)]},{start_s + 60 * i},{i % 101},%" for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
