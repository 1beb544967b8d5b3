"""What an outbox keeps and an envelope carries is what a hub reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tweeling.wire.envelope import decode
from tweeling.wire.ranges import SeqSet
from tweeling.wire.senml import Resolved
from tweeling.wire.topics import Channel, Topic
from tweeling_edge.events import Publish
from tweeling_edge.sample import MAX_BYTES, Sample, from_body, pack, to_body

NOW = 4_000_000_000_000
times = st.integers(300_000_000_000, NOW)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}/[A-Za-z][A-Za-z0-9]{0,10}\Z")
readings = st.builds(
    Resolved,
    names,
    times,
    st.floats(-1e12, 1e12, allow_nan=False) | st.integers(-(10**9), 10**9),
    st.sampled_from(("/", "Cel", "m", "")),
    st.none(),
)
weighings = st.builds(
    lambda time_ms, gross, tare, way: Resolved(
        "H1-A/scale", time_ms, gross, "g", {"mv_": way, "mat": "hout", "grs": gross + tare, "tar": tare}
    ),
    times,
    st.integers(0, 10**8),
    st.integers(0, 10**8),
    st.sampled_from(("in", "out")),
)
samples = st.lists(readings | weighings, min_size=1, max_size=4).map(tuple)


@given(samples)
def test_a_sample_reads_back_from_the_outbox(sample: Sample) -> None:
    assert from_body(to_body(sample)) == sample


@given(st.dictionaries(st.integers(1, 200), samples, max_size=20), st.booleans())
def test_a_hub_reads_what_was_sampled(held: dict[int, Sample], cbor: bool) -> None:
    bodies = {seq: to_body(sample) for seq, sample in held.items()} | {999: "lies between"}
    command = Publish(1, SeqSet.from_seqs(held), low=min(held, default=1), dropped=((500, 501, "thinned"),), ask=True)
    packed = pack("gw1", "a" * 16, command, bodies, cbor=cbor)
    came = decode(Topic("H1", "gw1", Channel.UP), packed.payload, now_ms=NOW, skew_ms=0)
    assert packed.unreadable == ()
    assert came.refused == ()
    assert came.accepted == SeqSet.from_seqs(held)
    assert (came.low, came.dropped, came.ask) == (command.low, command.dropped, True)
    expected = [(seq, record) for seq in sorted(held) for record in held[seq] if record.weighing is None]
    told = list(zip(came.seqs, came.names, came.times, came.values, came.units, strict=True))
    assert told == [(seq, record.name, record.time_ms, float(record.value), record.unit) for seq, record in expected]
    assert [movement.net_g for movement in came.movements] == [
        record.value for seq in sorted(held) for record in held[seq] if record.weighing is not None
    ]


def test_a_row_that_does_not_read_back_spoils_no_other() -> None:
    good = to_body((Resolved("a/b", 1_700_000_000_000, 1, "", None),))
    bodies = {1: good, 2: "[[1]]", 3: "nonsense", 4: good}
    packed = pack("gw1", "a" * 16, Publish(1, SeqSet(((1, 4),)), low=1), bodies)
    came = decode(Topic("H1", "gw1", Channel.UP), packed.payload, now_ms=NOW, skew_ms=0)
    assert packed.unreadable == (2, 3)
    assert came.accepted == SeqSet(((1, 1), (4, 4)))


def test_the_largest_pack_stays_below_what_a_hub_takes() -> None:
    filler = "x" * 200
    weighing = {"mv_": "in", "mat": filler, "par": filler, "tkt": filler}
    sample: Sample = ()
    while len(to_body((*sample, Resolved("H1-A/scale", NOW, 1, "g", weighing)))) < MAX_BYTES - 800:
        sample = (*sample, Resolved("H1-A/scale", NOW, 1, "g", weighing))
    bodies = dict.fromkeys(range(1, 121), to_body(sample))
    packed = pack("gw1", "a" * 16, Publish(1, SeqSet(((1, 120),)), low=1), bodies)
    assert len(packed.payload) < 1 << 20
    decode(Topic("H1", "gw1", Channel.UP), packed.payload, now_ms=NOW, skew_ms=0)
