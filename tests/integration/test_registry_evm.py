from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from eth_account.signers.local import LocalAccount
from support_chain import DevChain
from support_rpc import misbehaving

from tweeling.adapters.evm import deploy
from tweeling.adapters.evm.artifact import ContractRefusedError
from tweeling.adapters.evm.registry import EvmPartnerDirectory, deploy_registry, directory_id
from tweeling.domain.partner_keys import Role, key_id, partner_id
from tweeling.errors import ConfigError, InvariantError, LedgerError, UnavailableError

NAME = "partners of a region"
PARTNER = partner_id("4012345000009")
PUBLIC = b"\x07" * 32


@pytest.fixture(scope="module")
def contract(chain: DevChain) -> str:
    return deploy_registry(chain.rpc, chain.funded(), chain_id=chain.chain_id)


@pytest.fixture
def registrar(chain: DevChain) -> LocalAccount:
    return chain.funded()


@pytest.fixture
def directory(chain: DevChain, contract: str, registrar: LocalAccount) -> Iterator[EvmPartnerDirectory]:
    with closing(_directory(chain, contract, registrar, registrar)) as opened:
        opened.begin(NAME)
        yield opened


def test_a_controller_adds_keys_that_anybody_can_read_and_a_stranger_cannot_change(
    chain: DevChain, contract: str, registrar: LocalAccount, directory: EvmPartnerDirectory
) -> None:
    controller, stranger = chain.funded(), chain.funded()
    directory.admit(PARTNER, controller.address.lower())
    with closing(_directory(chain, contract, registrar, controller)) as theirs:
        key = theirs.add_key(PARTNER, "Ed25519", PUBLIC, Role.CAPTURE)
    with closing(_directory(chain, contract, registrar, stranger)) as other:
        with pytest.raises(ContractRefusedError) as caught:
            other.revoke_key(PARTNER, key.key_id)
        assert caught.value.name == "PartnerRegistryNotController"
        assert caught.value.fields["caller"] == stranger.address.lower()
    with closing(_directory(chain, contract, registrar, None)) as reader:
        assert reader.keys(PARTNER) == (key,)
        with pytest.raises(ConfigError, match="no key to sign with"):
            reader.revoke_key(PARTNER, key.key_id)


def test_a_directory_that_nobody_began_is_no_empty_one(chain: DevChain, contract: str) -> None:
    with (
        closing(_directory(chain, contract, chain.funded(), None)) as directory,
        pytest.raises(ContractRefusedError, match="UnknownDirectory"),
    ):
        directory.is_valid(PARTNER, key_id("Ed25519", PUBLIC), Role.CAPTURE, block=0)


def test_a_block_that_a_slow_node_lacks_may_be_asked_for_again(chain: DevChain, directory: EvmPartnerDirectory) -> None:
    block = int(chain.ask("eth_blockNumber"), 16) + 2
    with pytest.raises(UnavailableError, match=f"block {block} is not there yet; the newest is {block - 2}"):
        directory.is_valid(PARTNER, bytes(32), Role.CAPTURE, block=block)
    chain.ask("anvil_mine", hex(2))
    assert not directory.is_valid(PARTNER, bytes(32), Role.CAPTURE, block=block)


def test_another_chain_and_other_code_are_refused(chain: DevChain, contract: str, registrar: LocalAccount) -> None:
    ledger = deploy(chain.rpc, chain.funded(), chain_id=chain.chain_id)
    with closing(_directory(chain, ledger, registrar, None)) as other, pytest.raises(ConfigError, match="other code"):
        other.keys(PARTNER)
    with closing(_directory(chain, registrar.address, registrar, None)) as empty:
        with pytest.raises(ConfigError, match="no contract") as caught:
            empty.keys(PARTNER)
        assert caught.value.field == "registry.contract"
    with (
        closing(_directory(chain, contract, registrar, None, chain_id=1)) as elsewhere,
        pytest.raises(ConfigError, match="serves chain 31337, not 1"),
    ):
        elsewhere.keys(PARTNER)
    with pytest.raises(ConfigError, match="no address"):
        _directory(chain, "0x12", registrar, None)


def test_what_cannot_be_said_to_the_contract_is_refused_by_field(directory: EvmPartnerDirectory) -> None:
    for field, attempt in {
        "partner": lambda: directory.keys(b"short"),
        "key_id": lambda: directory.revoke_key(PARTNER, b""),
        "first": lambda: directory.revoke_key(PARTNER, bytes(32), first=1 << 64),
        "until": lambda: directory.add_key(PARTNER, "Ed25519", PUBLIC, Role.CAPTURE, until=-1),
        "block": lambda: directory.is_valid(PARTNER, bytes(32), Role.CAPTURE, block=-1),
        "controller": lambda: directory.admit(PARTNER, "somebody"),
    }.items():
        with pytest.raises(InvariantError) as caught:
            attempt()
        assert caught.value.field == field


def test_keys_are_looked_for_in_pieces_that_a_node_answers_and_read_as_they_were_added(
    chain: DevChain, contract: str, registrar: LocalAccount, directory: EvmPartnerDirectory
) -> None:
    def narrow(method: str, params: Any, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= 2:
            return {"jsonrpc": "2.0", "id": 1, "error": {"code": -32600, "message": "two blocks at once"}}
        return ask()

    directory.admit(PARTNER, registrar.address)
    first, second = (directory.add_key(PARTNER, "Ed25519", bytes([each]) * 32, Role.CAPTURE) for each in (1, 2))
    ends = [directory.revoke_key(PARTNER, second.key_id, first=first_) for first_ in (10_000, 5_000)]
    with misbehaving(chain.rpc) as node:
        node.misbehave(narrow)
        with closing(_directory(chain, contract, registrar, None, rpc=node.url)) as reader:
            assert reader.keys(PARTNER) == (first, second._replace(until=min(ends)))


def test_a_key_that_no_contract_can_have_told_of_is_the_nodes_trouble(
    chain: DevChain, contract: str, registrar: LocalAccount, directory: EvmPartnerDirectory
) -> None:
    directory.admit(PARTNER, registrar.address)
    directory.add_key(PARTNER, "Ed25519", PUBLIC, Role.CAPTURE)
    with misbehaving(chain.rpc) as node, closing(_directory(chain, contract, registrar, None, rpc=node.url)) as reader:
        for forged in (f"0x{(9).to_bytes(32).hex()}", "0x"):
            node.change(
                "eth_getLogs",
                lambda events, forged=forged: [each | {"data": forged + each["data"][66:]} for each in events],
            )
            with pytest.raises(LedgerError, match="no answer that makes sense"):
                reader.keys(PARTNER)


def test_no_more_is_paid_for_a_registry_than_was_said(chain: DevChain, contract: str, registrar: LocalAccount) -> None:
    with pytest.raises(LedgerError, match="gas costs"):
        deploy_registry(chain.rpc, registrar, chain_id=chain.chain_id, most_wei=1)
    with (
        closing(_directory(chain, contract, registrar, registrar, most_wei=1)) as directory,
        pytest.raises(LedgerError, match="gas costs"),
    ):
        directory.begin(NAME)


def _directory(
    chain: DevChain,
    contract: str,
    registrar: LocalAccount,
    account: LocalAccount | None,
    **changes: Any,
) -> EvmPartnerDirectory:
    terms = {"rpc": chain.rpc, "chain_id": chain.chain_id} | changes
    return EvmPartnerDirectory(
        contract=contract, directory=directory_id(registrar.address, NAME), account=account, **terms
    )
