"""What Prometheus scrapes: everything is asked when it comes, nothing is counted for it on the way of a reading."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from itertools import accumulate
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from tweeling.api.access import Scraper
from tweeling.domain.vitals import Distribution, LedgerSigns, Vitals
from tweeling.errors import Trouble, UnavailableError
from tweeling.ports.view import TwinView

_TOTALS = (
    ("readings", "readings_in", "Readings that the journal has committed."),
    ("movements", "movements", "Weighings that the journal has committed."),
    ("quarantined_messages", "quarantined", "Messages put in quarantine, each as often as it came."),
    ("events_captured", "events_captured", "Custody events in the log."),
)
_LEVELS = (
    ("points", "readings_stored", "Points that the time-series store holds, loaded history left out."),
    ("refused_seqs", "refused", "Sequence numbers that are refused now."),
    ("events_anchored", "events_anchored", "Custody events under a checkpoint that the chain holds."),
)


def router(view: TwinView) -> APIRouter:
    """GET /metrics."""
    routes = APIRouter(include_in_schema=False, dependencies=[Scraper])
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(HubCollector(view))

    @routes.get("/metrics")
    def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """Every sign of the hub and its process, in Prometheus' text format or OpenMetrics."""
        encode, kind = choose_encoder(accept)
        return Response(encode(registry), media_type=kind)

    return routes


class HubCollector(Collector):
    """A hub as Prometheus' metrics, in base units."""

    def __init__(self, view: TwinView) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """Ask the hub; what does not answer is left out, and `tweeling_part_up` says which part."""
        yield _build()
        yield from self._parts()
        counts = self._view.counts()
        for name, key, text in _TOTALS:
            yield CounterMetricFamily(f"tweeling_{name}", text, value=counts.get(key, 0))
        for name, key, text in _LEVELS:
            yield _gauge(name, text, counts.get(key, 0))
        yield from self._nodes()
        try:
            vitals = self._view.vitals()
        except UnavailableError:
            return
        yield from _signs(vitals)

    def _parts(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("tweeling_part_up", "Whether a part is well.", labels=["part"])
        for part in self._view.health():
            up.add_metric([part.part], part.ok)
        yield up

    def _nodes(self) -> Iterator[Metric]:
        who = ("hub", "node")
        online = GaugeMetricFamily("tweeling_node_online", "Whether an edge node is connected.", labels=who)
        alarm = GaugeMetricFamily("tweeling_node_alarm", "Whether an edge node tells of an alarm.", labels=who)
        queued = GaugeMetricFamily("tweeling_node_queued_readings", "Readings that wait at an edge node.", labels=who)
        for node in self._view.nodes():
            for family, value in ((online, node.online), (alarm, bool(node.alarm)), (queued, node.queued)):
                family.add_metric([node.hub, node.node], value)
        yield from (online, alarm, queued)


def _signs(vitals: Vitals) -> Iterator[Metric]:
    gaps, disk = vitals.gaps, vitals.disk
    for name, text, value in (
        ("projection_lag_batches", "Batches committed that the stores do not answer with yet.", vitals.lag_batches),
        ("projection_lag_seconds", "How long the oldest of them waits.", vitals.lag_s),
        ("gap_seqs", "Sequence numbers that nodes have sent past and the hub has not.", gaps.seqs),
        ("gap_outboxes", "Outboxes with such a gap.", gaps.outboxes),
        ("gap_age_seconds", "How long the oldest gap is there.", gaps.oldest_s),
        ("quarantine_messages", "Messages that are in quarantine now.", vitals.quarantined),
        ("journal_batches", "Batches that the journal keeps.", vitals.journal_batches),
        ("journal_bytes", "Size of the journal's files.", vitals.journal_bytes),
        ("ledger_pending_events", "Custody events that the chain does not hold yet.", vitals.pending),
        ("ledger_anchor_age_seconds", "Since the newest anchored checkpoint was signed.", vitals.anchor_age_s),
        ("ledger_anchors_left", "How many more anchors the account can pay.", vitals.anchors_left),
        ("data_bytes", "What the data folder takes on its disk.", disk.used),
        ("data_free_bytes", "What is free on the disk of the data folder.", disk.free),
    ):
        if value is not None:
            yield _gauge(name, text, value)
    if vitals.ledger is not None:
        yield from _ledger(vitals.ledger)
    yield _histogram("commit_seconds", "Duration of a commit of the journal.", vitals.commit_s)
    yield _histogram("commit_messages", "Messages in a commit of the journal.", vitals.commit_messages)


def _ledger(signs: LedgerSigns) -> Iterator[Metric]:
    trouble = GaugeMetricFamily("tweeling_ledger_trouble", "What keeps anchoring from going on.", labels=["kind"])
    for kind in Trouble:
        trouble.add_metric([kind], kind is signs.trouble)
    yield trouble
    yield CounterMetricFamily(
        "tweeling_ledger_reorganisations", "Times that the chain took anchors back.", value=signs.reorganisations
    )
    for name, text, value in (
        ("ledger_unconfirmed_anchors", "Anchors that too few blocks confirm.", signs.unconfirmed),
        ("ledger_gas_price_wei", "What a unit of gas costs.", signs.price_wei),
        ("ledger_gas_price_cap_wei", "What a unit of gas may cost at most.", signs.most_wei),
    ):
        if value is not None:
            yield _gauge(name, text, value)


def _build() -> Metric:
    family = GaugeMetricFamily("tweeling_build_info", "The version that runs.", labels=["version"])
    family.add_metric([version("tweeling")], 1)
    return family


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"tweeling_{name}", text, value=value)


def _histogram(name: str, text: str, seen: Distribution) -> Metric:
    bounds = [*map(str, seen.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(seen.counts), strict=True))
    return HistogramMetricFamily(f"tweeling_{name}", text, buckets=buckets, sum_value=seen.total)
