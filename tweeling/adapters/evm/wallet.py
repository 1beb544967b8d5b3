"""An account that sends transactions, one at a time, and pays no more for gas than it may."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from hexbytes import HexBytes
from web3.exceptions import TransactionNotFound, Web3RPCError
from web3.types import RPCEndpoint, TxParams, TxReceipt, Wei

from tweeling.adapters.evm.chain import Chain, rpc_error
from tweeling.errors import LedgerError, Trouble

_STEP: Final = 1.25  # a higher bid for the same place; nodes take one from 10 % on
_LEAST_STEP: Final = 1.1
_MOST: Final = 10  # times the price of now, where no cap is set
_PAUSE_S: Final = (0.1, 2.0)  # between two looks for a receipt, at first and at last


class Call(Protocol):
    """A call of a contract, or its creation."""

    def estimate_gas(self, transaction: TxParams) -> int:
        """Run it without effect; raises what it would raise."""
        ...

    def build_transaction(self, transaction: TxParams) -> TxParams:
        """Give it the shape of a transaction."""
        ...


class Price(NamedTuple):
    """What a unit of gas costs now, in wei. base: burnt, None on a chain without EIP-1559; tip: for who mines."""

    base: int | None
    tip: int

    @property
    def now(self) -> int:
        """What the next block would take."""
        return (self.base or 0) + self.tip

    @property
    def ample(self) -> int:
        """What is offered at first, with room for the base fee to double; what is not needed is not paid."""
        return self.tip if self.base is None else 2 * self.base + self.tip


class Bid(NamedTuple):
    """What is offered for a unit of gas, in wei: at most, and the tip in it."""

    most: int
    tip: int


class _Sent(NamedTuple):
    nonce: int
    hash: HexBytes
    bid: Bid


class Wallet:
    """Signs here, so that no node ever holds the key.

    A transaction takes the nonce after the last one mined, so none ever queues up behind one that is stuck. What else
    of this account waits to be mined (it was sent before a restart, or by another process) gets its time first; then
    it is outbid, as a stuck one of our own is. most_wei: what a unit of gas may cost at most, None for any price.
    """

    def __init__(self, chain: Chain, account: LocalAccount, *, receipt_s: float, most_wei: int | None = None) -> None:
        self._chain = chain
        self._account = account
        self._receipt_s = receipt_s
        self._most = most_wei
        self._sent: _Sent | None = None
        self._too_low = False  # the node said so of that bid
        self._one = threading.Lock()
        self._over = threading.Event()

    @property
    def address(self) -> ChecksumAddress:
        """Who sends."""
        return self._account.address

    @property
    def most(self) -> int | None:
        """What a unit of gas may cost at most, in wei."""
        return self._most

    def price(self) -> Price:
        """Ask what gas costs now."""
        return price_of(self._chain)

    def balance(self) -> int:
        """What the account holds, in wei."""
        return int(self._chain.web3.eth.get_balance(self.address))

    def needed(self, gas: int, price: Price) -> int:
        """What the account has to hold before a call of so much gas is sent; most of it comes back."""
        return _needed(gas, price, self._most)

    def affords(self, gas: int, price: Price) -> int | None:
        """See `affords`."""
        return affords(self.balance(), gas, price, self._most)

    def send(self, call: Call, *, sent: Callable[[int], None] | None = None) -> TxReceipt:
        """Send and wait for the receipt; belongs inside `Chain.answers`. sent: is told the nonce, once it is under way.

        Raises LedgerError where gas is too dear (`fee`), the account too poor (`funds`), or nothing is mined in time
        (`stuck`): then the transaction is on its way all the same. Else web3's errors.
        """
        with self._one:
            nonce = self._place()
            if self._over.is_set():  # while it waited, perhaps: what is under way is left alone
                raise LedgerError("nothing more is sent, for the program ends", trouble=Trouble.STUCK)
            # Before the price, because it says without cost what the contract would refuse.
            gas = _roomy(call.estimate_gas({"from": self.address}))
            price = self.price()
            bid = self._bid(price, nonce)
            self._check_funds(gas * bid.most)
            fees: TxParams = (
                {"gasPrice": Wei(bid.most)}
                if price.base is None
                else {"maxFeePerGas": Wei(bid.most), "maxPriorityFeePerGas": Wei(bid.tip)}
            )
            transaction = call.build_transaction(
                {"from": self.address, "chainId": self._chain.id, "nonce": nonce, "gas": gas, **fees}  # type: ignore[typeddict-item]  # either kind of fees
            )
            signed = self._account.sign_transaction(transaction)  # type: ignore[arg-type]  # two packages, two names for it
            self._sent = _Sent(nonce, signed.hash, bid)
            self._submit(signed.raw_transaction, bid)
            if sent is not None:
                sent(nonce)
            return self._receipt(signed.hash, nonce)

    def interrupt(self) -> None:
        """Wait for nothing from here on."""
        self._over.set()

    def _count(self, block: str) -> int:
        return int(self._chain.web3.eth.get_transaction_count(self.address, block))  # type: ignore[arg-type]  # latest, pending

    def _place(self) -> int:
        """The next nonce; whatever of this account is under way by another hand gets its time first."""
        mined = self._count("latest")
        if self._sent is not None and self._sent.nonce == mined and (self._too_low or self._count("pending") > mined):
            return mined
        self._sent, self._too_low = None, False  # mined, or it never got there
        pause = _Pause(self._receipt_s, self._over)
        while self._count("pending") > mined and pause.rest():
            mined = self._count("latest")
        return mined

    def _bid(self, price: Price, nonce: int) -> Bid:
        """What to offer: within the cap, and enough to take the place of what waits under this nonce."""
        if self._most is not None and price.now > self._most:
            raise LedgerError(
                f"gas costs {_gwei(price.now)} gwei now, more than ledger.max_fee_gwei = {_gwei(self._most)}",
                trouble=Trouble.FEE,
                remedy="It is tried again as prices fall; a higher max_fee_gwei goes on sooner",
            )
        bid = Bid(price.ample, price.tip)
        most = self._most if self._most is not None else _MOST * bid.most
        if (sent := self._sent) is not None and sent.nonce == nonce:
            raised = Bid(*(_above(each, _STEP) for each in sent.bid))
            bid = Bid(max(bid.most, raised.most), max(bid.tip, raised.tip))
            if most < _above(sent.bid.most, _LEAST_STEP):
                raise LedgerError(
                    f"transaction {sent.hash.to_0x_hex()} waits to be mined at up to {_gwei(sent.bid.most)} gwei, and "
                    f"no more than {_gwei(most)} may be bid",
                    trouble=Trouble.STUCK,
                    remedy="It is mined as prices fall; a higher ledger.max_fee_gwei goes on sooner",
                )
        return Bid(min(bid.most, most), min(bid.tip, most))

    def _check_funds(self, needed: int) -> None:
        if (held := self.balance()) < needed:
            raise LedgerError(
                f"insufficient funds: account {self.address} holds {coins(held)}, and this takes up to {coins(needed)}",
                trouble=Trouble.FUNDS,
                remedy="Send it more",
            )

    def _submit(self, raw: bytes, bid: Bid) -> None:
        try:
            self._chain.web3.eth.send_raw_transaction(raw)
        except Web3RPCError as exc:
            message = rpc_error(exc)[1].lower()
            if "already known" in message or "already imported" in message:
                return  # the very same transaction waits there: so do we
            if "nonce too low" in message:
                self._sent = None
                raise LedgerError(
                    f"the node counts fewer transactions of {self.address} than were mined",
                    trouble=Trouble.BEHIND,
                    remedy="It lags, or another program sends from this account: it should be this hub's alone",
                ) from None
            if "underpriced" not in message:
                raise
            self._too_low = True
            raise LedgerError(
                f"the node wants more than {_gwei(bid.most)} gwei for a transaction of {self.address}",
                trouble=Trouble.STUCK,
                remedy="The next one is higher, within ledger.max_fee_gwei",
            ) from None

    def _receipt(self, hash_: HexBytes, nonce: int) -> TxReceipt:
        pause = _Pause(self._receipt_s, self._over)
        while True:
            if self._count("latest") > nonce and (found := self._mined(hash_)) is not None:
                return found
            if not pause.rest():
                raise LedgerError(
                    f"transaction {hash_.to_0x_hex()} is not mined after {self._receipt_s:g} s",
                    trouble=Trouble.STUCK,
                    remedy="It may still be; else it is sent again at a higher price",
                )

    def _mined(self, hash_: HexBytes) -> TxReceipt | None:
        try:
            return self._chain.web3.eth.get_transaction_receipt(hash_)
        except TransactionNotFound:  # another one has this nonce, or another node answers
            return None


class _Pause:
    """Rests that grow, until a time is over."""

    def __init__(self, within_s: float, over: threading.Event) -> None:
        self._until = time.monotonic() + within_s
        self._over = over
        self._rest, self._longest = _PAUSE_S

    def rest(self) -> bool:
        """Rest; False when the time is over."""
        left = self._until - time.monotonic()
        if left <= 0 or self._over.wait(min(self._rest, left)):
            return False
        self._rest = min(self._rest * 1.5, self._longest)
        return True


def price_of(chain: Chain) -> Price:
    """Ask what gas costs now."""
    base = chain.block().base
    if base is None:
        return Price(None, int(chain.web3.eth.gas_price))
    try:
        tip = int(chain.web3.manager.request_blocking(RPCEndpoint("eth_maxPriorityFeePerGas"), []), 16)
    except Web3RPCError:  # a node need not know it
        tip = max(int(chain.web3.eth.gas_price) - base, 0)
    return Price(base, tip)


def _above(wei: int, step: float) -> int:
    """The next higher bid, and higher it is, of nothing too."""
    return max(math.ceil(wei * step), wei + 1)


def affords(balance: int, gas: int, price: Price, most: int | None) -> int | None:
    """How many calls of so much gas an account can send, None for any number; the last needs more than it takes."""
    if not price.now:
        return None
    return max(0, (balance - _needed(gas, price, most)) // (gas * price.now) + 1)


def coins(wei: int) -> str:
    """An amount of a chain's money, to read."""
    return f"{wei / 10**18:.6g} coins"


def _needed(gas: int, price: Price, most: int | None) -> int:
    return _roomy(gas) * (price.ample if most is None else min(price.ample, most))


def _roomy(gas: int) -> int:
    return gas * 11 // 10


def _gwei(wei: int) -> str:
    return f"{wei / 10**9:.4g}"
