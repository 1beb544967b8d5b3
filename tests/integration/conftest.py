"""A development chain for each file of tests that asks for one, the ledger's contract on it, and who anchors there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain, running_anvil
from support_rpc import Node, misbehaving

from tweeling.adapters.evm import deploy


@pytest.fixture(scope="module")
def chain() -> Iterator[DevChain]:
    with running_anvil() as running:
        yield running


@pytest.fixture(scope="module")
def contract(chain: DevChain) -> str:
    return deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)


@pytest.fixture
def account(chain: DevChain) -> LocalAccount:
    return chain.funded()


@pytest.fixture
def node(chain: DevChain) -> Iterator[Node]:
    with misbehaving(chain.rpc) as between:
        yield between
