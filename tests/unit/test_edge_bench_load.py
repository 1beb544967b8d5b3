from __future__ import annotations

import json

import pytest

from tweeling.wire.envelope import Envelope, decode
from tweeling.wire.topics import Channel, Topic
from tweeling_edge.bench.load import Load

EPOCH = "a" * 16
NOW = 1_790_000_000_123
UP = Topic("H1", "n1", Channel.UP)


@pytest.mark.parametrize(("records", "seqs"), [(1, 1), (5, 1), (100, 100), (1000, 10)])
@pytest.mark.parametrize(("message", "low", "now_ms"), [(0, 1, NOW), (4711, 4000, NOW + 877), (10**9, 2, NOW)])
def test_an_envelope_from_memory_is_the_one_that_the_wire_format_writes(
    records: int, seqs: int, message: int, low: int, now_ms: int
) -> None:
    payload = Load("H1", "n1", EPOCH, records=records, seqs=seqs).payload(message, low, now_ms)
    assert Envelope.model_validate_json(payload).to_json() == payload
    came = decode(UP, payload, now_ms=now_ms, skew_ms=0)
    assert (came.epoch, came.low, came.refused) == (EPOCH, low, ())
    assert len(set(came.names)) == records
    assert set(came.times) == {now_ms}


@pytest.mark.parametrize(("records", "seqs"), [(5, 1), (100, 100)])
def test_messages_follow_each_other_without_a_gap(records: int, seqs: int) -> None:
    load = Load("H1", "n1", EPOCH, records=records, seqs=seqs)
    runs = [json.loads(load.payload(message, 1, NOW))["runs"] for message in range(3)]
    assert runs == [[[n * seqs + 1, n * seqs + seqs, records // seqs]] for n in range(3)]
    assert [load.first(message) for message in range(3)] == [run[0][0] for run in runs]


def test_values_of_a_thing_change_and_nodes_share_no_thing() -> None:
    seen: dict[str, set[float]] = {}
    load = Load("H1", "n1", EPOCH, records=100, seqs=100)
    for message in range(70):
        came = decode(UP, load.payload(message, 1, NOW), now_ms=NOW, skew_ms=0)
        for name, value in zip(came.names, came.values, strict=True):
            seen.setdefault(name, set()).add(value)
    assert len(seen) == 1000
    assert {len(values) for values in seen.values()} == {7}
    other = Load("H1", "n1", EPOCH, records=100, seqs=100, first_thing=1000).payload(0, 1, NOW)
    assert not set(seen) & set(decode(UP, other, now_ms=NOW, skew_ms=0).names)
