"""A contract of ours on a chain: its address, the code at it, what is asked of it and sent to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from eth_typing import ChecksumAddress
from web3 import Web3
from web3.types import TxReceipt

from tweeling.adapters.evm.artifact import LEDGER, REGISTRY, artifact, version
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.wallet import Call, Wallet
from tweeling.errors import ConfigError, LedgerError, Trouble, UnavailableError

_SETTINGS: Final = {LEDGER: "ledger.contract", REGISTRY: "registry.contract"}


class OurContract:
    """The contract of this name (LEDGER, REGISTRY) at an address.

    Nothing is asked before the first question; then, and after every silence, it is made sure that the node serves the
    chain and that the code at the address is ours. Safe from any thread.
    """

    def __init__(self, chain: Chain, name: str, address: ChecksumAddress) -> None:
        self.address = address
        self._chain = chain
        self._name = name
        contract: Any = chain.web3.eth.contract(address=address, abi=artifact(name).abi)
        self.functions, self.events = contract.functions, contract.events
        self._checked = False

    @contextmanager
    def answers(self, *, anew: bool = False) -> Iterator[None]:
        """Ask inside the block, as inside `Chain.answers`; ConfigError where chain or code are not ours.

        anew: make sure of the chain even if nobody was silent.
        """
        try:
            with self._chain.answers():
                if anew or not self._checked:
                    self._chain.check()
                if not self._checked:
                    check_code(self._chain, self._name, self.address)
                    self._checked = True
                yield
        except (UnavailableError, ConfigError):
            self._checked = False  # who answers next may be somebody else
            raise

    def send(self, wallet: Wallet, call: Call) -> TxReceipt:
        """Have a call mined; raises what the contract says where it refuses."""
        with self.answers():
            receipt = wallet.send(call)
            if receipt["status"] != 1:
                call.estimate_gas({"from": wallet.address})  # raises the reason, if it still holds
                raise LedgerError(
                    f"transaction {receipt['transactionHash'].to_0x_hex()} reverted, but would not now",
                    trouble=Trouble.REFUSED,
                )
            return receipt


def address_of(name: str, text: str) -> ChecksumAddress:
    """Read a contract's address as settings give it."""
    if not Web3.is_address(text):
        raise ConfigError("no address", field=_SETTINGS[name], remedy="It should be 0x and 40 hex digits")
    return Web3.to_checksum_address(text)


def check_code(chain: Chain, name: str, address: ChecksumAddress) -> int:
    """Raise ConfigError unless the code at the address was shipped once; give its version."""
    code = chain.code(address)
    if (shipped := version(code, name)) is None:
        found = "other code" if code else "no contract"
        raise ConfigError(
            f"{found} at {address} on chain {chain.id}",
            field=_SETTINGS[name],
            remedy=f"It should be the address of a {name} of this version of Tweeling or an earlier one",
        )
    return shipped
