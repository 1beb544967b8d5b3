"""The ledger that settings name: its node, its key, its log. web3 is loaded only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tweeling.adapters import secretfile
from tweeling.config import LedgerSettings, Settings, node_address
from tweeling.domain.log import Head
from tweeling.errors import ConfigError

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from tweeling.adapters.evm import EvmLedger


def ledger_of(settings: Settings) -> EvmLedger:
    """Open the ledger; raises ConfigError where no contract is named."""
    from tweeling.adapters.evm import EvmLedger

    ledger = settings.ledger
    if ledger.contract is None:
        raise ConfigError(
            "no contract is named", field="ledger.contract", remedy="`tweeling ledger deploy` puts one on the chain"
        )
    return EvmLedger(
        rpc=rpc_of(ledger),
        chain_id=ledger.chain_id,
        contract=ledger.contract,
        account=account_of(ledger),
        origin=settings.custody.origin,
        known_log=None if ledger.log_id is None else bytes.fromhex(ledger.log_id.removeprefix("0x")),
        first_block=ledger.first_block,
        most_wei=most_wei(ledger),
    )


def rpc_of(ledger: LedgerSettings) -> str:
    """Where the node is asked; from a file of its owner's alone, where the address holds a key."""
    if ledger.rpc_file is None:
        return ledger.rpc
    try:
        return node_address(secretfile.read(ledger.rpc_file, field="ledger.rpc_file").decode().strip())
    except ValueError as exc:  # of its encoding, or of what is no address
        problem = "is no text" if isinstance(exc, UnicodeDecodeError) else str(exc)
        raise ConfigError(problem, field="ledger.rpc_file", source=str(ledger.rpc_file)) from None


def account_of(ledger: LedgerSettings) -> LocalAccount:
    """Open the key that pays."""
    from tweeling.adapters.evm.keyfile import load_key

    return load_key(ledger.key_file, ledger.passphrase_file, ledger.passphrase)


def most_wei(ledger: LedgerSettings) -> int | None:
    """What a unit of gas may cost at most."""
    return None if ledger.max_fee_gwei is None else round(ledger.max_fee_gwei * 10**9)


def first_head(ledger: LedgerSettings) -> Head | None:
    """What the first anchor has to be, where the log goes on from another contract."""
    continued = ledger.continues
    return None if continued is None else Head(continued.size, bytes.fromhex(continued.root.removeprefix("0x")))
