"""Key files: encrypted PEM, their passphrase in a file of its own, both readable by their owner alone."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from tweeling.adapters import secretfile
from tweeling.domain.note import Signer
from tweeling.errors import ConfigError

_KEY, _PASSPHRASE = "custody.key_file", "custody.passphrase_file"


def create_log_key(key_file: Path, passphrase_file: Path) -> None:
    """Make a log's key, and a passphrase where there is none; what exists is left as it is."""
    if not passphrase_file.exists():
        secretfile.create(passphrase_file, secrets.token_urlsafe(32) + "\n", field=_PASSPHRASE)
    if key_file.exists():
        return
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(secretfile.read(passphrase_file, field=_PASSPHRASE)),
    )
    secretfile.create(key_file, pem, field=_KEY)


def load_log_key(key_file: Path, passphrase_file: Path, passphrase: SecretStr | None = None, *, origin: str) -> Signer:
    """Open a log's key, or raise ConfigError naming the file. passphrase: stands over its file."""
    pem = secretfile.read(key_file, field=_KEY)
    given = passphrase.get_secret_value().encode() if passphrase else b""
    try:
        key = serialization.load_pem_private_key(pem, given or secretfile.read(passphrase_file, field=_PASSPHRASE))
    except (ValueError, TypeError) as exc:
        raise ConfigError("cannot be opened with its passphrase", source=str(key_file)) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("not an Ed25519 key", source=str(key_file))
    return Signer(origin, key.public_key().public_bytes_raw(), key.sign)
