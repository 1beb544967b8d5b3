"""The one place that joins services to adapters: a hub from its settings."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tweeling.adapters.clock import ScaledClock, SystemClock
from tweeling.adapters.duckdb import DuckDBStore
from tweeling.adapters.journal import SqliteJournal
from tweeling.adapters.keys import load_log_key
from tweeling.adapters.memory import MemoryStore
from tweeling.adapters.mqtt import Address, Batching, Subscriber
from tweeling.adapters.nats import Credentials
from tweeling.adapters.sql.engine import Records, open_records
from tweeling.adapters.sql.facts import SqlFacts
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.config import Settings
from tweeling.domain.partners import Partners
from tweeling.errors import UnavailableError
from tweeling.ports.clock import Clock
from tweeling.ports.facts import Facts
from tweeling.ports.ledger import Ledger
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.services import anchoring
from tweeling.services.claims import Claims
from tweeling.services.custody import Custody
from tweeling.services.forecasting import Forecaster
from tweeling.services.ingest import Ingest, IngestSettings
from tweeling.services.projection import Applied, Projector
from tweeling.services.status import Status
from tweeling.services.twin import Twin
from tweeling.services.view import HubView
from tweeling.verify import TrustedContract

log = logging.getLogger("tweeling.hub")


class Stores(NamedTuple):
    """A hub's open stores."""

    points: TimeSeriesStore
    records: Records
    facts: Facts


class Hub(NamedTuple):
    """A running hub, as its server sees it."""

    view: HubView
    custody: Custody


@contextmanager
def stores(settings: Settings) -> Iterator[Stores]:
    """Open a hub's stores, and close them."""
    with ExitStack() as closing:
        points = _points(settings)
        closing.callback(points.close)
        url = settings.records.get_secret_value() if settings.records else f"sqlite:///{settings.data / 'records.db'}"
        records = open_records(url)
        closing.callback(records.close)
        yield Stores(points, records, SqlFacts(records))


@contextmanager
def hub(settings: Settings, stop: threading.Event) -> Iterator[Hub]:
    """Run a hub while the block runs: ingest, projection, custody, anchors, forecasts. A failed thread sets `stop`."""
    with ExitStack() as closing:
        points, records, facts = closing.enter_context(stores(settings))
        journal = SqliteJournal(settings.data / "journal.db", late_ms=round(settings.ingest.historical_after_s * 1000))
        closing.callback(journal.close)
        clock, real = _clock(settings), SystemClock()
        log_store = SqlLogStore(records)

        twin = Twin(points, facts)
        custody = Custody(
            log_store,
            load_log_key(settings.custody.key_file, settings.custody.passphrase_file, origin=settings.custody.origin),
            clock=real,
            random=secrets.token_bytes,
            partners=_partners(settings),
        )
        ledger = _ledger(settings, closing)
        anchor = None
        if ledger is not None:
            batching = anchoring.Batching(max_age_ms=round(settings.ledger.max_age_s * 1000))
            anchor = anchoring.Anchoring(log_store, ledger, clock=real, batching=batching)
        _publish_trust(settings, custody, ledger)
        claims = Claims(facts, custody)
        forecaster = Forecaster(
            points,
            clock,
            twin.things,
            horizon=settings.forecast.horizon_h,
            every_ms=round(settings.forecast.every_h * 3_600_000),
            on_made=twin.touch,
        )

        def applied(news: Applied) -> None:
            twin.apply(news.points, news.movements)
            claims.wake()

        projector = Projector(journal, points, facts, applied)
        ingest = Ingest(journal, clock, IngestSettings(skew_ms=round(settings.ingest.skew_s * 1000)))
        subscriber = Subscriber(
            _address(settings),
            ingest,
            on_batch=lambda _: projector.wake(),
            on_presence=twin.presence,
            batching=Batching(messages=settings.ingest.batch_messages, age_s=settings.ingest.batch_ms / 1000),
        )
        status = Status(
            subscriber=subscriber.status,
            journal=journal,
            projector=projector,
            points=points,
            facts=facts,
            custody=custody,
            anchoring=anchor,
            forecaster=forecaster,
        )
        view = HubView(
            twin=twin,
            store=points,
            forecaster=forecaster,
            clock=clock,
            events=custody.events,
            health=status.health,
            counts=status.counts,
        )

        threads = Threads(stop)
        closing.callback(threads.join)
        threads.start("projector", lambda stop: _follow(twin, projector, stop), projector.wake)
        threads.start("custody", custody.run)
        threads.start("claims", claims.run, claims.wake)
        threads.start("forecast", forecaster.run)
        if anchor is not None:
            custody.listen(anchor.wake)
            custody.listen(twin.touch)
            threads.start("anchoring", anchor.run, anchor.wake)
        subscriber.start()
        closing.callback(subscriber.close)
        yield Hub(view, custody)
        if threads.failed:
            raise UnavailableError(f"the hub stopped, because {threads.failed} failed; the log says why")


def _follow(twin: Twin, projector: Projector, stop: threading.Event) -> None:
    """Fill the twin, then follow the journal; a store that is down at start delays answers, never acknowledgements."""
    while not stop.is_set():
        try:
            twin.load()
            break
        except UnavailableError as exc:
            log.warning("twin.waiting", extra={"reason": str(exc)})
            stop.wait(1)
    projector.run(stop)


class Threads:
    """Threads that end together: one that fails says why and stops the rest."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._threads: list[threading.Thread] = []
        self.failed = ""
        self._wakes: list[Callable[[], object]] = []

    def start(
        self, name: str, run: Callable[[threading.Event], object], wake: Callable[[], object] = lambda: None
    ) -> None:
        """Run in a thread of this name; wake: makes it look at `stop`."""

        def body() -> None:
            try:
                run(self._stop)
            except Exception:
                log.exception("thread.failed", extra={"which": name})
                self.failed = name
                self._stop.set()

        self._wakes.append(wake)
        self._threads.append(threading.Thread(target=body, name=name, daemon=True))
        self._threads[-1].start()

    def join(self) -> None:
        """Stop them all and wait."""
        self._stop.set()
        for wake in self._wakes:
            wake()
        for thread in self._threads:
            thread.join(15)
            if thread.is_alive():
                log.error("thread.stuck", extra={"which": thread.name})


def _points(settings: Settings) -> TimeSeriesStore:
    match settings.store:
        case "duckdb":
            return DuckDBStore(settings.data / "points.duckdb")
        case "victoriametrics":
            from tweeling.adapters.victoria import VictoriaMetricsStore

            return VictoriaMetricsStore(settings.store_url)
        case "memory":
            return MemoryStore()


def _clock(settings: Settings) -> Clock:
    if settings.clock.speed == 1.0 and settings.clock.origin_real_ms == settings.clock.origin_sim_ms:
        return SystemClock()
    return ScaledClock(
        origin_sim_ms=settings.clock.origin_sim_ms,
        origin_real_ms=settings.clock.origin_real_ms,
        speed=settings.clock.speed,
    )


def _address(settings: Settings) -> Address:
    who = Credentials.load(settings.broker.credentials)
    return Address(
        host=settings.broker.host,
        port=settings.broker.port,
        client_id=who.client_id or settings.broker.client_id,
        username=who.username,
        password=who.password,
    )


def _partners(settings: Settings) -> Partners:
    path = settings.custody.partners
    return Partners.parse(path.read_bytes()) if path.exists() else Partners()


def _ledger(settings: Settings, closing: ExitStack) -> Ledger | None:
    """Open the ledger, None where no contract is configured: then entries stay pending."""
    if settings.ledger.contract is None:
        return None
    from tweeling.adapters.evm.keyfile import load_key
    from tweeling.adapters.evm.ledger import EvmLedger

    ledger = EvmLedger(
        rpc=settings.ledger.rpc,
        chain_id=settings.ledger.chain_id,
        contract=settings.ledger.contract,
        account=load_key(settings.ledger.key_file, settings.ledger.passphrase_file),
        origin=settings.custody.origin,
    )
    closing.callback(ledger.close)
    return ledger


def _publish_trust(settings: Settings, custody: Custody, ledger: Ledger | None) -> None:
    """Write what a partner has to pin."""
    held = None
    if ledger is not None:
        held = TrustedContract(chain_id=ledger.chain_id, contract=ledger.contract, log_id=f"0x{ledger.log_id.hex()}")
    (settings.data / "trust.json").write_bytes(custody.trust_file(held).encode())
