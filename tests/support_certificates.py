"""Certificates for tests: an authority of one's own, and servers that it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_PLAIN = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Authority(NamedTuple):
    """Who vouches. path: its certificate, for those who are to believe it."""

    path: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey


def authority(folder: Path, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    made = Authority(folder / f"{name}.pem", _name(name), key)
    made.path.write_bytes(_signed(made.name, key, made, ca=True))
    return made


def certify(by: Authority, name: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as files beside the authority's."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate, secret = by.path.with_name(f"{name}.pem"), by.path.with_name(f"{name}.key")
    certificate.write_bytes(_signed(_name(name), key, by, ca=False))
    secret.write_bytes(key.private_bytes(*_PLAIN))
    secret.chmod(0o600)
    return certificate, secret


def server_pair(folder: Path) -> tuple[Path, Path]:
    """Leave the authority `ours.pem` and a server's certificate and key, in files of their own and together."""
    ours = authority(folder, "ours")
    certificate, secret = certify(ours, "server")
    pair = folder / "pair.pem"
    pair.write_bytes(secret.read_bytes() + certificate.read_bytes())
    return ours.path, pair


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _signed(who: x509.Name, key: ec.EllipticCurvePrivateKey, by: Authority, *, ca: bool) -> bytes:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(by.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.key.public_key()), critical=False)
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
