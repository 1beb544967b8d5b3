"""The operator's key: encrypted in one file, its passphrase in another, both the owner's alone."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount
from pydantic import SecretStr
from web3 import Web3

from tweeling.adapters import secretfile
from tweeling.errors import ConfigError

_FIELD = "ledger.passphrase_file"


def create_key(key_file: Path, passphrase_file: Path) -> LocalAccount:
    """Make a key, and a passphrase where there is none; raise ConfigError rather than write over a key."""
    if not passphrase_file.exists():
        secretfile.create(passphrase_file, secrets.token_urlsafe(32), field=_FIELD)
    passphrase = _passphrase(passphrase_file)
    account: LocalAccount = Account.create()
    secretfile.create(key_file, json.dumps(account.encrypt(passphrase)), field="ledger.key_file")
    return account


def load_key(key_file: Path, passphrase_file: Path, passphrase: SecretStr | None = None) -> LocalAccount:
    """Open a key, or raise ConfigError that names the file and never what it holds.

    passphrase: stands over the file.
    """
    given = passphrase.get_secret_value() if passphrase else ""
    opener = "the passphrase given" if given else f"the passphrase in {passphrase_file}"
    secret = given or _passphrase(passphrase_file)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(key_file.read_text(), secret))
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", field="ledger.key_file", source=str(key_file)) from exc
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        # All ways in which the library stumbles over a file that is none; without the cause, which may quote the file.
        raise ConfigError(
            "the passphrase does not open this key file",
            field="ledger.key_file",
            source=str(key_file),
            remedy=f"It should be an Ethereum key file (version 3) encrypted with {opener}",
        ) from None
    return account


def address_of(key_file: Path) -> str:
    """Whose key a file holds, as it says itself; its passphrase is not needed. Raises ConfigError as `load_key`."""
    try:
        return Web3.to_checksum_address(json.loads(key_file.read_text())["address"])
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", field="ledger.key_file", source=str(key_file)) from exc
    except (ValueError, TypeError, KeyError):
        raise ConfigError("is no Ethereum key file", field="ledger.key_file", source=str(key_file)) from None


def _passphrase(path: Path) -> str:
    try:
        return secretfile.read(path, field=_FIELD).decode().strip()
    except UnicodeDecodeError:
        # Without its cause: that quotes the file.
        raise ConfigError("is no text", field=_FIELD, source=str(path)) from None
