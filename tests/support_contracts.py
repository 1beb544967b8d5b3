"""A contract on a development chain, called by anybody, right or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from eth_account.signers.local import LocalAccount
from support_chain import DevChain

from tweeling.adapters.evm.artifact import ContractRefusedError, artifact
from tweeling.adapters.evm.chain import Chain
from tweeling.adapters.evm.wallet import Wallet

NOBODY = "0x" + "00" * 20


def deploy_first_version(devchain: DevChain, account: LocalAccount) -> str:
    """Deploy the CustodyLedger that was shipped first, which can neither hand over nor retire a log."""
    code = Path(__file__).with_name("earlier_ledger.hex").read_text().strip()
    with Chain(devchain.rpc, chain_id=devchain.chain_id, timeout_s=30) as chain:
        creation = chain.web3.eth.contract(abi=artifact().abi, bytecode=code).constructor()
        return str(Wallet(chain, account, receipt_s=30).send(creation)["contractAddress"])


class Callers:
    """Some accounts before one contract. The chain signs for them, for it is what they say that matters here."""

    def __init__(self, devchain: DevChain, contract: str, *, count: int = 3) -> None:
        """Deploy the contract."""
        self.accounts = [devchain.funded().address for _ in range(count)]
        for account in self.accounts:
            devchain.ask("anvil_impersonateAccount", account)
        self.devchain = devchain
        self._chain = Chain(devchain.rpc, chain_id=devchain.chain_id, timeout_s=30)
        shipped = artifact(contract)
        creation = self._chain.web3.eth.contract(abi=shipped.abi, bytecode=shipped.bytecode).constructor()
        self.address: str = self._mined(creation, self.accounts[0])["contractAddress"]
        self._contract = self._chain.web3.eth.contract(address=self.address, abi=shipped.abi)  # type: ignore[call-overload]  # checksummed

    def attempt(self, caller: str, function: str, *arguments: Any) -> str | None:
        """Send it, and return None; or the name of the error by which the contract refuses."""
        call = self._contract.functions[function](*arguments)
        try:
            with self._chain.answers():
                call.call({"from": caller}, block_identifier="pending")  # as of the block that will hold it
                assert self._mined(call, caller)["status"] == 1
        except ContractRefusedError as exc:
            return exc.name
        return None

    def ask(self, function: str, *arguments: Any) -> Any:
        """What a view answers, or ContractRefusedError."""
        return self.ask_as(self.accounts[0], function, *arguments)

    def ask_as(self, caller: str, function: str, *arguments: Any) -> Any:
        """What a function would answer to a caller, without effect."""
        with self._chain.answers():
            return self._contract.functions[function](*arguments).call({"from": caller})

    @property
    def height(self) -> int:
        """The newest block."""
        return self._chain.web3.eth.block_number

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._chain.close()

    def _mined(self, call: Any, caller: str) -> Any:
        sent = call.transact({"from": caller, "gas": 3_000_000})
        return self._chain.web3.eth.wait_for_transaction_receipt(sent, timeout=30, poll_latency=0.01)
