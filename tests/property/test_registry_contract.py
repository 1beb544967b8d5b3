from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support_chain import running_anvil
from support_contracts import NOBODY, Callers

from tweeling.adapters.evm.artifact import ContractRefusedError
from tweeling.domain.partner_keys import PartnerKey, Role, key_id

NO_END = (1 << 64) - 1
PARTNERS = [sha256(b"%d" % number).digest() for number in range(2)]
KEYS = [("Ed25519", 1, b"\x01" * 32), ("ES256K", 2, b"\x03" + b"\x02" * 32)]

callers_ = st.sampled_from([0, 0, 0, 1, 2])
partners = st.sampled_from(PARTNERS)
keys = st.sampled_from(KEYS)
roles = st.integers(1, 7).map(Role)
soon = st.integers(-3, 6)  # blocks from now


@dataclass
class Partner:
    """What the contract should hold of a partner."""

    controller: int
    keys: dict[bytes, PartnerKey] = field(default_factory=dict)


class Registry(RuleBasedStateMachine):
    """Anybody calls the contract while blocks go by; it says what the model foretells, and never takes a word back."""

    def __init__(self, callers: Callers) -> None:
        super().__init__()
        self.callers = callers
        self.registrar = 0
        self.proposed: int | None = None
        self.partners: dict[bytes, Partner] = {}
        self.said: dict[tuple[bytes, bytes, int, int], bool] = {}

    @initialize()
    def begin(self) -> None:
        # Who begins a directory a second time is refused; each try has one of its own.
        name = sha256(self.callers.height.to_bytes(8)).digest()
        assert self._by(0, "begin", name) is None
        assert self._by(0, "begin", name) == "PartnerRegistryDirectoryExists"
        self.directory = keccak(encode(["address", "bytes32"], [self.callers.accounts[0], name]))

    @rule(who=callers_, partner=partners, controller=st.sampled_from([None, 0, 1, 2]))
    def admit(self, who: int, partner: bytes, controller: int | None) -> None:
        expected = self._refusal_of_registrar(who)
        if expected is None and partner in self.partners:
            expected = "PartnerRegistryPartnerExists"
        if expected is None and controller is None:
            expected = "PartnerRegistryNoController"
        assert self._by(who, "admit", self.directory, partner, self._account(controller)) == expected
        if expected is None and controller is not None:
            self.partners[partner] = Partner(controller)

    @rule(who=callers_, partner=partners, controller=st.sampled_from([None, 0, 1, 2]))
    def replace_controller(self, who: int, partner: bytes, controller: int | None) -> None:
        expected = self._refusal_of_registrar(who)
        if expected is None and partner not in self.partners:
            expected = "PartnerRegistryUnknownPartner"
        if expected is None and controller is None:
            expected = "PartnerRegistryNoController"
        assert self._by(who, "replaceController", self.directory, partner, self._account(controller)) == expected
        if expected is None and controller is not None:
            self.partners[partner].controller = controller

    @rule(who=callers_, proposed=st.sampled_from([None, 0, 1]))
    def propose_registrar(self, who: int, proposed: int | None) -> None:
        expected = self._refusal_of_registrar(who)
        assert self._by(who, "proposeRegistrar", self.directory, self._account(proposed)) == expected
        if expected is None:
            self.proposed = proposed

    @rule(who=callers_)
    def accept_registrar(self, who: int) -> None:
        expected = None if self.proposed == who else "PartnerRegistryNotProposed"
        assert self._by(who, "acceptRegistrar", self.directory) == expected
        if expected is None:
            self.registrar, self.proposed = who, None

    @rule(who=callers_, partner=partners, key=keys, may=roles, start=soon, end=st.one_of(st.none(), soon))
    def add(
        self, who: int, partner: bytes, key: tuple[str, int, bytes], may: Role, start: int, end: int | None
    ) -> None:
        algorithm, number, public = key
        name, now = key_id(algorithm, public), self.callers.height + 1  # the block that will hold the call
        first = max(now + start, now + 1)
        until = None if end is None else now + end
        expected = self._refusal_of_controller(who, partner)
        if expected is None and until is not None and until <= first:
            expected = "PartnerRegistryNeverValid"
        if expected is None and name in self.partners[partner].keys:
            expected = "PartnerRegistryKeyExists"
        words = (self.directory, partner, number, public, int(may), now + start, NO_END if until is None else until)
        assert self._by(who, "addKey", *words) == expected
        if expected is None:
            self.partners[partner].keys[name] = PartnerKey(algorithm, public, may, first, until)

    @rule(who=callers_, partner=partners, key=keys, start=soon)
    def revoke(self, who: int, partner: bytes, key: tuple[str, int, bytes], start: int) -> None:
        name, now = key_id(key[0], key[2]), self.callers.height + 1
        end = max(now + start, now + 1)
        expected = self._refusal_of_controller(who, partner)
        known = None
        if expected is None:
            known = self.partners[partner].keys.get(name)
            if known is None:
                expected = "PartnerRegistryUnknownKey"
            elif known.until is not None and end >= known.until:
                expected = "PartnerRegistryNotShortened"
        assert self._by(who, "revokeKey", self.directory, partner, name, now + start) == expected
        if expected is None and known is not None:
            self.partners[partner].keys[name] = known._replace(until=end)

    @rule(blocks=st.integers(1, 6))
    def mine(self, blocks: int) -> None:
        self.callers.devchain.ask("anvil_mine", hex(blocks))

    @rule(partner=partners, key=keys, role=roles, back=st.integers(-1, 8))
    def ask(self, partner: bytes, key: tuple[str, int, bytes], role: Role, back: int) -> None:
        name, height = key_id(key[0], key[2]), self.callers.height
        block = height - back
        if block > height:
            with pytest.raises(ContractRefusedError, match=f"FutureBlock.*newest={height}"):
                self._valid(partner, name, role, block)
            return
        held = self.partners[partner].keys.get(name) if partner in self.partners else None
        told = self._valid(partner, name, role, block)
        assert told == (held is not None and held.is_valid(role, block=block))
        self.said[partner, name, int(role), block] = told

    @invariant()
    def what_was_said_of_the_past_is_said_again(self) -> None:
        for (partner, name, role, block), told in list(self.said.items())[-4:]:
            assert self._valid(partner, name, Role(role), block) == told

    def teardown(self) -> None:
        for (partner, name, role, block), told in self.said.items():
            assert self._valid(partner, name, Role(role), block) == told

    def _valid(self, partner: bytes, name: bytes, role: Role, block: int) -> bool:
        return bool(self.callers.ask("isValid", self.directory, partner, name, int(role), block))

    def _by(self, who: int, function: str, *arguments: object) -> str | None:
        return self.callers.attempt(self.callers.accounts[who], function, *arguments)

    def _account(self, number: int | None) -> str:
        return NOBODY if number is None else self.callers.accounts[number]

    def _refusal_of_registrar(self, who: int) -> str | None:
        return None if who == self.registrar else "PartnerRegistryNotRegistrar"

    def _refusal_of_controller(self, who: int, partner: bytes) -> str | None:
        if partner not in self.partners:
            return "PartnerRegistryUnknownPartner"
        return None if who in {self.registrar, self.partners[partner].controller} else "PartnerRegistryNotController"


@pytest.fixture(scope="module")
def callers() -> Iterator[Callers]:
    with running_anvil() as chain, Callers(chain, "PartnerRegistry") as made:
        made.devchain.ask("anvil_mine", hex(10))
        yield made


def test_the_registry_says_what_the_model_foretells(callers: Callers) -> None:
    run_state_machine_as_test(
        lambda: Registry(callers), settings=settings(max_examples=6, stateful_step_count=30, deadline=None)
    )


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_registry_says_it_in_many_more_tries(callers: Callers) -> None:
    run_state_machine_as_test(
        lambda: Registry(callers), settings=settings(max_examples=150, stateful_step_count=60, deadline=None)
    )
