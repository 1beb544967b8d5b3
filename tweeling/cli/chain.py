"""The demo's development chain and the contract on it."""

from __future__ import annotations

from pathlib import Path

from eth_account.signers.local import LocalAccount

from tweeling.adapters.evm import deploy, devchain, keyfile, ledger
from tweeling.cli import configs
from tweeling.cli.installation import Installation
from tweeling.cli.supervisor import Supervisor, listening
from tweeling.errors import ConfigError, UnavailableError

CHAIN_ID = 31337


class Chain:
    """Starts the chain, gives the operator gas money, and makes sure of the contract; `contract` is its address."""

    def __init__(self, installation: Installation, port: int) -> None:
        self._installation = installation
        self._port = port
        self.rpc = f"http://127.0.0.1:{port}"
        self.contract: str | None = None

    def start(self, owner: Supervisor) -> str | None:
        """Start it; return what is the matter when there is no chain now, None when all is well."""
        anvil = devchain.find_anvil()
        if anvil is None:
            return "The development chain (anvil) is not installed; npm brings it: make chain"
        state = self._installation.folder / "chain" / "state.json"
        devchain.prepare(state)
        command = devchain.command(anvil, port=self._port, chain_id=CHAIN_ID, state=state)
        try:
            owner.start("chain", command, ready=lambda: listening(self._port))
            account = self._account()
            devchain.fund(self.rpc, account.address, chain_id=CHAIN_ID)
            self.contract = self._standing(account) or deploy(self.rpc, account, chain_id=CHAIN_ID)
        except UnavailableError as exc:
            return f"The development chain does not work: {exc}"
        self._known.write_text(self.contract + "\n")
        return None

    @property
    def _known(self) -> Path:
        return self._installation.folder / "chain" / "contract"

    def _standing(self, account: LocalAccount) -> str | None:
        """The contract of the last run, if the chain still holds it: one that began anew does not."""
        if not self._known.exists():
            return None
        address = self._known.read_text().strip()
        known = ledger.EvmLedger(
            rpc=self.rpc, chain_id=CHAIN_ID, contract=address, account=account, origin=configs.ORIGIN
        )
        try:
            known.head()
        except ConfigError:
            return None
        finally:
            known.close()
        return address

    def _account(self) -> LocalAccount:
        secrets = self._installation.secrets
        files = secrets / "ledger-key.json", secrets / "ledger-passphrase"
        return keyfile.load_key(*files) if files[0].exists() else keyfile.create_key(*files)
