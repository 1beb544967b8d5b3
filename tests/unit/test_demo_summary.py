from dataclasses import replace

import pytest

from tweeling.cli.summary import Observed, as_json, links, since

GOOD = Observed(
    readings_in=900,
    readings_stored=900,
    movements=40,
    events_captured=70,
    events_anchored=68,
    receipts_verified=1,
    forecasts=18,
    dashboard_answered=True,
    seconds=90,
)


def test_a_run_in_which_every_link_held_is_ok() -> None:
    summary = as_json(GOOD)
    assert summary["ok"] is True
    assert summary["readings_in"] == 900


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"ended": {"broker": "ended by SIGKILL"}}, "broker"),
        ({"ended": {"chain": "ended by SIGKILL"}}, "chain"),
        ({"ended": {"edge-H1": "ended with exit code 1"}}, "edge"),
        ({"faults": {"store": "the file is locked"}}, "store"),
        ({"batches_waiting": 7}, "store"),
        ({"events_anchored": 0}, "chain"),
        ({"forecasts": 0}, "forecast"),
        ({"receipts_verified": 0}, "verify"),
        ({"dashboard_answered": False}, "dashboard"),
        ({"chain_present": False}, "chain"),
    ],
)
def test_a_broken_link_is_named_with_what_was_kept(change: dict[str, object], broken: str) -> None:
    seen = replace(GOOD, **change)  # type: ignore[arg-type]  # each case changes one field of its own type
    bad = {link.link: link for link in links(seen) if not link.ok}
    assert set(bad) == {broken}
    assert bad[broken].kept
    assert as_json(seen)["ok"] is False


def test_a_run_is_judged_by_what_it_did_itself() -> None:
    idle = since(GOOD, replace(GOOD, readings_queued=4000))
    assert {link.link for link in links(idle) if not link.ok} >= {"broker", "ingest", "store", "custody", "chain"}


def test_the_reason_why_a_receipt_did_not_verify_is_told() -> None:
    seen = replace(GOOD, receipts_verified=0, faults={"verify": "root: is another"})
    [broken] = [link for link in links(seen) if not link.ok]
    assert (broken.link, broken.detail) == ("verify", "verify: root: is another")
