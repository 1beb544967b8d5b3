"""The processes that a benchmark measures: a hub's road of readings, and a subscriber that only counts."""

from __future__ import annotations

import cProfile
import io
import json
import pstats
import resource
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tweeling import config
from tweeling.adapters import secretfile
from tweeling.adapters.nats import Credentials
from tweeling.bootstrap import Threads, clock_of, stores, telemetry
from tweeling.ports.inbox import Message, Outcome
from tweeling.services.projection import Applied
from tweeling.wire.topics import Channel, every

READY = "ready"
_MAX_MS = 60_000


class Delays:
    """How long after its own time a reading could be asked for; milliseconds."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._counts = np.zeros(_MAX_MS + 1, dtype=np.int64)

    def __call__(self, news: Applied) -> None:
        """Take note of what was applied just now."""
        delays = np.clip(self._now_ms() - news.points.times, 0, _MAX_MS)
        self._counts += np.bincount(delays, minlength=_MAX_MS + 1)

    def quantile(self, share: float) -> float:
        """The delay that this share of readings stayed below; 0 without any."""
        total = int(self._counts.sum())
        return float(np.searchsorted(np.cumsum(self._counts), share * total)) if total else 0.0

    def count(self) -> int:
        """How many readings."""
        return int(self._counts.sum())


def run_hub(folder: Path, stop: threading.Event, *, profile: bool = False) -> None:
    """Run broker line, ingest, journal and projections until told to stop; then write `report.json`."""
    settings = config.load(folder / "tweeling.toml")
    delays = Delays(clock_of(settings).now_ms)
    with stores(settings) as held, telemetry(settings, held, on_applied=delays) as road:
        watched = _Profiled(road.ingest.handle) if profile else None
        if watched is not None:
            road.ingest.handle = watched  # type: ignore[method-assign]  # a benchmark may look inside
        threads = Threads(stop)
        threads.start("projector", road.projector.run, road.projector.wake)
        road.line.start()
        if not road.line.wait(30):
            raise TimeoutError("the broker does not answer")
        secretfile.write(folder / READY, "")
        stop.wait()
        road.line.close()
        road.projector.drain()
        counts, projected = road.journal.counts(), road.projector.status()
        threads.join()
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {
        **counts,
        "handled": road.line.status().handled,
        "applied": projected.through,
        "queryable_p50_ms": delays.quantile(0.5),
        "queryable_p99_ms": delays.quantile(0.99),
        "cpu_s": used.ru_utime + used.ru_stime,
        "rss_mb": used.ru_maxrss / 1024,
    }
    (folder / "report.json").write_text(json.dumps(report))
    if watched is not None:
        (folder / "profile.txt").write_text(watched.table())


class _Profiled:
    """Profiles the thread that calls it, from its first call on."""

    def __init__(self, handle: Callable[..., Outcome]) -> None:
        self._handle = handle
        self._profile: cProfile.Profile | None = None

    def __call__(self, messages: Sequence[Message], **more: Any) -> Outcome:
        if self._profile is None:
            self._profile = cProfile.Profile()
            self._profile.enable()
        return self._handle(messages, **more)

    def table(self) -> str:
        """The functions that took most time with all they call, and those that took most of their own."""
        if self._profile is None:
            return "nothing was handled\n"
        text = io.StringIO()
        stats = pstats.Stats(self._profile, stream=text).strip_dirs()
        for order in ("cumulative", "tottime"):
            stats.sort_stats(order).print_stats(40)
        return text.getvalue()


def run_null(folder: Path, stop: threading.Event) -> None:
    """Run paho as its manual shows it: a subscriber of QoS 1 that only counts; then write `report.json`."""
    settings = config.load(folder / "tweeling.toml")
    who = Credentials.load(settings.broker.credentials)
    five = settings.broker.protocol == "5"
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=who.client_id or settings.broker.client_id,
        clean_session=None if five else True,
        protocol=paho.MQTTv5 if five else paho.MQTTv311,
    )
    if who.username:
        client.username_pw_set(who.username, who.password)
    seen: list[float] = [0, 0.0, 0.0]  # messages, time of the first and of the newest

    def count(_client: object, _data: object, _message: object) -> None:
        seen[2] = time.monotonic()
        if not seen[0]:
            seen[1] = seen[2]
        seen[0] += 1

    client.on_message = count

    def subscribe(*_: object) -> None:
        client.subscribe(every(Channel.UP), 1)

    client.on_connect = subscribe
    client.on_subscribe = lambda *_: secretfile.write(folder / READY, "")
    client.connect(settings.broker.host, settings.broker.port)
    client.loop_start()
    stop.wait()
    client.disconnect()
    client.loop_stop()
    used = resource.getrusage(resource.RUSAGE_SELF)
    report = {"handled": seen[0], "seconds": seen[2] - seen[1], "cpu_s": used.ru_utime + used.ru_stime}
    (folder / "report.json").write_text(json.dumps(report))
