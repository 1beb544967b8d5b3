from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_chain import DevChain, running_anvil
from support_rfc9162 import EMPTY_ROOT, Tree, extends, leaf, tree_of

from tweeling.adapters.evm import EvmLedger, deploy
from tweeling.adapters.evm.artifact import ContractRefusedError
from tweeling.domain.log import Head

MOST = 40
# Two histories that part at entry 13, so that some steps are forgeries.
TRUE = tree_of([leaf(b"entry %d" % number) for number in range(MOST)])
FORGED = tree_of([leaf(b"entry %d" % number if number != 13 else b"forged") for number in range(MOST)])
NAMES = itertools.count()

step = st.tuples(
    st.integers(1, MOST),  # the size offered
    st.sampled_from([TRUE, TRUE, TRUE, FORGED]),
    st.integers(-1, 1),  # how far the proof's old size is off
    st.integers(-1, 1),  # how far the proof's new size is off
    st.sampled_from(["whole", "whole", "whole", "shorter", "longer", "turned"]),
)


@pytest.fixture(scope="module")
def chain() -> Iterator[DevChain]:
    with running_anvil() as running:
        yield running


@pytest.fixture(scope="module")
def new_ledger(chain: DevChain) -> Callable[[], EvmLedger]:
    account = chain.funded()
    contract = deploy(chain.rpc, account, chain_id=chain.chain_id)

    def make() -> EvmLedger:
        return EvmLedger(
            rpc=chain.rpc, chain_id=chain.chain_id, contract=contract, account=account, origin=f"log {next(NAMES)}"
        )

    return make


@settings(max_examples=25)
@given(steps=st.lists(step, min_size=1, max_size=8))
def test_the_contract_takes_what_the_definition_takes_and_nothing_else(
    new_ledger: Callable[[], EvmLedger], steps: list[tuple[int, Tree, int, int, str]]
) -> None:
    with closing(new_ledger()) as ledger:
        head = Head(0, EMPTY_ROOT)
        history: dict[int, bytes] = {}
        for size, tree, off_old, off_new, shape in steps:
            proof = _proof(tree, head.size + off_old, size + off_new, shape)
            root = tree.root(size)
            if history.get(size) == root:
                expected = None  # done already
            elif size <= head.size:
                expected = "CustodyLedgerNotAppended"
            elif not extends(head.size, head.root, size, root, proof):
                expected = "CustodyLedgerInconsistent"
            else:
                expected = None
                head = Head(size, root)
                history[size] = root
            if expected is None:
                assert ledger.anchor(size, root, proof).size == size
            else:
                with pytest.raises(ContractRefusedError) as caught:
                    ledger.anchor(size, root, proof)
                assert caught.value.name == expected
            assert ledger.head() == head
        assert {size for size in range(1, MOST + 1) if ledger.find(size) is not None} == set(history)


def _proof(tree: Tree, m: int, n: int, shape: str) -> list[bytes]:
    proof = tree.consistency(m, n) if 0 < m < n <= MOST else []
    match shape:
        case "shorter":
            return proof[1:]
        case "longer":
            return [*proof, EMPTY_ROOT]
        case "turned":
            return proof[::-1]
    return proof
