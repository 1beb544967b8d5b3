from __future__ import annotations

import threading

import pytest
from support_custody import Bench, encode, shipping, signer

from tweeling.errors import UnavailableError, VerificationError
from tweeling.services.anchoring import Anchoring, Batching
from tweeling.services.custody import Custody
from tweeling.services.gate import Gate

EACH = Batching(max_entries=1)


def _bench(gate: Gate, size: int = 3) -> Bench:
    """A log of some entries, opened again behind a gate."""
    bench = Bench()
    bench.capture(*(shipping(number) for number in range(size)))
    bench.integrate()
    bench.custody = Custody(bench.store, signer(), clock=bench.clock, random=bytes, gate=gate)
    return bench


def _capture(bench: Bench, number: int) -> None:
    bench.custody.capture(encode(shipping(number)), token_id="test")


def test_a_log_takes_nothing_in_before_its_ledger_was_looked_at() -> None:
    gate = Gate()
    bench = _bench(gate)
    with pytest.raises(UnavailableError, match="takes nothing in: it is being compared with its ledger"):
        _capture(bench, 9)
    assert not bench.custody.health().ok
    Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH, gate=gate).step()
    _capture(bench, 9)
    assert bench.custody.health().ok


def test_a_ledger_that_is_down_blocks_no_log_but_a_restored_one() -> None:
    for restored in (False, True):
        proofs: list[str] = []
        gate = Gate(restored=restored, on_proven=lambda: proofs.append("proven"))  # noqa: B023  # read in this turn
        bench = _bench(gate)
        gate.unanswered("no answer")
        if restored:
            with pytest.raises(UnavailableError, match=r"it was restored, .* not been asked yet \(no answer\)"):
                _capture(bench, 9)
        else:
            _capture(bench, 9)
        assert proofs == []
        gate.proven()
        gate.unanswered("no answer")
        gate.proven()
        _capture(bench, 10)
        assert proofs == ["proven"]


def test_a_ledger_that_says_nothing_blocks_a_log_for_a_moment_only_and_a_restored_one_until_it_speaks() -> None:
    for restored in (False, True):
        now = [100.0]
        gate = Gate(restored=restored, patience_s=2, monotonic=lambda: now[0])  # noqa: B023  # read in this turn
        bench = _bench(gate)
        now[0] = 101.9
        with pytest.raises(UnavailableError, match="being compared"):
            _capture(bench, 9)
        now[0] = 102.0
        if restored:
            with pytest.raises(UnavailableError):
                _capture(bench, 9)
        else:
            _capture(bench, 9)


def test_a_log_that_is_behind_its_ledger_is_neither_grown_nor_signed() -> None:
    gate = Gate()
    bench = _bench(gate)
    bench.ledger.anchor(5, b"\x13" * 32, [])
    anchoring = Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH, gate=gate)
    anchoring.run(threading.Event())  # ends by itself: this is for people to judge
    with pytest.raises(UnavailableError, match=r"the chain holds size 5, this log has 3.* restore a newer backup"):
        _capture(bench, 9)
    signed = bench.store.checkpoint()
    bench.clock.ms += 5000
    assert bench.custody.checkpoint() == signed
    with pytest.raises(VerificationError):
        anchoring.step()


def test_entries_that_no_checkpoint_covers_yet_are_not_signed_behind_a_closed_gate() -> None:
    gate = Gate()
    bench = Bench()
    bench.capture(shipping(1))
    bench.custody = Custody(bench.store, signer(), clock=bench.clock, random=bytes, gate=gate)
    assert bench.custody.checkpoint() is None
    gate.proven()
    assert bench.custody.checkpoint() is not None


def test_a_node_that_is_behind_does_not_open_a_restored_log() -> None:
    for restored in (False, True):
        gate = Gate(restored=restored)
        bench = _bench(gate)
        Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH).step()
        bench.ledger.restart()
        step = Anchoring(bench.store, bench.ledger, bench.facts, clock=bench.clock, batching=EACH, gate=gate).step
        if restored:
            with pytest.raises(UnavailableError, match="holds size 0, behind what this log has seen anchored, 3"):
                step()
            assert bench.store.anchor() is not None, "what was seen is not forgotten for a node that lags"
            assert gate.waits
        else:
            step()
            _capture(bench, 9)
