"""What Prometheus scrapes, read by its own parser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from support_screens import SmallCustody, SmallTwin, cheap_auth

from tweeling.api import tokens
from tweeling.api.app import create_app
from tweeling.api.principals import Role
from tweeling.api.server import serve
from tweeling.domain.now import NodeNow, PartNow


class Scraped:
    def __init__(self, url: str, twin: SmallTwin, bearers: dict[Role, str]) -> None:
        self.url, self.twin, self.bearers = url, twin, bearers

    def get(self, role: Role | None, **headers: str) -> httpx.Response:
        bearer = {} if role is None else {"Authorization": f"Bearer {self.bearers[role]}"}
        return httpx.get(f"{self.url}/metrics", headers={**bearer, **headers}, trust_env=False)

    def samples(self) -> dict[str, float]:
        families = plain_text(self.get(Role.METRICS).text)
        return {_named(sample.name, sample.labels): sample.value for each in families for sample in each.samples}


def _named(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}" if inside else name


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Scraped]:
    roles = (Role.METRICS, Role.QUERY, Role.CAPTURE, Role.MAINTAIN)
    bearers = {role: tokens.issue(tmp_path / "tokens.json", str(role), role) for role in roles}
    auth = cheap_auth(tmp_path)
    twin = SmallTwin()
    with serve(create_app(twin, SmallCustody(), auth, screens=False), "127.0.0.1", 0) as port:
        yield Scraped(f"http://127.0.0.1:{port}", twin, bearers)


def test_only_who_may_watch_or_read_may_scrape(scraped: Scraped) -> None:
    assert [scraped.get(role).status_code for role in (Role.METRICS, Role.QUERY)] == [200, 200]
    assert [scraped.get(role).status_code for role in (Role.CAPTURE, Role.MAINTAIN)] == [403, 403]
    assert scraped.get(None).status_code == 401


def test_who_may_watch_may_read_nothing_else(scraped: Scraped) -> None:
    bearer = {"Authorization": f"Bearer {scraped.bearers[Role.METRICS]}"}
    for path in ("/api/status", "/api/things", "/api/events", "/api/docs"):
        assert httpx.get(scraped.url + path, headers=bearer, trust_env=False).status_code == 403, path


def test_every_sign_is_there_in_base_units(scraped: Scraped) -> None:
    found = scraped.samples()
    assert found["tweeling_readings_total"] == 123_456
    assert found["tweeling_part_up{part=ledger}"] == 1
    assert found["tweeling_node_online{hub=H4,node=H4-gw}"] == 0
    assert found["tweeling_projection_lag_batches"] == 2
    assert found["tweeling_projection_lag_seconds"] == 0.25
    assert (found["tweeling_gap_seqs"], found["tweeling_gap_age_seconds"]) == (3, 90)
    assert found["tweeling_ledger_anchor_age_seconds"] == 4.5
    assert "tweeling_ledger_anchors_left" not in found  # nobody knows
    assert (found["tweeling_ledger_trouble{kind=fee}"], found["tweeling_ledger_trouble{kind=down}"]) == (1, 0)
    assert (found["tweeling_ledger_gas_price_wei"], found["tweeling_ledger_gas_price_cap_wei"]) == (35e9, 30e9)
    assert (found["tweeling_ledger_unconfirmed_anchors"], found["tweeling_ledger_reorganisations_total"]) == (2, 1)
    assert found["tweeling_data_free_bytes"] == 2e9
    assert found["process_resident_memory_bytes"] > 1e6
    buckets = [found[f"tweeling_commit_seconds_bucket{{le={bound}}}"] for bound in ("0.01", "0.1", "+Inf")]
    assert (buckets, found["tweeling_commit_seconds_count"]) == ([5, 7, 8], 8)
    assert found["tweeling_commit_seconds_sum"] == pytest.approx(0.9)


def test_names_are_as_prometheus_wants_them_and_each_says_what_it_is(scraped: Scraped) -> None:
    for family in plain_text(scraped.get(Role.METRICS).text):
        if family.name.startswith("tweeling_"):
            assert family.documentation.endswith("."), family.name
            assert family.type in {"counter", "gauge", "histogram"}, family.name
            assert not family.name.endswith(("_ms", "_mb", "_percent")), family.name
            if family.type == "counter":
                assert all(sample.name.endswith("_total") for sample in family.samples), family.name


def test_whoever_speaks_openmetrics_is_answered_in_it(scraped: Scraped) -> None:
    answer = scraped.get(Role.METRICS, Accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in open_metrics(answer.text)}
    assert {"tweeling_readings", "tweeling_commit_seconds"} <= names


def test_names_from_a_stranger_do_no_harm(scraped: Scraped) -> None:
    scraped.twin.set_nodes([NodeNow("H1", 'x"} 1\ntweeling_readings_total 7\n# \\', True, 0, 3)])
    found = scraped.samples()
    assert found["tweeling_readings_total"] == 123_456
    assert sum(name.startswith("tweeling_node_online") for name in found) == 1


def test_a_part_that_does_not_answer_is_said_and_hides_no_other(scraped: Scraped) -> None:
    scraped.twin.set_down("vitals")
    scraped.twin.set_part(PartNow("ingest", False, "journal: disk is full"))
    found = scraped.samples()
    assert found["tweeling_part_up{part=ingest}"] == 0
    assert found["tweeling_readings_total"] == 123_456
    assert "tweeling_projection_lag_batches" not in found
