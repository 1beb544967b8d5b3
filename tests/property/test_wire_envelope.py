from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st
from support_ingest import EPOCH, NOW, SKEW

from tweeling.domain.cborscan import check
from tweeling.errors import WireError
from tweeling.wire import senml, topics
from tweeling.wire.ack import Ack, State
from tweeling.wire.envelope import Envelope, decode, parse

TOPIC = topics.parse("tweeling/v1/H1/n1/up")
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:._-]{0,9}/[A-Za-z][A-Za-z0-9:._-]{0,9}", fullmatch=True)
TIMES = st.integers(10**12, NOW)
READINGS = st.builds(
    senml.Resolved,
    NAMES,
    TIMES,
    st.floats(-1e9, 1e9) | st.integers(-(10**9), 10**9),
    st.sampled_from(["/", "Cel", "m", "V", "count", ""]),
    st.none(),
)
WEIGHINGS = st.builds(
    senml.Resolved,
    NAMES,
    TIMES,
    st.integers(0, 10**12),
    st.just("g"),
    st.fixed_dictionaries({"mv_": st.sampled_from(["in", "out"]), "mat": st.text(TEXT, max_size=8)}),
)
REASONS = st.text(max_size=20)
DROPPED = st.lists(st.tuples(st.integers(1, 99), st.integers(0, 9), REASONS))


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[Envelope, list[senml.Resolved]]:
    runs, records, seq = [], [], 0
    for _ in range(draw(st.integers(0, 4))):
        first = seq + draw(st.integers(1, 2**40))
        seq = first + draw(st.integers(0, 3))
        each = draw(st.integers(1, 3))
        runs.append((first, seq, each))
        records += [draw(READINGS | WEIGHINGS) for _ in range((seq - first + 1) * each)]
    sent = Envelope(
        node="n1",
        epoch=draw(st.from_regex(r"[0-9a-f]{16}", fullmatch=True)),
        runs=tuple(runs),
        low=draw(st.integers(1, 2**53 - 1)),
        dropped=tuple((first, first + more, why) for first, more, why in draw(DROPPED)),
        ask=draw(st.booleans()),
        pack=senml.encode(records),
    )
    return sent, records


@given(envelopes())
def test_an_envelope_reads_back_as_it_was_written_in_either_encoding(
    made: tuple[Envelope, list[senml.Resolved]],
) -> None:
    sent, records = made
    for payload in (sent.to_json(), sent.to_cbor()):
        assert parse(TOPIC, payload) == sent
        decoded = decode(TOPIC, payload, now_ms=NOW, skew_ms=SKEW)
        assert decoded.refused == ()
        assert decoded.accepted == sent.seqs()
        readings = [(record.name, record.time_ms) for record in records if record.weighing is None]
        assert list(zip(decoded.names, decoded.times, strict=True)) == readings
        weighed = [(record.time_ms, record.value) for record in records if record.weighing is not None]
        assert [(movement.time_ms, movement.net_g) for movement in decoded.movements] == weighed


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(-8, 9) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)
LABELS = st.sampled_from(["bn", "bt", "bu", "bv", "bver", "n", "u", "v", "vs", "vb", "t", "mv_", "mat", "grs", "tar"])
HUGE = st.sampled_from([2**63, -(2**63), 10**400, -(10**400), 1e308, -1e308, 5e-324, float("nan"), float("inf")])
RECORDS = st.dictionaries(LABELS, JSONISH | HUGE | NAMES | st.sampled_from(["in", "g", "/"]), max_size=7) | JSONISH
SKETCHES = st.fixed_dictionaries(
    {"v": st.just(1) | JSONISH, "node": st.just("n1") | JSONISH, "epoch": st.just(EPOCH) | JSONISH},
    optional={
        "runs": st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 5), st.integers(0, 3))) | JSONISH,
        "low": st.integers(0, 3) | HUGE,
        "dropped": st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), REASONS)) | JSONISH,
        "pack": st.lists(RECORDS, max_size=5) | JSONISH,
        "ask": st.booleans() | JSONISH,
    },
)


def settle(payload: bytes) -> None:
    """Decoding ends in columns of equal length, or in WireError and in nothing else."""
    try:
        decoded = decode(TOPIC, payload, now_ms=NOW, skew_ms=SKEW)
    except WireError:
        return
    assert len(decoded.names) == len(decoded.times) == len(decoded.values) == len(decoded.units) == len(decoded.seqs)
    refused = {seq for first, last, _ in decoded.refused for seq in range(first, last + 1)}
    assert not refused & set(decoded.accepted)
    assert not refused & ({movement.identity.seq for movement in decoded.movements} | set(decoded.seqs))
    assert all(len(reason) <= 200 for _, _, reason in decoded.refused)


@given(st.binary(max_size=200))
@example(b"")
def test_any_bytes_mean_something_or_are_refused(payload: bytes) -> None:
    settle(payload)
    for reader in (Ack.decode, State.decode):
        try:
            reader(payload)
        except WireError:
            continue


@given(JSONISH, st.booleans())
def test_plain_cbor_passes_the_scan_and_any_cut_or_longer_one_does_not(body: object, as_map: bool) -> None:
    payload = cbor2.dumps({"a": body} if as_map else [body])
    try:
        check(payload, max_depth=16, max_keys=64, floats=True)
    except ValueError:  # an integer over 64 bits is a tag, and nothing else may be wrong
        assert b"\xc2" in payload or b"\xc3" in payload
        return
    for wrong in (*(payload[:size] for size in range(len(payload))), payload + b"\x00"):
        with pytest.raises(ValueError, match="CBOR"):
            check(wrong, max_depth=16, max_keys=64, floats=True)


@given(st.binary(max_size=40))
def test_whatever_passes_the_scan_holds_plain_values(payload: bytes) -> None:
    try:
        check(payload, max_depth=4, max_keys=3, floats=False)
        body = cbor2.loads(payload)
    except (ValueError, cbor2.CBORDecodeError):
        return
    todo = [body]
    while todo:
        each = todo.pop()
        assert type(each) in {int, str, bytes, list, dict, bool, type(None)}
        if isinstance(each, dict):
            assert all(type(key) in {int, str} for key in each)
            todo += each.values()
        elif isinstance(each, list):
            todo += each


@given(SKETCHES)
def test_any_map_in_cbor_means_something_or_is_refused(body: dict[str, Any]) -> None:
    settle(cbor2.dumps(body))


@given(SKETCHES)
def test_any_map_in_json_means_something_or_is_refused(body: dict[str, Any]) -> None:
    settle(json.dumps(body, default=repr).encode())


@given(st.lists(RECORDS, min_size=1, max_size=5))
def test_any_pack_refuses_seq_by_seq(pack: list[Any]) -> None:
    body = {"v": 1, "node": "n1", "epoch": EPOCH, "runs": [[1, len(pack), 1]], "pack": pack}
    payload = cbor2.dumps(body)
    try:
        check(payload, max_depth=8, max_keys=64, floats=True)
    except ValueError:  # a huge number, say
        reject()
    decoded = decode(TOPIC, payload, now_ms=NOW, skew_ms=SKEW)
    assert len(decoded.accepted) + len(decoded.refused) == len(pack)


@given(envelopes(), st.data())
def test_any_mutated_envelope_means_something_or_is_refused(
    made: tuple[Envelope, list[senml.Resolved]], data: st.DataObject
) -> None:
    payload = bytearray(data.draw(st.sampled_from([made[0].to_json(), made[0].to_cbor()])))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    settle(bytes(payload))
