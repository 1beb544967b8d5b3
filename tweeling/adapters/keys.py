"""Key files: encrypted PEM, their passphrase in a file of its own, both readable by their owner alone."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tweeling.domain.note import Signer
from tweeling.errors import ConfigError


def create_log_key(key_file: Path, passphrase_file: Path) -> None:
    """Make a log's key, and a passphrase where there is none; what exists is left as it is."""
    if not passphrase_file.exists():
        _write_secret(passphrase_file, secrets.token_urlsafe(32).encode() + b"\n")
    if key_file.exists():
        return
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(read_secret(passphrase_file)),
    )
    _write_secret(key_file, pem)


def load_log_key(key_file: Path, passphrase_file: Path, *, origin: str) -> Signer:
    """Open a log's key, or raise ConfigError naming the file."""
    pem = read_secret(key_file)
    try:
        key = serialization.load_pem_private_key(pem, read_secret(passphrase_file))
    except (ValueError, TypeError) as exc:
        raise ConfigError("cannot be opened with its passphrase", source=str(key_file)) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("not an Ed25519 key", source=str(key_file))
    return Signer(origin, key.public_key().public_bytes_raw(), key.sign)


def read_secret(path: Path) -> bytes:
    """Read a secret without its line end; refuse a file that others may read."""
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError("others may read it", source=str(path), remedy=f"chmod 600 {path}")
        return path.read_bytes().rstrip(b"\r\n")
    except OSError as exc:
        raise ConfigError(f"{exc.strerror}", source=str(path)) from exc


def _write_secret(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise ConfigError(f"{exc.strerror}", source=str(path)) from exc
