"""PartnerRegistry on an EVM chain, as the port PartnerDirectory."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from eth_abi.abi import encode
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak
from web3 import Web3
from web3.types import TxReceipt

from tweeling.adapters.evm.artifact import REGISTRY, ContractRefusedError
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.contract import OurContract, address_of
from tweeling.adapters.evm.deploying import Deployment
from tweeling.adapters.evm.events import EventSearch, Topic
from tweeling.adapters.evm.wallet import Call, Wallet
from tweeling.domain import partner_keys
from tweeling.domain.partner_keys import ALGORITHMS, PartnerKey, Role
from tweeling.errors import ConfigError, InvariantError, UnavailableError

_ADDED: Final = keccak(text="KeyAdded(bytes32,bytes32,bytes32,uint8,bytes,uint8,uint64,uint64)")
_REVOKED: Final = keccak(text="KeyRevoked(bytes32,bytes32,bytes32,uint64)")
_NO_END: Final = (1 << 64) - 1
_NAMES: Final = {number: name for name, number in ALGORITHMS.items()}


def directory_id(registrar: str, name: str) -> bytes:
    """The name on the contract of the directory that `registrar` begins under this name."""
    return keccak(encode(["address", "bytes32"], [registrar, hashlib.sha256(name.encode()).digest()]))


def deploy_registry(
    rpc: str,
    account: LocalAccount,
    *,
    chain_id: int,
    timeout_s: float = 10,
    receipt_s: float = 60,
    most_wei: int | None = None,
) -> str:
    """Put the contract on a chain and return its address, checksummed. most_wei: for a unit of gas, at most."""
    with Chain(rpc, chain_id=chain_id, timeout_s=timeout_s) as chain:
        made = Deployment(chain, account, contract=REGISTRY, receipt_s=receipt_s, most_wei=most_wei)
        return made.deploy().address


class EvmPartnerDirectory:
    """One directory, read by anybody, and changed by `account`, which is its registrar or a partner's controller.

    Speaks to nobody before the first question; then, and after every silence, makes sure that the node serves the
    chain and that the code at the address is ours, or raises ConfigError. Safe from any thread.
    directory: its id, see `directory_id`. first_block: where the search for events ends. most_wei: what a
    unit of gas may cost at most.
    """

    def __init__(
        self,
        *,
        rpc: str,
        chain_id: int,
        contract: str,
        directory: bytes,
        account: LocalAccount | None = None,
        timeout_s: float = 10,
        receipt_s: float = 60,
        first_block: int = 0,
        most_wei: int | None = None,
    ) -> None:
        address = address_of(REGISTRY, contract)
        self._chain = Chain(rpc, chain_id=chain_id, timeout_s=timeout_s)
        self._wallet = Wallet(self._chain, account, receipt_s=receipt_s, most_wei=most_wei) if account else None
        self._contract = OurContract(self._chain, REGISTRY, address)
        self._events = EventSearch(self._chain, address)
        self._directory = directory
        self._first_block = first_block

    def is_valid(self, partner: bytes, key_id: bytes, role: Role, *, block: int) -> bool:
        """Whether a key may sign for a partner in a role, as of a block that is there."""
        if not role:
            raise InvariantError("a key is asked for in a role", field="role")
        _check_shape(partner=partner, key_id=key_id, block=block)
        asked = self._contract.functions.isValid(self._directory, partner, key_id, int(role), block)
        try:
            with self._contract.answers():
                return bool(asked.call())
        except ContractRefusedError as exc:
            if exc.name != "PartnerRegistryFutureBlock":
                raise
            raise UnavailableError(f"block {block} is not there yet; the newest is {exc.fields['newest']}") from exc

    def keys(self, partner: bytes) -> tuple[PartnerKey, ...]:
        """Every key that the partner ever had, from the contract's events."""
        _check_shape(partner=partner)
        events = self._contract.events
        found: list[tuple[bytes, PartnerKey]] = []
        ends: dict[bytes, int] = {}
        with self._contract.answers():
            wanted: list[Topic] = [[_ADDED, _REVOKED], self._directory, partner]
            for event in self._events.newest_first(wanted, first=self._first_block):
                if bytes(event["topics"][0]) == _ADDED:
                    told = events.KeyAdded().process_log(event)["args"]
                    found.append((bytes(told["keyId"]), _key(told)))
                else:
                    told = events.KeyRevoked().process_log(event)["args"]
                    ends.setdefault(bytes(told["keyId"]), int(told["until"]))  # the newest is the nearest
        return tuple(key._replace(until=ends.get(name, key.until)) for name, key in reversed(found))

    def begin(self, name: str) -> None:
        """Begin the directory of this name, whose registrar the account becomes."""
        self._send(self._contract.functions.begin(hashlib.sha256(name.encode()).digest()))

    def admit(self, partner: bytes, controller: str) -> None:
        """Let a partner in; for the registrar."""
        _check_shape(partner=partner)
        if not Web3.is_address(controller):
            raise InvariantError("no address: 0x and 40 hex digits", field="controller")
        account = Web3.to_checksum_address(controller)
        self._send(self._contract.functions.admit(self._directory, partner, account))

    def add_key(
        self,
        partner: bytes,
        algorithm: str,
        public_key: bytes,
        roles: Role,
        *,
        first: int = 0,
        until: int | None = None,
    ) -> PartnerKey:
        """Add a key; for the partner's controller and the registrar."""
        partner_keys.key_id(algorithm, public_key)  # raises where it is none
        if not roles:
            raise InvariantError("a key has a role at least", field="roles")
        end = _NO_END if until is None else until
        _check_shape(partner=partner, first=first, until=end)
        receipt = self._send(
            self._contract.functions.addKey(
                self._directory, partner, ALGORITHMS[algorithm], public_key, int(roles), first, end
            )
        )
        with self._chain.answers():
            return _key(self._contract.events.KeyAdded().process_receipt(receipt)[0]["args"])

    def revoke_key(self, partner: bytes, key_id: bytes, *, first: int = 0) -> int:
        """End a key; for the partner's controller and the registrar."""
        _check_shape(partner=partner, key_id=key_id, first=first)
        receipt = self._send(self._contract.functions.revokeKey(self._directory, partner, key_id, first))
        with self._chain.answers():
            return int(self._contract.events.KeyRevoked().process_receipt(receipt)[0]["args"]["until"])

    def close(self) -> None:
        """Let go of the connections."""
        self._chain.close()

    def _send(self, call: Call) -> TxReceipt:
        if self._wallet is None:
            raise ConfigError("no key to sign with", field="registry.key_file", remedy="Only questions can be asked")
        return self._contract.send(self._wallet, call)


def _key(told: Any) -> PartnerKey:
    end = int(told["until"])
    return PartnerKey(
        _NAMES[told["algorithm"]],
        bytes(told["publicKey"]),
        Role(told["roles"]),
        int(told["from"]),
        None if end == _NO_END else end,
    )


def _check_shape(**values: bytes | int) -> None:
    for field, value in values.items():
        if isinstance(value, bytes):
            if len(value) != 32:
                raise InvariantError("not 32 bytes", field=field)
        elif not 0 <= value <= _NO_END:
            raise InvariantError(f"no number of a block: {value}", field=field)
