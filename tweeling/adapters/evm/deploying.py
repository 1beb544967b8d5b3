"""Putting the contract on a chain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from eth_account.signers.local import LocalAccount
from web3.types import Nonce
from web3.utils.address import get_create_address

from tweeling.adapters.evm.artifact import LEDGER, artifact
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.contract import check_code
from tweeling.adapters.evm.wallet import Wallet
from tweeling.errors import UnavailableError

log = logging.getLogger(__name__)


class Deployed(NamedTuple):
    """A contract that was just created. cost: in wei."""

    address: str
    block: int
    block_hash: bytes
    gas: int
    cost: int


class Cost(NamedTuple):
    """What creating it would take. price: of a unit of gas; balance: what the account holds; in wei.

    needed: what it has to hold before anything is sent, for prices move until it is mined.
    """

    gas: int
    price: int
    balance: int
    needed: int

    @property
    def wei(self) -> int:
        """All of it, at the price of now."""
        return self.gas * self.price


class Deployment:
    """Creates a contract of ours by one account, on one chain; knows beforehand what it costs."""

    def __init__(
        self,
        chain: Chain,
        account: LocalAccount,
        *,
        contract: str = LEDGER,
        receipt_s: float,
        most_wei: int | None = None,
    ) -> None:
        self._chain = chain
        self._wallet = Wallet(chain, account, receipt_s=receipt_s, most_wei=most_wei)
        self._name = contract
        shipped = artifact(contract)
        self._creation = chain.web3.eth.contract(abi=shipped.abi, bytecode=shipped.bytecode).constructor()

    def cost(self) -> Cost:
        """Ask what it would cost; raises ConfigError where the node serves another chain."""
        with self._chain.answers():
            self._chain.check()
            gas = self._creation.estimate_gas({"from": self._wallet.address})
            price = self._wallet.price()
            return Cost(gas, price.now, self._wallet.balance(), self._wallet.needed(gas, price))

    def deploy(self, *, tell: Callable[[str], None] | None = None) -> Deployed:
        """Do it, and wait until it is mined. tell: is told, once it is sent, at which address it will be."""

        def sent(nonce: int) -> None:
            if tell is not None:
                tell(get_create_address(self._wallet.address, Nonce(nonce)))

        with self._chain.answers():
            self._chain.check()
            receipt = self._wallet.send(self._creation, sent=sent)
            address = receipt["contractAddress"]
            if receipt["status"] != 1 or address is None:
                raise UnavailableError(
                    f"the contract was not created by transaction {receipt['transactionHash'].to_0x_hex()}"
                )
            check_code(self._chain, self._name, address)
        log.info("ledger.deployed", extra={"chain": self._chain.id, "contract": address})
        price = receipt.get("effectiveGasPrice", 0)
        block, gas = receipt["blockNumber"], receipt["gasUsed"]
        return Deployed(address, block, bytes(receipt["blockHash"]), gas, gas * price)


def deploy(rpc: str, account: LocalAccount, *, chain_id: int, timeout_s: float = 10, receipt_s: float = 60) -> str:
    """Put the contract on a chain and return its address, checksummed."""
    with Chain(rpc, chain_id=chain_id, timeout_s=timeout_s) as chain:
        return Deployment(chain, account, receipt_s=receipt_s).deploy().address
