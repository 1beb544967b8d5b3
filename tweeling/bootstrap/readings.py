"""The road of a reading: broker, ingest, journal, projections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from tweeling.adapters import mqtt
from tweeling.adapters.clock import ScaledClock, SystemClock
from tweeling.adapters.duckdb import DuckDBStore, Keeping
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.mqtt import Address, Batching, Subscriber, Workers
from tweeling.adapters.mqtt.sessions import end_unwanted
from tweeling.adapters.nats import Credentials
from tweeling.adapters.sql.engine import Records, open_records
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.adapters.tls import Trust
from tweeling.config import Settings, reachable
from tweeling.domain.now import NodeNow
from tweeling.ports.clock import Clock
from tweeling.ports.facts import Facts
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.services.ingest import Ingest, IngestSettings
from tweeling.services.overload import Limits
from tweeling.services.projection import Applied, Projector
from tweeling.wire import topics

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Stores(NamedTuple):
    """A hub's open stores."""

    points: TimeSeriesStore
    records: Records
    facts: Facts


class Line(Protocol):
    """What feeds the ingest: a subscriber in this process, or workers."""

    def start(self) -> None:
        """Connect, now or as soon as there is a broker."""
        ...

    def wait(self, seconds: float) -> bool:
        """Wait until the broker has granted the subscriptions; say whether it has."""
        ...

    def status(self) -> mqtt.Status:
        """How it is, now."""
        ...

    def close(self) -> None:
        """Finish what is under way, and leave."""
        ...


class Telemetry(NamedTuple):
    """The road, ready; `line.start()` opens it."""

    journal: SqliteJournal
    projector: Projector
    ingest: Ingest
    line: Line


@contextmanager
def stores(settings: Settings) -> Iterator[Stores]:
    """Open a hub's stores, and close them."""
    with ExitStack() as closing:
        points = points_of(settings)
        closing.callback(points.close)
        records = open_records(records_url(settings))
        closing.callback(records.close)
        yield Stores(points, records, SqlFacts(records))


@contextmanager
def telemetry(
    settings: Settings,
    held: Stores,
    *,
    on_applied: Callable[[Applied], None] = lambda _: None,
    on_presence: Callable[[NodeNow], None] = lambda _: None,
    on_failed: Callable[[], None] = lambda: None,
) -> Iterator[Telemetry]:
    """Open the journal and join the road; whoever uses it starts the line, and runs the projector."""
    with ExitStack() as closing:
        journal = SqliteJournal(journal_path(settings), late_ms=round(settings.ingest.historical_after_s * 1000))
        closing.callback(journal.close)
        projector = Projector(journal, held.points, held.facts, on_applied)
        limits = Limits(
            sustained=settings.ingest.node_rate, burst=settings.ingest.node_burst, rate=settings.ingest.backlog_rate
        )
        ingest = Ingest(journal, clock_of(settings), IngestSettings(skew_ms=skew_ms(settings), limits=limits))
        line = _line(settings, ingest, wake=projector.wake, on_presence=on_presence, on_failed=on_failed)
        yield Telemetry(journal, projector, ingest, line)


def clock_of(settings: Settings) -> Clock:
    """The time that readings carry."""
    if settings.clock.speed == 1.0 and settings.clock.origin_real_ms == settings.clock.origin_sim_ms:
        return SystemClock()
    return ScaledClock(
        origin_sim_ms=settings.clock.origin_sim_ms,
        origin_real_ms=settings.clock.origin_real_ms,
        speed=settings.clock.speed,
    )


def _line(
    settings: Settings,
    ingest: Ingest,
    *,
    wake: Callable[[], None],
    on_presence: Callable[[NodeNow], None],
    on_failed: Callable[[], None],
) -> Line:
    address = broker_address(settings)
    batching = Batching(messages=settings.ingest.batch_messages, age_s=settings.ingest.batch_ms / 1000)
    ids = settings.data / "mqtt-sessions.json"
    if not settings.ingest.shards:
        end_unwanted(ids, address, [address.client_id])
        return Subscriber(
            address,
            ingest,
            on_batch=lambda _: wake(),
            on_presence=on_presence,
            on_failed=on_failed,
            batching=batching,
        )
    tasks = []
    for patterns in settings.ingest.shards:
        # Other nodes, another session: a broker keeps subscriptions with a session, also those that nobody wants now.
        name = hashlib.sha256(" ".join(sorted(patterns)).encode()).hexdigest()[:12]
        tasks.append(
            mqtt.Task(
                address=address.renamed(f"{address.client_id}-{name}"),
                filters=tuple(each for pattern in patterns for each in topics.of_nodes(pattern)),
                batching=batching,
                clock=clock_of(settings),
                skew_ms=skew_ms(settings),
            )
        )
    end_unwanted(ids, address, [task.address.client_id for task in tasks])
    return Workers(tasks, ingest, on_batch=lambda _: wake(), on_presence=on_presence, on_failed=on_failed)


def skew_ms(settings: Settings) -> int:
    """How far a reading may lie in the future."""
    return round(settings.ingest.skew_s * 1000)


def journal_path(settings: Settings) -> Path:
    """Where the ingest journal is."""
    return settings.data / "journal.db"


def records_url(settings: Settings) -> str:
    """Where facts and custody log are."""
    return settings.records.get_secret_value() if settings.records else f"sqlite:///{settings.data / 'records.db'}"


def points_of(settings: Settings, *, read_only: bool = False) -> TimeSeriesStore:
    """Open the time-series store."""
    match settings.store.kind:
        case "duckdb":
            return DuckDBStore(settings.data / "points.duckdb", read_only=read_only, keeping=_keeping(settings))
        case "victoriametrics":
            from tweeling.adapters.victoria import VictoriaMetricsStore

            return VictoriaMetricsStore(settings.store.url, ca_file=settings.store.ca_file)
        case "influxdb":
            from tweeling.bootstrap import influx

            return influx.store(settings)
        case "memory":
            return MemoryStore()


def _keeping(settings: Settings) -> Keeping:
    store = settings.store
    return Keeping(round(store.seal_hours * HOUR_MS), store.raw_days * DAY_MS, store.hourly_days * DAY_MS)


def broker_address(settings: Settings) -> Address:
    """The broker, and who the hub is to it."""
    broker = settings.broker
    who = Credentials.load(broker.hub_credentials)
    trust = None
    if broker.tls is not None:
        # Our own broker shows the very file that stands here, perhaps under no name by which this machine calls it.
        own = Trust(pinned_file=broker.tls.cert_file)
        trust = own if broker.embedded else Trust(**dict(broker.tls))
        trust.check(field="broker.tls")
    return Address(
        host=reachable(broker.host),
        port=broker.port,
        client_id=who.client_id or broker.client_id,
        username=who.username,
        password=who.password,
        protocol=mqtt.Protocol.V311 if broker.embedded else mqtt.Protocol(broker.protocol),  # all that NATS speaks
        trust=trust,
    )
