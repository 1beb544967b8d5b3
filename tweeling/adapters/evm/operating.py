"""Who keeps a log on its contract, and where it goes on: hand it over, retire it, and see how it stands."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from eth_account.signers.local import LocalAccount
from eth_typing import ChecksumAddress
from web3 import Web3
from web3.types import TxReceipt

from tweeling.adapters.evm.artifact import LEDGER, ContractRefusedError, artifact
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.contract import check_code
from tweeling.adapters.evm.depth import await_depth
from tweeling.adapters.evm.wallet import Wallet
from tweeling.domain.log import Head
from tweeling.errors import ConfigError, UnavailableError

_NOBODY: Final = "0x" + "00" * 20
_MOVES_SINCE: Final = 2  # the version from which on a contract can hand over and retire a log


class Successor(NamedTuple):
    """The log that continues a retired one. ledger: checksummed."""

    chain_id: int
    ledger: str
    log_id: bytes


class LogState(NamedTuple):
    """A log as its contract holds it. proposed: who may take it over, None where nobody was proposed.

    version: of the contract; moves: whether it can hand over and retire a log.
    """

    head: Head
    operator: str
    proposed: str | None
    successor: Successor | None
    version: int

    @property
    def moves(self) -> bool:
        """See above."""
        return self.version >= _MOVES_SINCE


class Contract:
    """A CustodyLedger, to look at; raises ConfigError where the code is not ours. Belongs inside `Chain.answers`."""

    def __init__(self, chain: Chain, address: str) -> None:
        self.chain = chain
        self.address: ChecksumAddress = Web3.to_checksum_address(address)
        contract: Any = chain.web3.eth.contract(address=self.address, abi=artifact().abi)
        self.functions, self.events = contract.functions, contract.events

    def check(self) -> int:
        """Make sure of chain and code; give the code's version."""
        self.chain.check()
        return check_code(self.chain, LEDGER, self.address)

    def state(self, log_id: bytes) -> LogState | None:
        """How a log stands, all of it in one block; None where nobody has begun it."""
        with self.chain.answers():
            version = self.check()
            block = self.chain.height()
            try:
                with self.chain.answers():
                    size, root, operator = self.functions.head(log_id).call(block_identifier=block)
            except ContractRefusedError as exc:
                if exc.name != "CustodyLedgerUnknownLog":
                    raise
                return None
            held = Head(int(size), bytes(root))
            if version < _MOVES_SINCE:
                return LogState(held, str(operator), None, None, version)
            proposed = self.functions.proposedOperator(log_id).call(block_identifier=block)
            chain_id, ledger, log = self.functions.successorOf(log_id).call(block_identifier=block)
        successor = None if ledger == _NOBODY else Successor(int(chain_id), str(ledger), bytes(log))
        return LogState(held, str(operator), None if proposed == _NOBODY else str(proposed), successor, version)


class Keeper:
    """Changes who keeps a log, by an account's transactions. Each method does nothing where it is done already."""

    def __init__(
        self,
        contract: Contract,
        log_id: bytes,
        account: LocalAccount,
        *,
        receipt_s: float,
        most_wei: int | None = None,
    ) -> None:
        self._contract = contract
        self._log_id = log_id
        self._wallet = Wallet(contract.chain, account, receipt_s=receipt_s, most_wei=most_wei)
        self._mined: tuple[int, bytes] | None = None

    def state(self) -> LogState:
        """How the log stands; raises ConfigError where nobody has begun it."""
        state = self._contract.state(self._log_id)
        if state is None:
            raise ConfigError(
                f"the contract knows no log 0x{self._log_id.hex()}",
                field="ledger.log_id",
                remedy="A hub begins its log with the first anchor; `tweeling ledger status` shows what there is",
            )
        return state

    def propose(self, address: str | None) -> None:
        """Offer the log to another account; None withdraws the offer. Only its operator may."""
        proposed = None if address is None else Web3.to_checksum_address(address)
        if self._movable().proposed != proposed:
            self._send(self._contract.functions.proposeOperator(self._log_id, proposed or _NOBODY))

    def accept(self) -> None:
        """Take the log over; raises ConfigError where it is not offered to this account."""
        state, mine = self._movable(), self._wallet.address
        if state.operator == mine:
            return
        if state.proposed != mine:
            raise ConfigError(
                f"the log is not offered to {mine}",
                field="ledger.key_file",
                remedy=f"With its operator's key first: `tweeling ledger rotate-operator --to {mine}`",
            )
        self._send(self._contract.functions.acceptOperator(self._log_id))

    def retire(self, successor: Successor) -> Head:
        """End the log here for ever, and give the head from which its successor goes on. Only its operator may."""
        state = self._movable()
        if state.successor == successor:
            return state.head
        receipt = self._send(self._contract.functions.retire(self._log_id, successor))
        # Not asked for afterwards: another node may answer, which has not seen it yet.
        told = self._contract.events.LogRetired().process_receipt(receipt)[0]["args"]
        return Head(int(told["size"]), bytes(told["root"]))

    def await_depth(self, confirmations: int) -> None:
        """Wait until what was done last is so many blocks deep; what was done before counts from the newest block."""
        chain = self._contract.chain
        if self._mined is None:
            with chain.answers():
                newest = chain.block()
            self._mined = newest.number, newest.hash
        await_depth(chain, *self._mined, confirmations)

    def _movable(self) -> LogState:
        """How the log stands, where its contract can hand it over and retire it."""
        state = self.state()
        check_moves(state)
        return state

    def _send(self, call: Any) -> TxReceipt:
        with self._contract.chain.answers():
            receipt = self._wallet.send(call)
            if receipt["status"] != 1:
                raise UnavailableError(f"transaction {receipt['transactionHash'].to_0x_hex()} reverted")
            self._mined = int(receipt["blockNumber"]), bytes(receipt["blockHash"])
            return receipt


def check_moves(state: LogState) -> None:
    """Raise ConfigError where the contract was made before logs could be handed over and retired."""
    if not state.moves:
        raise ConfigError(
            f"the contract is of version {state.version}, which can neither hand over nor retire a log",
            field="ledger.contract",
            remedy="The log goes on in it, with the key that began it; nothing has to be done",
        )
