"""Random and mutated messages: no exception but WireError escapes a decoder, and both decoders say the same of each.

Some 25,000 in CI; a million by `make test-all`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support_fsck import found, fsck, opened
from support_fuzz import Fuzzer
from support_ingest import SKEW, HandClock
from support_verdicts import check

from tweeling.adapters.intake import Keep
from tweeling.adapters.memory_journal import MemoryJournal
from tweeling.errors import WireError
from tweeling.ports.inbox import Message
from tweeling.ports.journal import NodeEpoch
from tweeling.services.ingest import Ingest
from tweeling.wire import topics
from tweeling.wire.ack import Ack, State
from tweeling.wire.columnar import Decoder

ROUND = 5_000
SEEDS = [pytest.param(range(5), id="reduced"), pytest.param(range(5, 205), id="million", marks=pytest.mark.slow)]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seeds", SEEDS)
def test_no_message_raises_and_both_decoders_say_the_same_of_each(seeds: range) -> None:
    decoder = Decoder(skew_ms=SKEW)
    verdicts: Counter[str] = Counter()
    for seed in seeds:
        fuzzer = Fuzzer(seed)
        journal = MemoryJournal(keep=Keep(rows=1_000))
        ingest = Ingest(journal, HandClock())
        sums: Counter[str] = Counter()
        for _ in range(ROUND // 5):
            messages = [fuzzer.message() for _ in range(5)]
            verdicts.update(verdict[0] for verdict in check(decoder, messages))
            sums.update(_handled(ingest, messages))
        _sound(journal, sums)
    assert sum(verdicts.values()) == len(seeds) * ROUND
    # A fuzzer that is refused everywhere tests nothing.
    assert min(verdicts["envelope"], verdicts["suspect"]) > ROUND * len(seeds) / 10
    assert verdicts["state"] > 0


def _handled(ingest: Ingest, messages: list[Message]) -> dict[str, int]:
    batch = ingest.handle(messages).batch
    return {} if batch is None else {"readings": len(batch.points), "movements": len(batch.movements), "batches": 1}


def _sound(journal: MemoryJournal, sums: Counter[str]) -> None:
    """Totals are the sums of what was committed, and ranges of a node are of one kind each."""
    counts = journal.counts()
    assert {name: counts[name] for name in ("readings", "movements", "batches")} == dict(sums)
    seen = sum(kept.seen for kept in journal.quarantine(limit=10**6))
    assert counts["quarantined"] == seen + counts["quarantine_dropped"]
    settled = [journal.settled(NodeEpoch(*name)) for name in journal._settled]
    assert counts["refused"] == sum(len(known.refused) for known in settled)
    assert counts["dropped"] == sum(len(known.dropped) for known in settled)
    for known in settled:
        assert not known.committed & (known.refused | known.dropped)
        assert not known.refused & known.dropped


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", [range(2), pytest.param(range(2, 42), marks=pytest.mark.slow)])
def test_no_bytes_raise_in_any_other_decoder(seeds: range) -> None:
    understood: Counter[str] = Counter()
    for seed in seeds:
        fuzzer = Fuzzer(seed)
        for _ in range(ROUND):
            sent = fuzzer.message()
            for name, read in (("ack", Ack.decode), ("state", State.decode)):
                try:
                    read(sent.payload)
                except WireError:
                    continue
                understood[name] += 1
            try:
                place = topics.parse(sent.topic)
            except WireError:
                continue
            assert str(place) == sent.topic
    assert min(understood["ack"], understood["state"]) > 0


@pytest.mark.parametrize("seed", [1])
def test_what_a_real_installation_keeps_of_them_is_sound(tmp_path: Path, seed: int) -> None:
    (tmp_path / "tweeling.toml").write_text("")
    fuzzer = Fuzzer(seed)
    with opened(tmp_path) as hub:
        for _ in range(100):
            hub.ingest.handle([fuzzer.message() for _ in range(20)])
        hub.projector.drain()
        assert hub.journal.counts()["readings"] > 100
    code, checks = fsck(tmp_path)
    assert code == 0, [found(each) for each in checks.values()]
