from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from support_chain import running_anvil
from support_contracts import NOBODY, Callers
from support_rfc9162 import EMPTY_ROOT, Tree, extends, includes, leaf, tree_of

MOST = 40
LEAVES = [leaf(b"entry %d" % number) for number in range(MOST)]
# Two histories that part at entry 5, so that some steps are forgeries.
TRUE = tree_of(LEAVES)
FORGED = tree_of([*LEAVES[:5], leaf(b"forged"), *LEAVES[6:]])
TRIES = itertools.count()

trees = st.sampled_from([TRUE, TRUE, TRUE, FORGED])
shapes = st.sampled_from(["whole", "whole", "whole", "whole", "shorter", "longer", "turned", "changed"])
off = st.sampled_from([0, 0, 0, 0, -1, 1])


@dataclass
class Log:
    """What the contract should hold of a log."""

    name: bytes
    creator: int
    origin: bytes
    operator: int
    size: int = 0
    root: bytes = EMPTY_ROOT
    proposed: int | None = None
    successor: tuple[int, str, bytes] = (0, NOBODY, bytes(32))

    @property
    def retired(self) -> bool:
        return self.successor[1] != NOBODY


class Ledger(RuleBasedStateMachine):
    """Anybody calls the contract, which says what the model foretells."""

    logs = Bundle("logs")

    def __init__(self, callers: Callers) -> None:
        super().__init__()
        self.callers = callers
        self.logs_begun: dict[tuple[int, bytes], Log] = {}
        self.touched: Log | None = None
        self.salt = next(TRIES).to_bytes(8)  # one contract for all tries, so origins differ

    @rule(target=logs, who=st.integers(0, 2), number=st.integers(0, 1))
    def create(self, who: int, number: int) -> Log:
        origin = sha256(self.salt + bytes([number])).digest()
        refused = self.callers.attempt(self.callers.accounts[who], "create", origin)
        known = self.logs_begun.get((who, origin))
        assert refused == ("CustodyLedgerLogExists" if known else None)
        if known:
            return known
        name = keccak(encode(["address", "bytes32"], [self.callers.accounts[who], origin]))
        return self.logs_begun.setdefault((who, origin), Log(name, who, origin, who))

    @rule(
        log=logs,
        stranger=st.sampled_from([0, 0, 0, 1]),
        grown=st.sampled_from([1, 1, 2, 3, 5, 8, 0, -1]),
        tree=trees,
        off_old=off,
        off_new=off,
        shape=shapes,
    )
    def anchor(self, log: Log, stranger: int, grown: int, tree: Tree, off_old: int, off_new: int, shape: str) -> None:
        size = min(max(log.size + grown, 0), MOST)
        root = tree.root(size)
        m, n = log.size + off_old, size + off_new
        proof = _bent(tree.consistency(m, n) if 0 < m < n <= MOST else [], shape)
        who = (log.operator + stranger) % 3
        expected = self._refusal_of_operator(log, who)
        if expected is None and size <= log.size:
            expected = "CustodyLedgerNotAppended"
        if expected is None and not extends(log.size, log.root, size, root, proof):
            expected = "CustodyLedgerInconsistent"
        assert self._attempt(who, "anchor", log, size, root, proof) == expected
        if expected is None:
            log.size, log.root = size, root

    @rule(log=logs, who=st.integers(0, 2), proposed=st.sampled_from([None, 0, 1, 2]))
    def propose(self, log: Log, who: int, proposed: int | None) -> None:
        account = NOBODY if proposed is None else self.callers.accounts[proposed]
        expected = self._refusal_of_operator(log, who)
        assert self._attempt(who, "proposeOperator", log, account) == expected
        if expected is None:
            log.proposed = proposed

    @rule(log=logs, who=st.integers(0, 2))
    def accept(self, log: Log, who: int) -> None:
        expected = "CustodyLedgerNotProposed" if log.proposed != who else None
        if log.retired:
            expected = "CustodyLedgerRetired"
        assert self._attempt(who, "acceptOperator", log) == expected
        if expected is None:
            log.operator, log.proposed = who, None

    @rule(log=logs, who=st.integers(0, 2), kind=st.sampled_from(["next", "itself", "chain", "ledger", "log"]))
    def retire(self, log: Log, who: int, kind: str) -> None:
        successor = {
            "next": (1, self.callers.address, log.name),
            "itself": (self.callers.devchain.chain_id, self.callers.address, log.name),
            "chain": (0, self.callers.address, log.name),
            "ledger": (1, NOBODY, log.name),
            "log": (1, self.callers.address, bytes(32)),
        }[kind]
        expected = self._refusal_of_operator(log, who)
        if expected is None and kind != "next":
            expected = "CustodyLedgerNoSuccessor"
        assert self._attempt(who, "retire", log, successor) == expected
        if expected is None:
            log.successor, log.proposed = successor, None

    @rule(log=logs, index=st.integers(0, MOST - 1), tree=trees, off_new=off, shape=shapes)
    def include(self, log: Log, index: int, tree: Tree, off_new: int, shape: str) -> None:
        index = index % (log.size + 1)
        size = log.size + off_new
        proof = _bent(tree.inclusion(index, size) if index < size <= MOST else [], shape)
        told = self.callers.ask("verifyInclusion", log.name, index, LEAVES[index % MOST], proof)
        assert told == includes(index, LEAVES[index % MOST], log.size, log.root, proof)

    @invariant()
    def the_contract_holds_what_the_model_holds(self) -> None:
        if self.touched:
            self._compare(self.touched)

    def teardown(self) -> None:
        for log in self.logs_begun.values():
            self._compare(log)

    def _compare(self, log: Log) -> None:
        assert self.callers.ask("head", log.name) == [log.size, log.root, self.callers.accounts[log.operator]]
        proposed = NOBODY if log.proposed is None else self.callers.accounts[log.proposed]
        assert self.callers.ask("proposedOperator", log.name) == proposed
        assert self.callers.ask("successorOf", log.name) == log.successor

    def _refusal_of_operator(self, log: Log, who: int) -> str | None:
        if who != log.operator:
            return "CustodyLedgerNotOperator"
        return "CustodyLedgerRetired" if log.retired else None

    def _attempt(self, who: int, function: str, log: Log, *arguments: object) -> str | None:
        self.touched = log
        return self.callers.attempt(self.callers.accounts[who], function, log.name, *arguments)


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    with running_anvil() as chain, Callers(chain, "CustodyLedger") as made:
        yield made


def test_the_ledger_says_what_the_model_foretells(callers: Callers) -> None:
    run_state_machine_as_test(
        lambda: Ledger(callers), settings=settings(max_examples=6, stateful_step_count=25, deadline=None)
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_ledger_says_it_in_many_more_tries(callers: Callers) -> None:
    run_state_machine_as_test(
        lambda: Ledger(callers), settings=settings(max_examples=150, stateful_step_count=50, deadline=None)
    )


def _bent(proof: list[bytes], shape: str) -> list[bytes]:
    match shape:
        case "shorter":
            return proof[1:]
        case "longer":
            return [*proof, EMPTY_ROOT]
        case "turned":
            return proof[::-1]
        case "changed":
            return [*proof[:-1], EMPTY_ROOT] if proof else proof
    return proof
