"""An account that sends transactions, one at a time."""

from __future__ import annotations

import threading
from typing import Protocol

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from web3.exceptions import TimeExhausted, Web3RPCError
from web3.types import TxParams, TxReceipt, Wei

from tweeling.adapters.evm.chain import Chain, rpc_error

_STEP = 1.25  # nodes take a replacement from 10 % more on
_MOST = 10.0


class Call(Protocol):
    """A call of a contract, or its creation."""

    def estimate_gas(self, transaction: TxParams) -> int:
        """Run it without effect; raises what it would raise."""
        ...

    def build_transaction(self, transaction: TxParams) -> TxParams:
        """Give it the shape of a transaction."""
        ...


class Wallet:
    """Signs here, so that no node ever holds the key.

    A transaction takes the nonce after the last one mined: one of ours that is stuck gets replaced at a higher fee and
    never has a second one queue up behind it, even after a restart.
    """

    def __init__(self, chain: Chain, account: LocalAccount, *, receipt_s: float) -> None:
        self._chain = chain
        self._account = account
        self._receipt_s = receipt_s
        self._raise = 1.0
        self._one = threading.Lock()

    @property
    def address(self) -> ChecksumAddress:
        """Who sends."""
        return self._account.address

    def send(self, call: Call) -> TxReceipt:
        """Send and wait for the receipt. Raises web3's errors; belongs inside `Chain.answers`."""
        with self._one:
            transaction = self._transaction(call)
            signed = self._account.sign_transaction(transaction)  # type: ignore[arg-type]  # two packages, two names for it
            try:
                self._submit(signed.raw_transaction)
                receipt = self._chain.web3.eth.wait_for_transaction_receipt(
                    signed.hash, timeout=self._receipt_s, poll_latency=0.1
                )
            except TimeExhausted:
                self._outbid()
                raise
            self._raise = 1.0
            return receipt

    def _transaction(self, call: Call) -> TxParams:
        eth = self._chain.web3.eth
        # First, because it says without cost what the contract would refuse.
        gas = call.estimate_gas({"from": self.address})
        base = eth.fee_history(1, "latest")["baseFeePerGas"][-1]
        tip = eth.max_priority_fee
        return call.build_transaction(
            {
                "from": self.address,
                "chainId": self._chain.id,
                "nonce": eth.get_transaction_count(self.address, "latest"),
                "gas": gas + gas // 10,
                "maxPriorityFeePerGas": Wei(int(tip * self._raise)),
                "maxFeePerGas": Wei(int((2 * base + tip) * self._raise)),
            }
        )

    def _submit(self, raw: bytes) -> None:
        try:
            self._chain.web3.eth.send_raw_transaction(raw)
        except Web3RPCError as exc:
            _, message = rpc_error(exc)
            if "already known" in message or "already imported" in message:
                return  # the very same transaction waits there: so do we
            if "underpriced" in message:
                self._outbid()
            raise

    def _outbid(self) -> None:
        self._raise = min(self._raise * _STEP, _MOST)
