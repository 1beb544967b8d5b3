from __future__ import annotations

from pathlib import Path

import pytest
from support_custody import ORIGIN, Bench, public_key, signer

from tweeling.domain import note
from tweeling.errors import ConfigError, UndecidedError
from tweeling.verify import TrustedLog, TrustStore


def _store(tmp_path: Path) -> TrustStore:
    return TrustStore(tmp_path / "trust")


def test_a_trust_file_round_trips_and_its_fingerprint_hangs_on_every_field() -> None:
    trust = Bench().trust
    assert TrustedLog.parse(trust.encode()) == trust
    assert trust.key_id == note.key_id(ORIGIN, public_key("log"))
    assert trust.anchor is not None
    others = [
        trust.model_copy(update={"origin": "other"}),
        TrustedLog.of(ORIGIN, public_key("other"), trust.anchor),
        trust.model_copy(update={"anchor": None}),
        trust.model_copy(update={"anchor": trust.anchor.model_copy(update={"chain_id": 1})}),
    ]
    assert len({item.fingerprint for item in [trust, *others]}) == 5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (b'"version": 2', "version"),
        (b'"version": 1, "extra": 1', "extra"),
        (b'"version": 1, "version": 1', "version"),
        (b'"version": 1, "\\u001b[2J": 1', r"\\u001b\[2J"),
        (b'"version": 1, "\\u202e": NaN', "NaN"),
    ],
)
def test_a_malformed_trust_file_is_named_by_its_field(change: bytes, field: str) -> None:
    data = Bench().trust.encode().replace(b'"version": 1', change)
    with pytest.raises(ConfigError, match=field):
        TrustedLog.parse(data)


def test_an_origin_that_a_terminal_would_act_on_is_refused() -> None:
    for origin in (b"a\\u001b[2J", b"a\\u202eb", b"a\\u0085b"):
        with pytest.raises(ConfigError, match="origin"):
            TrustedLog.parse(Bench().trust.encode().replace(ORIGIN.encode(), origin))


def test_a_log_is_pinned_once_and_found_by_name_and_key(tmp_path: Path) -> None:
    store, trust = _store(tmp_path), Bench().trust
    assert store.logs() == []
    store.add(trust, fingerprint=trust.fingerprint.upper())
    store.add(trust)
    other = TrustedLog.of("another.example", public_key("other"))
    store.add(other)
    assert _store(tmp_path).logs() == [other, trust]
    store.remove(other.fingerprint)
    assert store.logs() == [trust]
    with pytest.raises(ConfigError, match="no such log"):
        store.remove(other.fingerprint)


def test_another_fingerprint_or_another_key_for_a_known_name_is_refused(tmp_path: Path) -> None:
    store, trust = _store(tmp_path), Bench().trust
    with pytest.raises(ConfigError, match="fingerprint"):
        store.add(trust, fingerprint="00" * 32)
    assert store.logs() == []
    store.add(trust)
    with pytest.raises(ConfigError, match="trusted already"):
        store.add(TrustedLog.of(ORIGIN, public_key("other")))
    assert store.logs() == [trust]


def test_a_log_that_moved_is_pinned_beside_and_another_log_in_its_contract_is_not(tmp_path: Path) -> None:
    store, trust = _store(tmp_path), Bench().trust
    assert trust.anchor is not None
    moved = trust.model_copy(update={"anchor": trust.anchor.model_copy(update={"chain_id": 5})})
    for each in (trust, moved):
        store.add(each)
    assert sorted(log.fingerprint for log in store.logs()) == sorted([trust.fingerprint, moved.fingerprint])
    with pytest.raises(ConfigError, match="trusted already"):
        store.add(trust.model_copy(update={"anchor": trust.anchor.model_copy(update={"log_id": "0x" + "00" * 32})}))
    store.add(trust.model_copy(update={"anchor": None}))


def test_a_pinned_file_that_was_changed_stops_everything(tmp_path: Path) -> None:
    store, trust = _store(tmp_path), Bench().trust
    store.add(trust)
    (place,) = (tmp_path / "trust").iterdir()
    place.write_bytes(TrustedLog.of(ORIGIN, public_key("other"), trust.anchor).encode())
    with pytest.raises(ConfigError, match="changed since it was pinned"):
        store.logs()


def test_without_trust_nothing_is_decided() -> None:
    from tweeling.verify.trust import find

    with pytest.raises(UndecidedError) as undecided:
        find([], ORIGIN, signer().key_id)
    assert undecided.value.exit_code == 4
