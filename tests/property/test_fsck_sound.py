"""Whatever is delivered, in whatever order: what the hub then keeps is found sound."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from support_fsck import FURLONG, found, fsck, opened
from support_ingest import NOW, message, reading, weighing

from tweeling.ports.inbox import Message

RECORDS: list[Any] = [
    reading(0.25),
    reading(0.5, at=NOW - 1),
    reading(0.75, at=NOW - 10**8, name="H1-B/fillingLevel"),
    reading(-0.0, name="H1-B/level", unit="m"),
    weighing(1500),
    weighing(0, direction="out", lot="L1", grs=10, tar=10),
    FURLONG,
    reading(at=NOW + 10**9),
    {"n": "H1-C/temperature", "u": "K", "v": 290.15, "t": -7200},
]
SEQS = st.dictionaries(
    st.integers(1, 30), st.lists(st.sampled_from(RECORDS), min_size=1, max_size=3), min_size=1, max_size=6
)
DROPPED = st.lists(st.integers(1, 30).map(lambda first: (first, first + 3, "quota")), max_size=2).map(tuple)
ENVELOPES = st.builds(
    lambda seqs, node, epoch, dropped: message(seqs, node=node, epoch=epoch, dropped=dropped),
    SEQS,
    st.sampled_from(["n1", "n2"]),
    st.sampled_from(["00000000000000aa", "00000000000000bb"]),
    DROPPED,
)
JUNK = st.builds(
    Message, st.sampled_from(["tweeling/v1/H1/n1/up", "tweeling/v1/H1/n1/cmd", "x"]), st.binary(max_size=4)
)
COMMITS = st.lists(ENVELOPES | JUNK, min_size=1, max_size=5)
STEPS = st.lists(COMMITS | st.sampled_from(["drain", "trim", "reopen"]), max_size=12)


@given(STEPS, st.sampled_from([0, 2000, 1 << 20]))
@settings(max_examples=40)
def test_what_any_deliveries_leave_is_sound(steps: list[Any], trimmed_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tweeling.toml").write_text("")
        left = list(steps)
        while True:
            with opened(folder, trimmed_bytes=trimmed_bytes) as hub:
                while left and (step := left.pop(0)) != "reopen":
                    if step == "drain":
                        hub.projector.drain()
                    elif step == "trim":
                        hub.journal.trim(hub.projector.drain())
                    else:
                        hub.ingest.handle(step)
            if not left:
                break
        code, checks = fsck(folder)
        assert code == 0, [found(check) for check in checks.values()]
