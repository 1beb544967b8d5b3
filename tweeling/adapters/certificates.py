"""Certificates of an installation's own: an authority to carry to gateways and browsers, and what the hub shows.

The authority signs for the names it was made for and no others, so that who trusts it is not at the mercy of its key
anywhere else. Keys are P-256, their files the owner's alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tweeling.adapters import secretfile
from tweeling.errors import ConfigError

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names that every certificate of ours holds."""

SERVER_DAYS = 397
"""What browsers take at most."""

RENEW_DAYS = 30
"""So long before its end a certificate asks to be renewed."""

_AUTHORITY_DAYS = 3653
_USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]  # servers of a cluster call each other
_EARLY = timedelta(minutes=5)  # for gateways whose clocks are behind


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where they are."""

    authority: Path
    authority_key: Path
    certificate: Path
    key: Path


class Certificate(NamedTuple):
    """What a certificate says of itself."""

    names: tuple[str, ...]
    ends: datetime

    def days_left(self, now: datetime) -> int:
        """Whole days until it ends, negative when it has."""
        return (self.ends - now).days


def make(files: CertificateFiles, names: Iterable[str], *, now: datetime, new_authority: bool = False) -> Certificate:
    """Write a server certificate for these names and this machine's own, and an authority where there is none.

    Raises ConfigError for a name that is none, and for one that the authority was not made for.
    """
    wanted = list(dict.fromkeys([*names, *LOCAL]))
    for name in wanted:
        _general(name)
    if new_authority or not files.authority.exists():
        _make_authority(files, wanted, now)
    authority, by = _open_authority(files)
    if strangers := [name for name in wanted if not _covers(authority, name)]:
        raise ConfigError(
            f"the authority was not made for {', '.join(strangers)}",
            field="--host",
            source=str(files.authority),
            remedy="Add --new-authority, and carry the new file to gateways and browsers",
        )
    key = ec.generate_private_key(ec.SECP256R1())
    names_of = x509.SubjectAlternativeName([_general(name) for name in wanted])
    ends = min(now + timedelta(days=SERVER_DAYS) - _EARLY, authority.not_valid_after_utc)
    builder = (
        _builder(_called("Tweeling hub"), authority.subject, key, by, (now, ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_USES), critical=False)
        .add_extension(names_of, critical=False)
    )
    _write(files.key, _pem_of(key), field="certificate")
    _write(files.certificate, _signed(builder, by), field="certificate")
    return look(files.certificate)


def look(path: Path) -> Certificate:
    """Read the first certificate of a PEM file, or raise ConfigError."""
    return _told(_load(path))


def _told(certificate: x509.Certificate) -> Certificate:
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return Certificate((), certificate.not_valid_after_utc)
    return Certificate(tuple(str(name.value) for name in held), certificate.not_valid_after_utc)


# ---------------------------------------------------------------- the authority


def _make_authority(files: CertificateFiles, names: Collection[str], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    # Several installations have an authority each: a browser's list should tell them apart.
    who = _called(f"Tweeling authority of {next(iter(names))}")
    builder = (
        _builder(who, who, key, key, (now, now + timedelta(days=_AUTHORITY_DAYS)))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(
            x509.NameConstraints([_general(name, as_tree=True) for name in names], excluded_subtrees=None),
            critical=True,
        )
    )
    _write(files.authority_key, _pem_of(key), field="certificate")
    _write(files.authority, _signed(builder, key), field="certificate")


def _open_authority(files: CertificateFiles) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    authority = _load(files.authority)
    pem = secretfile.read(files.authority_key, field="certificate")
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise ConfigError("is no key of ours", field="certificate", source=str(files.authority_key)) from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != authority.public_key():
        raise ConfigError(
            f"is not the key of {files.authority}",
            field="certificate",
            source=str(files.authority_key),
            remedy="Bring its own key back, or add --new-authority",
        )
    return authority, key


def _covers(authority: x509.Certificate, name: str) -> bool:
    permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or ()
    wanted = _general(name).value
    for tree in permitted:
        if isinstance(wanted, str):
            if isinstance(tree, x509.DNSName) and f".{wanted}".endswith(f".{tree.value}"):
                return True
        elif isinstance(tree, x509.IPAddress) and ipaddress.ip_network(str(wanted)) == tree.value:
            return True
    return False


# ---------------------------------------------------------------- parts of a certificate


def _general(name: str, *, as_tree: bool = False) -> x509.DNSName | x509.IPAddress:
    """A name as certificates have it; as_tree: as the authority's limit, which is a network of one for an address."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        labels = name.split(".")
        if len(name) > 253 or not all(0 < len(part) < 64 and _is_label(part) for part in labels):
            raise ConfigError(
                f"{name!r} is no name of a machine",
                field="--host",
                remedy="Write hub.example.org or 192.0.2.7, without a scheme and without a port",
            ) from None
        return x509.DNSName(name)
    if address.is_unspecified:
        raise ConfigError(
            f"{name} names no machine", field="--host", remedy="Name what gateways and browsers will call"
        )
    return x509.IPAddress(ipaddress.ip_network(address) if as_tree else address)


def _is_label(part: str) -> bool:
    return part.replace("-", "a").isalnum() and part.isascii() and part[0] != "-" and part[-1] != "-"


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _builder(
    who: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    valid: tuple[datetime, datetime],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid[0].astimezone(UTC) - _EARLY)
        .not_valid_after(valid[1].astimezone(UTC))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(builder: x509.CertificateBuilder, by: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(by, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, *, field: str) -> None:
    try:
        secretfile.write(path, content)
    except OSError as exc:
        raise ConfigError(f"cannot be written: {exc.strerror}", field=field, source=str(path)) from exc


def _load(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except OSError as exc:
        raise ConfigError(
            f"cannot be read: {exc.strerror}", source=str(path), remedy="`tweeling certificate make` writes one"
        ) from exc
    except ValueError as exc:
        raise ConfigError("is no certificate in PEM", source=str(path)) from exc
