"""The log's key: Ed25519 in an encrypted PEM file, its passphrase in another, both the owner's alone."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling.domain.note import Signer
from tweeling.errors import ConfigError


def create(key_file: Path, passphrase_file: Path) -> None:
    """Make a key; raise ConfigError rather than write over one."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(_passphrase(passphrase_file)),
    )
    key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise ConfigError("exists already", field="custody.key_file", source=str(key_file)) from exc
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def load(key_file: Path, passphrase_file: Path, origin: str) -> Signer:
    """Open a key as the signer of a log of this name, or raise ConfigError that names the file, never what it holds."""
    passphrase = _passphrase(passphrase_file)
    try:
        key = serialization.load_pem_private_key(key_file.read_bytes(), passphrase)
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", field="custody.key_file", source=str(key_file)) from exc
    except (ValueError, TypeError):
        # Without its cause: that may quote the file.
        raise ConfigError(
            "the passphrase does not open this key file", field="custody.key_file", source=str(key_file)
        ) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("is no Ed25519 key", field="custody.key_file", source=str(key_file))
    public = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Signer(origin, public, key.sign)


def _passphrase(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        passphrase = path.read_bytes().strip()
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}", field="custody.passphrase_file", source=str(path)) from exc
    if mode & 0o077:
        raise ConfigError(
            "others may read this file",
            field="custody.passphrase_file",
            source=str(path),
            remedy="Its mode should be 0600",
        )
    if not passphrase:
        raise ConfigError("is empty", field="custody.passphrase_file", source=str(path))
    return passphrase
