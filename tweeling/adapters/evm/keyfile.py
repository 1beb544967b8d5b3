"""The operator's key: encrypted in one file, its passphrase in another, both the owner's alone."""

from __future__ import annotations

import json
import os
import secrets
import stat
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from tweeling.errors import ConfigError

_PRIVATE = 0o600


def create_key(key_file: Path, passphrase_file: Path) -> LocalAccount:
    """Make a key, and a passphrase where there is none; raise ConfigError rather than write over a key."""
    if not passphrase_file.exists():
        _write(passphrase_file, secrets.token_urlsafe(32), field="ledger.passphrase_file")
    passphrase = _passphrase(passphrase_file)
    account: LocalAccount = Account.create()
    _write(key_file, json.dumps(account.encrypt(passphrase)), field="ledger.key_file")
    return account


def load_key(key_file: Path, passphrase_file: Path) -> LocalAccount:
    """Open a key, or raise ConfigError that names the file and never what it holds."""
    passphrase = _passphrase(passphrase_file)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(key_file.read_text(), passphrase))
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", field="ledger.key_file", source=str(key_file)) from exc
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError):
        # All ways in which the library stumbles over a file that is none; without the cause, which may quote the file.
        raise ConfigError(
            "the passphrase does not open this key file",
            field="ledger.key_file",
            source=str(key_file),
            remedy=f"It should be an Ethereum key file (version 3) encrypted with the passphrase in {passphrase_file}",
        ) from None
    return account


def _passphrase(path: Path) -> str:
    try:
        with path.open() as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ConfigError(
                    f"others may read this file (mode {mode:04o})",
                    field="ledger.passphrase_file",
                    source=str(path),
                    remedy="Its mode should be 0600",
                )
            passphrase = file.read().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"cannot be read ({type(exc).__name__})", field="ledger.passphrase_file", source=str(path)
        ) from exc
    if not passphrase:
        raise ConfigError("is empty", field="ledger.passphrase_file", source=str(path))
    return passphrase


def _write(path: Path, text: str, *, field: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except FileExistsError as exc:
        raise ConfigError(
            "exists already", field=field, source=str(path), remedy="Move it away first, if it should be replaced"
        ) from exc
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
