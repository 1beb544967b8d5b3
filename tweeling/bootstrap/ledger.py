"""The ledger that settings name: its node, its key, its log. web3 is loaded only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tweeling.adapters import secretfile
from tweeling.config import LedgerSettings, Settings, node_address
from tweeling.domain.log import Head
from tweeling.errors import ConfigError
from tweeling.verify import TrustedLog

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
    if ledger.continues is None:
        return None
    size, root = ledger.continues.split(":0x")
    return Head(int(size), bytes.fromhex(root))


def pinned_log(settings: Settings) -> bytes | None:
    """The log that the hub's trust file names on the configured contract; None where it names none there."""
    ledger, path = settings.ledger, settings.data / "trust.json"
    try:
        told = TrustedLog.parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except ConfigError as exc:
        raise ConfigError(
            f"is damaged ({exc})",
            source=str(path),
            remedy="Bring it back from a backup; or move it aside, and the hub writes it anew, for the log that "
            "ledger.log_id names, else for the one that the key in ledger.key_file has begun",
        ) from exc
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", source=str(path)) from exc
    held = told.anchor
    here = (ledger.chain_id, (ledger.contract or "").lower())
    if told.origin != settings.custody.origin or held is None or (held.chain_id, held.contract.lower()) != here:
        return None
    return bytes.fromhex(held.log_id.removeprefix("0x"))


def publish_trust(settings: Settings, told: TrustedLog) -> None:
    """Write what a partner has to pin: as one file, for the next start reads it, and only what is new."""
    path, content = settings.data / "trust.json", told.encode()
    if not path.exists() or path.read_bytes() != content:
        secretfile.write(path, content)


def check_same_log(settings: Settings, log_id: bytes) -> None:
    """Raise ConfigError where another key would quietly begin another log under the name that partners know."""
    pinned = pinned_log(settings)
    if pinned is not None and pinned != log_id:
        raise ConfigError(
            f"partners know this log as 0x{pinned.hex()}, and the key in ledger.key_file would begin 0x{log_id.hex()}",
            field="ledger.log_id",
            remedy=f'If this key is its new operator\'s, set log_id = "0x{pinned.hex()}"; to begin another log, move '
            f"{settings.data / 'trust.json'} aside",
        )
