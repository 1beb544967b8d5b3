"""What every PartnerDirectory promises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple, Protocol

import pytest
from support_chain import DevChain, running_anvil

from tweeling.adapters.evm.registry import EvmPartnerDirectory, deploy_registry, directory_id
from tweeling.adapters.memory_registry import MemoryPartnerDirectory
from tweeling.domain.partner_keys import PartnerKey, Role, key_id, partner_id
from tweeling.errors import InvariantError, RejectedError, UnavailableError
from tweeling.ports.registry import PartnerDirectory

PARTNER = partner_id("4012345000009")
ANOTHER = partner_id("did:web:example.org")
CONTROLLER = "0x" + "c0" * 20
ED, K1 = b"\x07" * 32, b"\x02" + b"\x08" * 32


class Chain(Protocol):
    """What makes blocks."""

    @property
    def height(self) -> int: ...

    def mine(self, blocks: int = 1) -> None: ...


class Bench(NamedTuple):
    """A directory with its chain at hand."""

    directory: PartnerDirectory
    chain: Chain

    def valid(self, key: PartnerKey, block: int, role: Role = Role.CAPTURE, partner: bytes = PARTNER) -> bool:
        return self.directory.is_valid(partner, key.key_id, role, block=block)


class AnvilBlocks(NamedTuple):
    anvil: DevChain

    @property
    def height(self) -> int:
        return int(self.anvil.ask("eth_blockNumber"), 16)

    def mine(self, blocks: int = 1) -> None:
        self.anvil.ask("anvil_mine", hex(blocks))


@pytest.fixture(scope="module")
def anvil() -> Iterator[DevChain]:
    with running_anvil() as running:
        yield running


@pytest.fixture(scope="module")
def contract(anvil: DevChain) -> str:
    return deploy_registry(anvil.rpc, anvil.funded(), chain_id=anvil.chain_id)


@pytest.fixture(params=["memory", "evm"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        memory = MemoryPartnerDirectory()
        memory.admit(PARTNER, CONTROLLER)
        yield Bench(memory, memory)
        return
    anvil: DevChain = request.getfixturevalue("anvil")
    account = anvil.funded()
    name = "partners of a region"
    with closing(
        EvmPartnerDirectory(
            rpc=anvil.rpc,
            chain_id=anvil.chain_id,
            contract=request.getfixturevalue("contract"),
            directory=directory_id(account.address, name),
            account=account,
        )
    ) as directory:
        directory.begin(name)
        directory.admit(PARTNER, CONTROLLER)
        yield Bench(directory, AnvilBlocks(anvil))


def test_a_key_holds_from_the_block_after_the_one_that_added_it(bench: Bench) -> None:
    key = bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE | Role.WITNESS)
    added = bench.chain.height
    assert key == PartnerKey("Ed25519", ED, Role.CAPTURE | Role.WITNESS, added + 1, None)
    assert not bench.valid(key, added)
    bench.chain.mine()
    assert bench.valid(key, added + 1)
    assert bench.valid(key, added + 1, Role.WITNESS)
    assert bench.valid(key, added + 1, Role.WITNESS | Role.CAPTURE)
    assert not bench.valid(key, added + 1, Role.RECEIVE)
    assert not bench.valid(key, added + 1, Role.WITNESS | Role.RECEIVE)


def test_a_window_is_from_its_first_block_to_before_its_last(bench: Bench) -> None:
    start = bench.chain.height + 5
    key = bench.directory.add_key(PARTNER, "ES256K", K1, Role.RECEIVE, first=start, until=start + 3)
    assert (key.first, key.until) == (start, start + 3)
    bench.chain.mine(20)
    valid = [block for block in range(start - 2, start + 6) if bench.valid(key, block, Role.RECEIVE)]
    assert valid == [start, start + 1, start + 2]


def test_a_revocation_holds_from_the_next_block_and_the_past_stays(bench: Bench) -> None:
    key = bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE)
    bench.chain.mine(5)
    end = bench.directory.revoke_key(PARTNER, key.key_id)
    assert end == bench.chain.height + 1
    bench.chain.mine(5)
    assert bench.valid(key, end - 1)
    assert not bench.valid(key, end)
    with pytest.raises(RejectedError):
        bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE)
    with pytest.raises(RejectedError):
        bench.directory.revoke_key(PARTNER, key.key_id, first=end + 100)
    assert not bench.valid(key, end)


def test_a_revocation_may_be_planned_and_brought_forward_but_not_put_off(bench: Bench) -> None:
    key = bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE)
    planned = bench.chain.height + 100
    assert bench.directory.revoke_key(PARTNER, key.key_id, first=planned) == planned
    with pytest.raises(RejectedError):
        bench.directory.revoke_key(PARTNER, key.key_id, first=planned + 1)
    assert bench.directory.revoke_key(PARTNER, key.key_id, first=planned - 1) == planned - 1


def test_of_a_block_that_is_not_there_nothing_is_said(bench: Bench) -> None:
    key = bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE)
    with pytest.raises(UnavailableError, match="not there yet"):
        bench.valid(key, bench.chain.height + 1)


def test_a_key_holds_for_its_partner_alone(bench: Bench) -> None:
    key = bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE)
    bench.directory.admit(ANOTHER, CONTROLLER)
    bench.chain.mine()
    assert bench.valid(key, bench.chain.height)
    assert not bench.valid(key, bench.chain.height, partner=ANOTHER)
    assert not bench.valid(key, bench.chain.height, partner=b"\x00" * 32)
    other = bench.directory.add_key(ANOTHER, "Ed25519", ED, Role.WITNESS)
    assert bench.directory.keys(ANOTHER) == (other,)


def test_keys_are_told_in_their_order_with_their_ends(bench: Bench) -> None:
    assert bench.directory.keys(PARTNER) == ()
    first = bench.directory.add_key(PARTNER, "ES256K", K1, Role.CAPTURE)
    second = bench.directory.add_key(PARTNER, "Ed25519", ED, Role.WITNESS, until=bench.chain.height + 50)
    bench.directory.revoke_key(PARTNER, first.key_id, first=bench.chain.height + 90)
    end = bench.directory.revoke_key(PARTNER, first.key_id)
    assert bench.directory.keys(PARTNER) == (first._replace(until=end), second)


def test_a_partner_is_admitted_once_and_only_then_has_keys(bench: Bench) -> None:
    with pytest.raises(RejectedError):
        bench.directory.admit(PARTNER, CONTROLLER)
    with pytest.raises(RejectedError):
        bench.directory.admit(ANOTHER, "0x" + "00" * 20)
    with pytest.raises(RejectedError):
        bench.directory.add_key(ANOTHER, "Ed25519", ED, Role.CAPTURE)
    with pytest.raises(RejectedError):
        bench.directory.revoke_key(ANOTHER, key_id("Ed25519", ED))
    with pytest.raises(RejectedError):
        bench.directory.revoke_key(PARTNER, key_id("Ed25519", ED))


def test_a_window_without_a_block_is_refused(bench: Bench) -> None:
    height = bench.chain.height
    with pytest.raises(RejectedError):
        bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE, first=height + 9, until=height + 9)
    with pytest.raises(RejectedError):
        bench.directory.add_key(PARTNER, "Ed25519", ED, Role.CAPTURE, until=height)
    assert bench.directory.keys(PARTNER) == ()


@pytest.mark.parametrize(
    ("algorithm", "public_key", "roles", "field"),
    [
        ("Ed25519", ED[1:], Role.CAPTURE, "public_key"),
        ("ES256K", b"\x04" + K1[1:], Role.CAPTURE, "public_key"),
        ("ES256K", ED, Role.CAPTURE, "public_key"),
        ("RS256", ED, Role.CAPTURE, "algorithm"),
        ("Ed25519", ED, Role(0), "roles"),
    ],
    ids=["short", "uncompressed", "another's", "unknown", "no role"],
)
def test_what_is_no_key_is_refused_by_field(
    bench: Bench, algorithm: str, public_key: bytes, roles: Role, field: str
) -> None:
    with pytest.raises(InvariantError) as caught:
        bench.directory.add_key(PARTNER, algorithm, public_key, roles)
    assert caught.value.field == field
    with pytest.raises(InvariantError):
        bench.directory.is_valid(PARTNER, b"\x00" * 32, Role(0), block=0)
