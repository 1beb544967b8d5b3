from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tweeling.adapters.evm.keyfile import create_key, load_key
from tweeling.errors import ConfigError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    folder = tmp_path_factory.mktemp("keys") / "secrets"
    account = create_key(folder / "key.json", folder / "passphrase")
    return folder / "key.json", folder / "passphrase", account.address


def test_a_key_is_opened_by_its_passphrase(made: tuple[Path, Path, str]) -> None:
    key, passphrase, address = made
    assert load_key(key, passphrase).address == address


def test_both_files_are_the_owners_alone_and_the_key_is_encrypted(made: tuple[Path, Path, str]) -> None:
    key, passphrase, _ = made
    assert {stat.S_IMODE(path.stat().st_mode) for path in (key, passphrase)} == {0o600}
    assert json.loads(key.read_text())["crypto"]["cipher"] == "aes-128-ctr"
    assert len(passphrase.read_text()) >= 43, "256 random bits"


def test_a_key_is_never_written_over(made: tuple[Path, Path, str]) -> None:
    key, passphrase, _ = made
    before = key.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        create_key(key, passphrase)
    assert key.read_bytes() == before


def test_a_wrong_passphrase_names_the_file_and_tells_no_secret(made: tuple[Path, Path, str], tmp_path: Path) -> None:
    key, _, _ = made
    wrong = _private(tmp_path / "wrong", "hunter2")
    with pytest.raises(ConfigError) as caught:
        load_key(key, wrong)
    assert caught.value.field == "ledger.key_file"
    assert str(key) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"crypto": 1, "version": 3}', "[]"])
def test_a_file_that_is_no_key_is_named(text: str, tmp_path: Path) -> None:
    key = _private(tmp_path / "key.json", text)
    with pytest.raises(ConfigError, match=r"key\.json"):
        load_key(key, _private(tmp_path / "passphrase", "hunter2"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_key(tmp_path / "key.json", tmp_path / "passphrase")
    assert caught.value.field == "ledger.passphrase_file"
    with pytest.raises(ConfigError) as caught:
        load_key(tmp_path / "key.json", _private(tmp_path / "passphrase", "hunter2"))
    assert caught.value.field == "ledger.key_file"


def test_a_passphrase_that_others_may_read_is_refused(made: tuple[Path, Path, str], tmp_path: Path) -> None:
    key, passphrase, _ = made
    open_to_all = tmp_path / "passphrase"
    open_to_all.write_text(passphrase.read_text())
    open_to_all.chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640"):
        load_key(key, open_to_all)


def test_an_empty_passphrase_is_refused(made: tuple[Path, Path, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is empty"):
        load_key(made[0], _private(tmp_path / "passphrase", "\n"))


def _private(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path
