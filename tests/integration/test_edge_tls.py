from __future__ import annotations

import datetime as dt
import ipaddress
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support_broker import Server
from support_edge import Process, write_config
from support_servers import free_port, need

from tweeling_edge.config import load


def authority(folder: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = signed(who, key, who, key, ca=True)
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def signed(
    who: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, by: ec.EllipticCurvePrivateKey, *, ca: bool
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(by, hashes.SHA256())


@pytest.mark.parametrize(("trusted", "line"), [("ours", "broker.connected"), ("another", "broker.lost")])
def test_the_line_is_encrypted_and_only_to_a_broker_our_authority_signed(
    tmp_path: Path, trusted: str, line: str
) -> None:
    program = need("mosquitto")
    certificate, key = authority(tmp_path, "ours")
    authority(tmp_path, "another")
    own = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "broker")])
    broker = signed(name, own, certificate.subject, key, ca=False)
    (tmp_path / "broker.pem").write_bytes(broker.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "broker.key").write_bytes(own.private_bytes(*plain))
    port = free_port()
    conf = tmp_path / "mosquitto.conf"
    conf.write_text(
        f"user root\nlistener {port} 127.0.0.1\nallow_anonymous true\n"
        f"certfile {tmp_path}/broker.pem\nkeyfile {tmp_path}/broker.key\n"
    )
    server = Server([program, "-c", str(conf)], ready="running")
    server.start()
    try:
        path = write_config(tmp_path, broker=None, extra=f'[broker.tls]\nca_file = "{trusted}.pem"')
        path.write_text(path.read_text().replace(f"port = {load(path).broker.port}", f"port = {port}"))
        with Process("run", path) as agent:
            told = agent.wait_line("broker.")
            assert line in told
            assert trusted == "ours" or "certificate verify failed" in told
            assert agent.terminate() == 0
    finally:
        server.kill()


def test_a_missing_authority_is_a_configuration_error(tmp_path: Path) -> None:
    path = write_config(tmp_path, broker=None, extra='[broker.tls]\nca_file = "none.pem"')
    with Process("run", path) as agent:
        assert agent.wait() == 2
    assert any("broker.tls" in line for line in agent.lines), json.dumps(agent.lines)
