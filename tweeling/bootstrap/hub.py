"""A whole hub: the road of readings, the custody log and its anchors, twin, forecasts, and what its server sees."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tweeling.adapters import disk
from tweeling.adapters.clock import SystemClock
from tweeling.adapters.keys import load_log_key
from tweeling.adapters.sql.log import SqlLogStore
from tweeling.bootstrap.certificates import certificate_health
from tweeling.bootstrap.ledger import check_same_log, first_head, ledger_of, publish_trust
from tweeling.bootstrap.quarantine import quarantine_of
from tweeling.bootstrap.readings import clock_of, skew_ms, stores, telemetry
from tweeling.bootstrap.restore import RESTORED
from tweeling.bootstrap.snapshot import RunningCopy
from tweeling.bootstrap.threads import Threads
from tweeling.config import Settings
from tweeling.domain.partners import Partners
from tweeling.errors import UnavailableError
from tweeling.ports.backup import Copied, PointsCopy
from tweeling.ports.ledger import Ledger
from tweeling.ports.timeseries import TimeSeriesStore
from tweeling.services import anchoring
from tweeling.services.claims import Claims
from tweeling.services.corrections import Corrections
from tweeling.services.custody import Custody
from tweeling.services.forecasting import Forecaster
from tweeling.services.gate import Gate
from tweeling.services.keeping import Keeper, Maintained
from tweeling.services.projection import Applied, Projector
from tweeling.services.publishing import PublishedLog
from tweeling.services.pulse import Pulse
from tweeling.services.quarantine import Quarantine
from tweeling.services.status import Status
from tweeling.services.twin import Twin
from tweeling.services.view import HubView
from tweeling.verify import TrustedContract

log = logging.getLogger("tweeling.hub")


class Hub(NamedTuple):
    """A running hub, as its server sees it."""

    view: HubView
    custody: Custody
    log: PublishedLog
    points: TimeSeriesStore
    quarantine: Quarantine
    corrections: Corrections
    copy: PointsCopy | None


@contextmanager
def hub(settings: Settings, stop: threading.Event) -> Iterator[Hub]:
    """Run a hub while the block runs: ingest, projection, custody, anchors, forecasts. A failed thread sets `stop`."""
    with ExitStack() as closing:
        held = closing.enter_context(stores(settings))
        points, records, facts = held
        clock, real = clock_of(settings), SystemClock()
        log_store = SqlLogStore(records)

        twin = Twin(points, facts)
        ledger = _ledger(settings, closing)
        gate = Gate.open() if ledger is None else _gate(settings)
        custody = Custody(
            log_store,
            load_log_key(
                settings.custody.key_file,
                settings.custody.passphrase_file,
                settings.custody.passphrase,
                origin=settings.custody.origin,
            ),
            clock=real,
            random=secrets.token_bytes,
            partners=_partners(settings),
            gate=gate,
        )
        anchor = None
        if ledger is not None:
            anchor = anchoring.Anchoring(
                log_store,
                ledger,
                facts,
                clock=real,
                batching=anchoring.Batching(
                    max_entries=settings.ledger.max_entries, max_age_ms=round(settings.ledger.max_age_s * 1000)
                ),
                confirmations=settings.ledger.confirmations,
                first=first_head(settings.ledger),
                gate=gate,
                patience_s=settings.ledger.patience_s,
            )
        publish_trust(settings, custody.trust_file(_place(ledger)))
        claims = Claims(facts, custody)
        forecaster = Forecaster(
            points,
            clock,
            twin.things,
            horizon=settings.forecast.horizon_h,
            every_ms=round(settings.forecast.every_h * 3_600_000),
            on_made=twin.touch,
        )

        keeper = Keeper(points, clock) if isinstance(points, Maintained) else None  # servers keep house by themselves

        def applied(news: Applied) -> None:
            twin.apply(news.points, news.movements)
            claims.wake()

        threads = Threads(stop)
        road = closing.enter_context(
            telemetry(
                settings,
                held,
                on_applied=applied,
                on_presence=twin.presence,
                on_failed=lambda: threads.fail("ingest"),
            )
        )
        pulse = Pulse(
            journal=road.journal,
            projector=road.projector,
            ingested=road.ingest.ingested,
            custody=custody,
            anchoring=anchor,
            disk=lambda: disk.usage(settings.data),
            clock=clock,
            real=real,
            speed=settings.clock.speed,
        )
        status = Status(
            subscriber=road.line.status,
            journal=road.journal,
            projector=road.projector,
            points=points,
            facts=facts,
            custody=custody,
            anchoring=anchor,
            forecaster=forecaster,
            keeper=keeper,
            disk=pulse.disk,
        )
        view = HubView(
            twin=twin,
            store=points,
            forecaster=forecaster,
            clock=clock,
            events=custody.events,
            health=lambda: (*status.health(), *certificate_health(settings)),
            counts=status.counts,
            vitals=pulse.vitals,
        )

        closing.callback(threads.join)
        threads.start("projector", lambda stop: _follow(twin, road.projector, stop), road.projector.wake)
        threads.start("pulse", pulse.run)
        threads.start("custody", custody.run)
        threads.start("claims", claims.run, claims.wake)
        threads.start("forecast", forecaster.run)
        if keeper is not None:
            threads.start("keeping", keeper.run)
        if anchor is not None:
            custody.listen(anchor.wake)
            custody.listen(twin.touch)
            threads.start("anchoring", anchor.run, anchor.end)
        road.line.start()
        closing.callback(road.line.close)
        corrections = Corrections(
            road.journal, facts, clock=clock, real=real, skew_ms=skew_ms(settings), on_batch=road.projector.wake
        )
        quarantine = quarantine_of(settings, road.journal, on_batch=road.projector.wake)
        copy = RunningCopy(points, settings.data, road.projector) if isinstance(points, Copied) else None
        yield Hub(view, custody, PublishedLog(log_store), points, quarantine, corrections, copy)
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


def _partners(settings: Settings) -> Partners:
    path = settings.custody.partners
    return Partners.parse(path.read_bytes()) if path.exists() else Partners()


def _ledger(settings: Settings, closing: ExitStack) -> Ledger | None:
    """Open the ledger, None where no contract is configured: then entries stay pending."""
    if settings.ledger.contract is None:
        return None
    ledger = ledger_of(settings)
    check_same_log(settings, ledger.log_id)
    closing.callback(ledger.close)
    return ledger


def _place(ledger: Ledger | None) -> TrustedContract | None:
    """Where the log's head is held in public."""
    if ledger is None:
        return None
    return TrustedContract(chain_id=ledger.chain_id, contract=ledger.contract, log_id=f"0x{ledger.log_id.hex()}")


def _gate(settings: Settings) -> Gate:
    """What lets the log grow, and forgets that it was restored once the ledger has agreed."""
    restored = settings.data / RESTORED
    return Gate(restored=restored.exists(), on_proven=lambda: restored.unlink(missing_ok=True))
