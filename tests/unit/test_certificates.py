import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tweeling import config
from tweeling.adapters import certificates
from tweeling.adapters.certificates import CertificateFiles
from tweeling.adapters.tls import Trust, serving
from tweeling.bootstrap.certificates import certificate_health
from tweeling.errors import ConfigError

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def files(folder: Path) -> CertificateFiles:
    return CertificateFiles(folder / "ca.pem", folder / "ca.key", folder / "hub.pem", folder / "hub.key")


def test_a_certificate_is_for_its_names_and_this_machine_and_no_longer_than_browsers_take(tmp_path: Path) -> None:
    held = certificates.make(files(tmp_path), ["hub.example.org", "192.0.2.7"], now=NOW)
    assert held.names == ("hub.example.org", "192.0.2.7", "localhost", "127.0.0.1", "::1")
    certificate = x509.load_pem_x509_certificate(files(tmp_path).certificate.read_bytes())
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=397)
    assert held.days_left(NOW) == 396
    assert held.days_left(NOW + timedelta(days=400)) < 0


def test_keys_are_for_their_owner_alone(tmp_path: Path) -> None:
    made = files(tmp_path)
    certificates.make(made, ["hub.example.org"], now=NOW)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (made.authority_key, made.key)} == {0o600}


def test_a_renewal_keeps_the_authority_and_changes_the_key(tmp_path: Path) -> None:
    made = files(tmp_path)
    first = certificates.make(made, ["hub.example.org"], now=NOW)
    authority, key = made.authority.read_bytes(), made.key.read_bytes()
    later = certificates.make(made, first.names, now=NOW + timedelta(days=380))
    assert (later.names, later.ends - first.ends) == (first.names, timedelta(days=380))
    assert made.authority.read_bytes() == authority
    assert made.key.read_bytes() != key


def test_an_authority_signs_for_the_names_it_was_made_for_and_what_is_below_them(tmp_path: Path) -> None:
    made = files(tmp_path)
    certificates.make(made, ["example.org", "192.0.2.7"], now=NOW)
    certificates.make(made, ["hub.example.org"], now=NOW)
    for stranger in ("example.com", "notexample.org", "192.0.2.8"):
        with pytest.raises(ConfigError, match=f"not made for {stranger}.*--new-authority"):
            certificates.make(made, [stranger], now=NOW)
    before = made.authority.read_bytes()
    assert certificates.make(made, ["example.com"], now=NOW, new_authority=True).names[0] == "example.com"
    assert made.authority.read_bytes() != before


@pytest.mark.parametrize(
    "name",
    ["", "http://hub", "hub:8050", "*.example.org", "a b", "-hub", "0.0.0.0", "::", "h\u00fcbe.nl", "a" * 64],  # noqa: S104
)
def test_what_names_no_machine_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--host"):
        certificates.make(files(tmp_path), [name], now=NOW)
    assert not list(tmp_path.iterdir())


def test_an_authority_whose_key_is_another_is_named(tmp_path: Path) -> None:
    made = files(tmp_path)
    certificates.make(made, ["hub.example.org"], now=NOW)
    made.authority_key.write_bytes(made.key.read_bytes())
    with pytest.raises(ConfigError, match=r"ca\.key.*is not the key of"):
        certificates.make(made, ["hub.example.org"], now=NOW)


def test_a_certificate_and_a_key_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    made = files(tmp_path)
    certificates.make(made, ["hub.example.org"], now=NOW)
    with pytest.raises(ConfigError, match=r"http\.tls.*cannot be used"):
        serving(made.certificate, made.authority_key, field="http.tls")
    with pytest.raises(ConfigError, match=r"none\.pem: http\.tls: no such file"):
        serving(tmp_path / "none.pem", made.key, field="http.tls")


def test_a_pin_takes_the_first_certificate_of_a_file_and_not_its_authorities(tmp_path: Path) -> None:
    made = files(tmp_path)
    certificates.make(made, ["hub.example.org"], now=NOW)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(made.certificate.read_bytes() + made.authority.read_bytes())
    context = Trust(pinned_file=chain).context()
    assert context.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 0}
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("age_days", "ok", "said"),
    [(0, True, "is good until"), (370, False, "26 days more; renew it"), (400, False, "refuse it now; renew it")],
)
def test_the_health_of_a_hub_tells_of_a_certificate_before_it_ends(
    tmp_path: Path, age_days: int, ok: bool, said: str
) -> None:
    certificates.make(files(tmp_path), ["localhost"], now=datetime.now(UTC) - timedelta(days=age_days))
    (tmp_path / "tweeling.toml").write_text('[http.tls]\ncert_file = "hub.pem"\nkey_file = "hub.key"\n')
    [part] = certificate_health(config.load(tmp_path / "tweeling.toml"))
    assert (part.part, part.ok) == ("certificate", ok)
    assert said in part.detail


def test_the_health_of_a_hub_tells_of_a_certificate_that_is_gone(tmp_path: Path) -> None:
    (tmp_path / "tweeling.toml").write_text('[http.tls]\ncert_file = "hub.pem"\nkey_file = "hub.key"\n')
    [part] = certificate_health(config.load(tmp_path / "tweeling.toml"))
    assert not part.ok
    assert "hub.pem: cannot be read" in part.detail
